"""What applications, packages, channels and groups may be called and hold; Invalid if they do not.

Pure. The limits are those of CoreRoller's columns. `strict` adds what CoreRoller took and could not
work with: intervals that are none, types of packages that nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import interval, semver
from coreos_py.roller.records import Action, Invalid, PackageType

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.roller.records import App, Channel, Group, Package, Policy

_INT32_MAX = (1 << 31) - 1
_TEXT_MAX = 64 << 10


def app(found: App) -> None:
    """An application's fields."""
    _length("name", found.name, 50, least=1)
    _length("description", found.description, _TEXT_MAX)
    _length("product_id", found.product_id, 100)


def channel(found: Channel) -> None:
    """A channel's fields."""
    _length("name", found.name, 25, least=1)
    _length("color", found.color, 25)


def package(found: Package, *, strict: bool) -> None:
    """A package's fields; where a file may still come, `strict` lets the url be empty."""
    if not 1 <= found.type <= (max(PackageType) if strict else _INT32_MAX):
        raise Invalid(f"type must be 1 (coreos), 2 (docker), 3 (rocket) or 4, not {found.type}")
    if not semver.is_valid(found.version):
        raise Invalid(f"version {found.version!r} is not like 1.2.3")
    _length("version", found.version, 255)
    _length("url", found.url, 256, least=0 if strict else 1)
    _length("filename", found.filename, 100)
    _length("description", found.description, _TEXT_MAX)
    _length("size", found.size, 20)
    _length("hash", found.hash, 64)
    if strict:
        _file(found)
    if found.action is not None:
        _action(found.action)


def group(found: Group, *, is_zone: Callable[[str], bool], strict: bool) -> None:
    """A group's fields and policy."""
    _length("name", found.name, 50, least=1)
    _length("description", found.description, _TEXT_MAX)
    _length("track", found.track, 100, least=1)
    _length("oem_blacklist", found.oem_blacklist, _TEXT_MAX)
    _policy(found.policy, is_zone)
    if strict:
        _intervals(found.policy)


def reason(text: str) -> None:
    """Why a group is paused."""
    _length("reason", text, 500)


def alias(text: str) -> None:
    """What people call an instance."""
    _length("alias", text, 100)


def _length(name: str, value: str | None, most: int, *, least: int = 0) -> None:
    if value is not None and not least <= len(value) <= most:
        limits = f"{least} to {most}" if least else f"at most {most}"
        raise Invalid(f"{name} must have {limits} characters, not {len(value)}")


def _file(found: Package) -> None:
    if found.url and not found.url.startswith(("http://", "https://")):
        raise Invalid(f"url must begin with http:// or https://, not {found.url[:40]!r}")
    if found.size and not (found.size.isascii() and found.size.isdigit()):
        raise Invalid(f"size must be a number of bytes, not {found.size!r}")


def _action(found: Action) -> None:
    _length("coreos_action.event", found.event, 20)
    _length("coreos_action.chromeos_version", found.chromeos_version, 255)
    _length("coreos_action.sha256", found.sha256, 64)
    _length("coreos_action.metadata_signature_rsa", found.metadata_signature_rsa, 1024)
    _length("coreos_action.metadata_size", found.metadata_size, 100)
    _length("coreos_action.deadline", found.deadline, 100)


def _policy(found: Policy, is_zone: Callable[[str], bool]) -> None:
    _length("policy_timezone", found.timezone, 40)
    _length("policy_period_interval", found.period_interval, 20, least=1)
    _length("policy_update_timeout", found.update_timeout, 20, least=1)
    if found.office_hours and not is_zone(found.timezone or ""):
        raise Invalid(f"office hours need a time zone, {found.timezone or ''!r} is none")
    if not 1 <= found.max_updates_per_period <= _INT32_MAX:
        raise Invalid("policy_max_updates_per_period must be at least 1")
    if not 0 <= found.canaries <= _INT32_MAX:
        raise Invalid("policy_canaries must be at least 0")
    if not 0 <= found.update_percent <= 100:
        raise Invalid("update_percent must be between 0 and 100")


def _intervals(found: Policy) -> None:
    for name, text in (
        ("policy_period_interval", found.period_interval),
        ("policy_update_timeout", found.update_timeout),
    ):
        length_us = interval.parse_us(text)
        if length_us is None or length_us <= 0:
            raise Invalid(f"{name} {text!r} is not like 15 minutes")
