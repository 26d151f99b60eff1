"""A tiny DNS server on loopback that knows SRV records, for as long as a test runs.

Answers over UDP and TCP on the same port; what it says is a table, its manners are switches.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.procs import free_ports

Record = tuple[int, int, int, str]

_FORMAT = struct.Struct("!HHHHHH")


def encode_name(name: str) -> bytes:
    """A name as labels, without compression."""
    labels = [part.encode() for part in name.strip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


def encode_srv(record: Record, *, owner: bytes = b"\xc0\x0c", ttl_s: int = 60) -> bytes:
    """One SRV record; its owner is the question's name unless told."""
    priority, weight, port, target = record
    data = struct.pack("!HHH", priority, weight, port) + encode_name(target)
    return owner + struct.pack("!HHIH", 33, 1, ttl_s, len(data)) + data


def encode_reply(query: bytes, answers: Sequence[bytes], *, flags: int = 0x8180) -> bytes:
    """A reply to a query with these encoded records."""
    number = int.from_bytes(query[:2], "big")
    return _FORMAT.pack(number, flags, 1, len(answers), 0, 0) + query[12:] + b"".join(answers)


def asked_name(query: bytes) -> str:
    """The name a query asks for."""
    labels, pos = [], 12
    while query[pos]:
        labels.append(query[pos + 1 : pos + 1 + query[pos]].decode())
        pos += query[pos] + 1
    return ".".join(labels)


class DNSServer:
    """Use as a context manager. Unknown names do not exist.

    `silent`: say nothing; `truncate`: send whoever asks over UDP to TCP; `code`: refuse with it.
    """

    def __init__(
        self,
        records: Mapping[str, Sequence[Record]],
        *,
        silent: bool = False,
        truncate: bool = False,
        code: int = 0,
    ) -> None:
        self.records = {name.strip(".").lower(): list(found) for name, found in records.items()}
        self.silent = silent
        self.truncate = truncate
        self.code = code
        self.asked: list[str] = []
        (self.port,) = free_ports(1)  # the kernel's choice for TCP may be somebody's for UDP
        self._tcp = socket.create_server(("127.0.0.1", self.port))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [
            threading.Thread(target=self._serve_udp),
            threading.Thread(target=self._serve_tcp),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._udp.sendto(b"", self._udp.getsockname())
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def resolv_conf(self, path: Path, *, extra: str = "") -> Path:
        """A resolv.conf that names this server."""
        path.write_text(f"nameserver [127.0.0.1]:{self.port}\noptions timeout:1\n{extra}")
        return path

    def _serve_udp(self) -> None:
        while True:
            query, peer = self._udp.recvfrom(4096)
            if not query:
                return
            if self.silent:
                continue
            if self.truncate:
                self._udp.sendto(encode_reply(query, [], flags=0x8380), peer)
            else:
                self._udp.sendto(self._reply(query), peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                conn, _ = self._tcp.accept()
            except OSError:
                return
            with conn:
                size = int.from_bytes(conn.recv(2, socket.MSG_WAITALL), "big")
                reply = self._reply(conn.recv(size, socket.MSG_WAITALL))
                conn.sendall(len(reply).to_bytes(2, "big") + reply)

    def _reply(self, query: bytes) -> bytes:
        name = asked_name(query)
        self.asked.append(name)
        if self.code:
            return encode_reply(query, [], flags=0x8180 | self.code)
        found = self.records.get(name.lower())
        if found is None:
            return encode_reply(query, [], flags=0x8183)
        return encode_reply(query, [encode_srv(record) for record in found])
