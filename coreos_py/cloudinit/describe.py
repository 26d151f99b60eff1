"""A plan in words, for --dry-run: one line per step, secrets left out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.cloudinit import plan
from coreos_py.cloudinit.config import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cloudinit.config import File
    from coreos_py.cloudinit.plan import Step

_HIDDEN = "***"


def describe(step: Step, compare: Callable[[File], str]) -> str:
    """What the step does; `compare` tells what writing a file would change."""
    match step:
        case plan.Note():
            return step.text
        case plan.SetHostname():
            return f"set the host name to {step.name}"
        case plan.SetPassword():
            return f"set the password of user {step.user}"
        case plan.CreateUser():
            return f"create user {step.user.name}: useradd {' '.join(_useradd(step.user))}"
        case plan.AuthorizeKeys():
            count = len(step.keys)
            return f"authorize {count} SSH keys for user {step.user} as {step.name}"
        case plan.ImportKeys():
            return f"authorize SSH keys for user {step.user} as {step.name} from {step.url}"
        case plan.WriteFile():
            return _write(step, compare)
        case plan.MergeEnvironment():
            items = " ".join(f"{name}={value}" for name, value in step.values.items())
            return f"set in /etc/environment: {items}"
        case plan.RestartNetwork():
            names = " ".join(interface.name or interface.mac for interface in step.interfaces)
            return f"take down {names}; restart {plan.NETWORKD}"
        case _:
            return _unit(step)


def _useradd(user: User) -> list[str]:
    words = plan.useradd_arguments(user)
    if user.passwd:
        words[words.index("--password") + 1] = _HIDDEN
    return words


def _write(step: plan.WriteFile, compare: Callable[[File], str]) -> str:
    file = step.file
    what = f"{step.what} {step.name} to" if step.what else "file"
    mode = file.permissions or "0644"
    owner = f", owner {file.owner}" if file.owner else ""
    size = len(file.content)
    return f"write {what} {file.path} ({size} bytes, mode {mode}{owner}): {compare(file)}"


def _unit(step: Step) -> str:
    match step:
        case plan.Mask():
            return f"mask {step.unit}: link {step.path} to /dev/null"
        case plan.Unmask():
            return f"unmask {step.unit}: remove {step.path} if it is empty"
        case plan.Enable():
            return f"enable {step.unit}{' until the next boot' if step.runtime else ''}"
        case plan.Reload():
            return "make systemd read unit files again"
        case plan.RestartNetworkd():
            return f"restart {plan.NETWORKD}"
        case plan.Command():
            return f"{step.command} {step.unit}"
    raise AssertionError(step)
