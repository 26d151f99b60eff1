"""A system bus of a test's own, and a peer on it that plays update_engine, logind and systemd."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType
from jeepney.wrappers import DBusAddress, new_error, new_method_return, new_signal

CONFIG = """<busconfig>
  <type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>"""
UPDATE1 = DBusAddress("/com/coreos/update1", interface="com.coreos.update1.Manager")
NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT"
IDLE = "UPDATE_STATUS_IDLE"


class SystemBus:
    """A dbus-daemon; use as a context manager. `address` is what DBUS_SYSTEM_BUS_ADDRESS takes."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "bus"
        self._config = directory / "bus.conf"
        self.address = f"unix:path={self._path}"

    def __enter__(self) -> Self:
        self._config.write_text(CONFIG.format(path=self._path))
        words = ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"]
        self._daemon = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._daemon.stdout is not None
        assert self._daemon.stdout.readline()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._daemon.kill()
        self._daemon.wait()
        assert self._daemon.stdout is not None
        self._daemon.stdout.close()


class Peer(threading.Thread):
    """Answers whoever asks; `reboots` is what logind was asked, `active` systemd's units."""

    def __init__(self, bus: SystemBus, *, operation: str = IDLE) -> None:
        super().__init__(daemon=True)
        self.operation = operation
        self.reboots: list[Any] = []
        self.active: dict[str, str] = {}
        self._connection = open_dbus_connection(bus.address)
        self._sender = open_dbus_connection(bus.address)
        for name in (
            "com.coreos.update1",
            "org.freedesktop.login1",
            "org.freedesktop.systemd1",
        ):
            self._connection.send_and_get_reply(message_bus.RequestName(name))
        self._is_over = False
        self.start()

    def close(self) -> None:
        """Leave the bus."""
        self._is_over = True
        self.join(30)
        self._connection.close()
        self._sender.close()

    def announce(self, operation: str, *, progress: float = 0.0) -> None:
        """Send the signal of update_engine, and answer so from now on."""
        self.operation = operation
        signal = new_signal(UPDATE1, "StatusUpdate", "xdssx", (0, progress, operation, "", 0))
        self._sender.send(signal)

    def run(self) -> None:
        while not self._is_over:
            try:
                message = self._connection.receive(timeout=0.2)
                if message.header.message_type is MessageType.method_call:
                    self._connection.send(self._answer(message))
            except TimeoutError:
                continue
            except (OSError, EOFError):
                return

    def _answer(self, message: Any) -> Any:
        member = message.header.fields[HeaderFields.member]
        if member == "GetStatus":
            status = (0, 0.0, self.operation, "0.0.0", 0)
            return new_method_return(message, "xdssx", status)
        if member == "Reboot":
            self.reboots.append(message.body[0])
            return new_method_return(message)
        if member == "LoadUnit":
            path = "/org/freedesktop/systemd1/unit/" + message.body[0].replace(".", "_2e")
            return new_method_return(message, "o", (path,))
        if member == "Get":
            path = message.header.fields[HeaderFields.path]
            unit = path.rpartition("/")[2].replace("_2e", ".")
            return new_method_return(message, "v", (("s", self.active.get(unit, "inactive")),))
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (member,))
