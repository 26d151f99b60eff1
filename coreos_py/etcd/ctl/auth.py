"""etcdctl auth enable, disable."""

from __future__ import annotations

from coreos_py.etcd.ctl.accounts import ask, client_for, no_arguments
from coreos_py.etcdclient import auth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def enable(call: Call) -> int:
    """Ask for credentials from now on."""
    no_arguments(call)
    ask(client_for(call), auth.enable(), auth.check)
    print("Authentication Enabled")
    return 0


def disable(call: Call) -> int:
    """Let everybody in again."""
    no_arguments(call)
    ask(client_for(call), auth.disable(), auth.check)
    print("Authentication Disabled")
    return 0
