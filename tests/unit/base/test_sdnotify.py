"""The datagrams a service manager gets."""

from __future__ import annotations

import socket

import pytest

from coreos_py.base import sdnotify


def test_nobody_asked():
    assert sdnotify.notify(sdnotify.READY) is False


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_arrive(tmp_path, monkeypatch, abstract):
    name = f"@coreos-py-{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert sdnotify.notify(sdnotify.READY, "STATUS=hello")
        assert manager.recv(100) == b"READY=1\nSTATUS=hello"
        assert sdnotify.status("größe")
        assert manager.recv(100) == "STATUS=größe".encode()


@pytest.mark.parametrize("name", ["relative", "/nonexistent/notify"])
def test_what_cannot_be_delivered(monkeypatch, name):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with pytest.raises(OSError, match=r"NOTIFY_SOCKET|No such file"):
        sdnotify.notify(sdnotify.READY)
