"""From a unit's settings to what is executed: user, directory, limits, environment.

Every refusal carries the exit status that systemd.exec(5) gives for it.
"""

from __future__ import annotations

import glob
import grp
import math
import os
import pwd
import resource
import shutil
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.systemd.embedded import environment as blocks
from coreos_py.systemd.embedded.command import substitute
from coreos_py.systemd.embedded.process import Launch
from coreos_py.systemd.embedded.specifiers import Facts
from coreos_py.systemd.embedded.values import (
    EXIT_CHDIR,
    EXIT_EXEC,
    EXIT_GROUP,
    EXIT_LIMITS,
    EXIT_USER,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.systemd.embedded.command import Command
    from coreos_py.systemd.embedded.definition import Execution

PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of the manager's own environment, what must not reach a unit.
_PRIVATE = (
    "FLEET_",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_",
    "MAINPID",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_",
)
_ENVIRONMENT_FILE_BYTES_MAX = 1 << 20


class LaunchError(Exception):
    """A command cannot be run; `status` is what systemd would report as its exit status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Account(NamedTuple):
    """Who a command runs as; the ids are None where nothing has to change."""

    name: str
    home: str
    login_shell: str
    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What units inherit of the manager's environment, as under `systemd --user`."""
    found = {key: value for key, value in own.items() if not key.startswith(_PRIVATE)}
    found.setdefault("PATH", PATH_DEFAULT)
    return found


def facts(machine_id: str, *, hostname: str, boot: str, units_dir: str) -> Facts:
    """What specifiers expand to on this machine, for this user."""
    uid, gid = os.getuid(), os.getgid()
    account = _account_of(uid)
    system = uid == 0
    home = account.home
    own_runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{uid}")
    kernel = os.uname()
    return Facts(
        machine_id=machine_id,
        boot_id=boot,
        hostname=hostname or kernel.nodename,
        kernel=kernel.release,
        architecture=kernel.machine.replace("_", "-"),
        user=account.name,
        group=_group_name(gid),
        uid=uid,
        gid=gid,
        home=home,
        login_shell=account.login_shell,
        runtime_dir="/run" if system else own_runtime,
        state_dir="/var/lib" if system else os.environ.get("XDG_STATE_HOME", f"{home}/.config"),
        cache_dir="/var/cache" if system else os.environ.get("XDG_CACHE_HOME", f"{home}/.cache"),
        log_dir="/var/log" if system else f"{home}/.config/log",
        config_dir="/etc" if system else os.environ.get("XDG_CONFIG_HOME", f"{home}/.config"),
        units_dir=units_dir,
    )


def prepare(
    command: Command,
    execution: Execution,
    *,
    inherited: Mapping[str, str],
    own: Mapping[str, str],
    stdout: int,
    stderr: int,
) -> Launch:
    """Everything for one command; `own` are the variables the manager itself adds."""
    account = find_account(execution.user, execution.group, execution.supplementary_groups)
    variables = environment_of(execution, account, inherited) | dict(own)
    return Launch(
        path=_executable(command.path, variables),
        argv=substitute(command, variables),
        environment=variables,
        directory=_directory(execution, account),
        stdout=stdout,
        stderr=stderr,
        umask=0o022 if execution.umask is None else execution.umask,
        user=account.user,
        group=account.group,
        groups=account.groups,
        limits=_limits(execution),
    )


def environment_of(
    execution: Execution, account: Account, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The unit's variables: inherited, the account's, PassEnvironment, Environment, then files."""
    found = dict(inherited)
    if execution.user:
        found |= {
            "HOME": account.home,
            "LOGNAME": account.name,
            "USER": account.name,
            "SHELL": account.login_shell,
        }
    for name in execution.pass_environment:
        if name in os.environ:
            found[name] = os.environ[name]
    found.update(execution.environment)
    for source in execution.environment_files:
        found.update(_read_files(source.path, optional=source.optional))
    for word in execution.unset_environment:
        name, equals, value = word.partition("=")
        if not equals or found.get(name) == value:
            found.pop(name, None)
    return found


def _read_files(pattern: str, *, optional: bool) -> dict[str, str]:
    paths = sorted(glob.glob(pattern)) or [pattern]
    found: dict[str, str] = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read(_ENVIRONMENT_FILE_BYTES_MAX + 1)
        except OSError as error:
            if optional:
                continue
            reason = f"cannot read environment file {path}: {error.strerror}"
            raise LaunchError(EXIT_EXEC, reason) from None
        if len(text) > _ENVIRONMENT_FILE_BYTES_MAX:
            raise LaunchError(EXIT_EXEC, f"environment file {path} is larger than 1 MiB")
        found.update(blocks.parse_file(text))
    return found


def find_account(user: str, group: str, supplementary: tuple[str, ...]) -> Account:
    """Who User= and Group= mean; anybody but ourselves only when we are root."""
    uid = os.getuid()
    own = _account_of(uid)
    wanted = _user(user) if user else None
    gid = _group(group) if group else (wanted.pw_gid if wanted is not None else os.getgid())
    if uid != 0:
        if wanted is not None and wanted.pw_uid != uid:
            raise LaunchError(
                EXIT_USER, f"User={user}: only root can run units as another user than {own.name}"
            )
        if group and gid != os.getgid():
            raise LaunchError(
                EXIT_GROUP, f"Group={group}: only root can run units as another group"
            )
        return own
    if wanted is None and not group and not supplementary:
        return own
    extra = tuple(_group(name) for name in supplementary)
    if wanted is None:
        return own._replace(group=gid, groups=extra)
    groups = (*os.getgrouplist(wanted.pw_name, gid), *extra)
    return Account(wanted.pw_name, wanted.pw_dir, wanted.pw_shell, wanted.pw_uid, gid, groups)


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        home = os.environ.get("HOME", "/")
        return Account(os.environ.get("USER", str(uid)), home, "/bin/sh")
    return Account(entry.pw_name, entry.pw_dir, entry.pw_shell or "/bin/sh")


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise LaunchError(EXIT_USER, f"User={name}: no such user") from None


def _group(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LaunchError(EXIT_GROUP, f"Group={name}: no such group") from None


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _directory(execution: Execution, account: Account) -> str:
    fallback = "/" if os.getuid() == 0 else account.home
    path = execution.working_directory
    path = account.home if path == "~" else path or fallback
    if os.path.isdir(path):
        return path
    if execution.working_directory and not execution.working_directory_optional:
        raise LaunchError(EXIT_CHDIR, f"WorkingDirectory={path}: no such directory")
    return "/"


def _executable(path: str, variables: Mapping[str, str]) -> str:
    if not path.startswith("/"):
        found = shutil.which(path, path=variables.get("PATH", PATH_DEFAULT))
        if found is None:
            raise LaunchError(EXIT_EXEC, f"cannot execute {path}: not found in PATH")
        return found
    if not os.path.exists(path):
        raise LaunchError(EXIT_EXEC, f"cannot execute {path}: No such file or directory")
    return path


def _limits(execution: Execution) -> tuple[tuple[int, int, int], ...]:
    found = []
    for name, soft, hard in execution.limits:
        which = getattr(resource, f"RLIMIT_{name}")
        top = resource.getrlimit(which)[1]
        wanted_soft, wanted_hard = _limit(soft), _limit(hard)
        if os.getuid() != 0 and top != resource.RLIM_INFINITY:
            # An ordinary user cannot go above the hard limit; systemd --user takes what it gets.
            wanted_hard = top if wanted_hard == resource.RLIM_INFINITY else min(wanted_hard, top)
        if wanted_soft == resource.RLIM_INFINITY or wanted_soft > wanted_hard >= 0:
            wanted_soft = wanted_hard
        if wanted_hard != resource.RLIM_INFINITY and wanted_hard > 1 << 62:
            raise LaunchError(EXIT_LIMITS, f"Limit{name}={wanted_hard} is too large")
        found.append((which, wanted_soft, wanted_hard))
    return tuple(found)


def _limit(value: float) -> int:
    return resource.RLIM_INFINITY if math.isinf(value) else int(value)
