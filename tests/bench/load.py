"""Load on a member: wrk for throughput, one selector for a thousand watchers."""

from __future__ import annotations

import base64
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

from tests.bench.servers import Member, put

VALUE = "x" * 256
KEYS = 1000
PUT_SCRIPT = """
local n = 0
wrk.method = "PUT"
{headers}
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local body = "value={value}"
request = function()
  n = n + 1
  return wrk.format(nil, "/v2/keys/bench/k" .. (n % {keys}), nil, body)
end
"""
GET_SCRIPT = """
local n = 0
{headers}
request = function()
  n = n + 1
  return wrk.format("GET", "/v2/keys/bench/k" .. (n % {keys}) .. "{query}")
end
"""


def wrk(member: Member, script: str, *, connections: int, seconds: int) -> float:
    """Requests per second that were answered with success."""
    program = shutil.which("wrk")
    assert program, "wrk is not installed (apt-get install wrk)"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = [
            program,
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout=60s",
            "-s",
            file.name,
            member.url,
        ]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in text, text
    assert "Socket errors" not in text, text
    found = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    assert found, text
    return float(found.group(1))


def puts(member: Member, *, connections: int, seconds: int, user: str = "") -> float:
    """PUTs a second to a thousand keys; `user` is a name, a colon and a password."""
    script = PUT_SCRIPT.format(value=VALUE, keys=KEYS, headers=_headers(user))
    return wrk(member, script, connections=connections, seconds=seconds)


def gets(
    member: Member, *, connections: int, seconds: int, query: str = "", user: str = ""
) -> float:
    """GETs a second of a thousand keys."""
    script = GET_SCRIPT.format(keys=KEYS, query=query, headers=_headers(user))
    return wrk(member, script, connections=connections, seconds=seconds)


def _headers(user: str) -> str:
    if not user:
        return ""
    return f'wrk.headers["Authorization"] = "Basic {base64.b64encode(user.encode()).decode()}"'


def fill(member: Member, count: int) -> None:
    """Writes keys k0..k(count-1) of 256 bytes below /bench."""
    connections = [socket.create_connection(("127.0.0.1", member.client_port)) for _ in range(32)]
    try:
        for first in range(0, count, len(connections)):
            busy = connections[: count - first]
            for offset, talk in enumerate(busy):
                talk.sendall(
                    f"PUT /v2/keys/bench/k{first + offset} HTTP/1.1\r\nHost: x\r\n"
                    "Content-Type: application/x-www-form-urlencoded\r\n"
                    f"Content-Length: {len(VALUE) + 6}\r\n\r\nvalue={VALUE}".encode()
                )
            for talk in busy:
                head = read_answer(talk)
                assert head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200")), head
    finally:
        for talk in connections:
            talk.close()


def read_answer(talk: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(talk)
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    assert found, head
    while len(body) < int(found.group(1)):
        body += _some(talk)
    return data


def _some(talk: socket.socket) -> bytes:
    data = talk.recv(65536)
    assert data, "connection closed"
    return data


def fan_out(member: Member, watchers: int) -> float:
    """Seconds from a write to the moment the last of `watchers` has its event.

    One epoll with nothing around it, or the time would be that of this program.
    """
    assert put(member, "fan", "before")
    poll = select.epoll()
    talks = []
    for _ in range(watchers):
        talk = socket.create_connection(("127.0.0.1", member.client_port))
        talk.sendall(b"GET /v2/keys/fan?wait=true HTTP/1.1\r\nHost: x\r\n\r\n")
        talks.append(talk)
    for talk in talks:  # the answer's head is flushed when the watch is set
        assert b"200 OK" in talk.recv(4096)
        poll.register(talk, select.EPOLLIN | select.EPOLLONESHOT)
    begin = time.monotonic()
    assert put(member, "fan", "after")
    left = watchers
    while left:
        ready = poll.poll(10)
        assert ready, f"{left} watchers never heard"
        for number, _ in ready:
            assert b"after" in os.read(number, 4096)
        left -= len(ready)
    took = time.monotonic() - begin
    poll.close()
    for talk in talks:
        talk.close()
    return took
