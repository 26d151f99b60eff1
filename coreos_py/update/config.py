"""update.conf and what else says who this machine is, each key from the first file that has it.

Read again at every attempt. Mirrors update_engine 0.4.10's omaha_request_params.cc; quotes around
a value are dropped, as flatcar does. Pure but for `load`, which takes the reading as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from coreos_py.cli.settings import STRING, Setting
from coreos_py.omaha.request import APP_ID, Client

PRODUCTION = "https://public.update.core-os.net/v1/update/"
DISABLED = "disabled"
FILES = ("/etc/coreos/update.conf", "/usr/share/coreos/update.conf", "/usr/share/coreos/release")
OEM_FILES = ("/etc/oem-release", "/usr/share/oem/oem-release")
MACHINE_ID = "/etc/machine-id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
DEV_MODE = "/root/.dev_mode"

Read = Callable[[str], str | None]
"""A file's text; None when it cannot be read."""


class Config(NamedTuple):
    """Who asks whom."""

    server: str
    client: Client
    pcr_policy_server: str

    @property
    def is_custom_server(self) -> bool:
        """True for everybody's own server; then a bit of every error code says so."""
        return self.server != PRODUCTION

    @property
    def is_disabled(self) -> bool:
        """No updates are wanted."""
        return self.server == DISABLED


_KEYS = (
    ("GROUP", "stable", "the channel to follow"),
    ("SERVER", PRODUCTION, "where to ask for updates; disabled to ask nobody"),
    ("PCR_POLICY_SERVER", "", "where to post the TPM policy of a new version"),
    ("MACHINE_ALIAS", "", "a name to tell the server"),
    ("COREOS_RELEASE_VERSION", "", "the version that is running"),
    ("COREOS_RELEASE_BOARD", "", "what it runs on"),
    ("COREOS_RELEASE_APPID", APP_ID, "what the server calls the system"),
)
TABLE = tuple(
    Setting(name.lower(), STRING, default, key=name, help=help_text, metavar="TEXT")
    for name, default, help_text in _KEYS
)
_DEFAULTS = {name: default for name, default, _ in _KEYS}


def load(read: Read, *, aleph_version: str | None, architecture: str) -> Config:
    """The configuration as it is now; without an aleph version the running one is."""
    texts = [parse(read(path) or "") for path in FILES]
    oem = [parse(read(path) or "") for path in OEM_FILES]

    def key(name: str) -> str:
        return _first(texts, name, default=_DEFAULTS[name])

    version = key("COREOS_RELEASE_VERSION")
    client = Client(
        app_id=key("COREOS_RELEASE_APPID"),
        version=version,
        track=key("GROUP"),
        boot_id=f"{{{(read(BOOT_ID) or '').strip()}}}",
        oem=_first(oem, "ID"),
        oem_version=_first(oem, "VERSION_ID"),
        aleph_version=version if aleph_version is None else aleph_version,
        machine_id=(read(MACHINE_ID) or "").strip(),
        board=key("COREOS_RELEASE_BOARD"),
        architecture=architecture,
        alias=key("MACHINE_ALIAS"),
    )
    return Config(key("SERVER"), client, key("PCR_POLICY_SERVER"))


def parse(text: str) -> dict[str, str]:
    """KEY=value lines; the last of several wins, comments and other lines are passed over."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name and not name.startswith("#"):
            found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _first(texts: Iterable[dict[str, str]], name: str, *, default: str = "") -> str:
    return next((text[name] for text in texts if name in text), default)
