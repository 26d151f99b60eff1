"""The directory of a local cluster: what is in it and who may hold it.

cluster.json        the machines (spec.py)            supervisor.pid   pid and start time
control.sock        the supervisor's ear              supervisor.log   what it did
machines/N/         machine-id, etcd/ (data), units/, etcd.log, fleetd.log
coreos.pyz, bin/    the commands the cluster runs
"""

from __future__ import annotations

import os
import shutil

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import ConfigError
from coreos_py.cluster import proctree, programs, spec

MARK = "COREOS_CLUSTER_MACHINE"  # in the environment of every process of a machine: its home
MARKER_FILE = "cluster.json"


def default_directory() -> str:
    import platformdirs

    return os.path.join(platformdirs.user_state_dir("coreos"), "cluster")


def exists(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, MARKER_FILE))


def load(directory: str) -> spec.Cluster:
    """The cluster of this directory; ConfigError when there is none or it cannot be read."""
    path = os.path.join(directory, MARKER_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            return spec.from_json(file.read())
    except FileNotFoundError:
        raise ConfigError(
            f"no cluster in {directory}", hint="coreos cluster up makes one"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def save(directory: str, cluster: spec.Cluster) -> None:
    """Writes the cluster and the identity file of every machine."""
    for machine in cluster.machines:
        home = machine_home(directory, machine.number)
        os.makedirs(home, mode=0o700, exist_ok=True)
        write_atomically(os.path.join(home, "machine-id"), f"{machine.machine_id}\n".encode())
    write_atomically(os.path.join(directory, MARKER_FILE), spec.to_json(cluster).encode())


def prepare(directory: str) -> None:
    """Makes the directory; ConfigError when it holds something else or cannot be written."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        names = os.listdir(directory)
    except OSError as error:
        raise ConfigError(f"cannot use {directory}: {error.strerror}") from error
    if names and MARKER_FILE not in names:
        raise ConfigError(
            f"{directory} is not empty and holds no cluster", hint="give another --dir"
        )


def remove(directory: str) -> None:
    """Deletes what a cluster put there, the description last, so that a cut leaves a cluster."""
    for name in ("machines", "bin"):
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
    for name in (programs.ARCHIVE, "control.sock", "supervisor.pid", "supervisor.log", MARKER_FILE):
        try:
            os.unlink(os.path.join(directory, name))
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except OSError:
        return  # not ours alone


def machine_home(directory: str, number: int) -> str:
    return os.path.join(directory, "machines", str(number))


def commands_folder(directory: str) -> str:
    return programs.folder_in(directory)


def write_supervisor(directory: str, pid: int) -> None:
    path = os.path.join(directory, "supervisor.pid")
    write_atomically(path, f"{pid} {proctree.start_time(pid)}\n".encode())


def supervisor(directory: str) -> int:
    """The pid of the running supervisor, 0 when there is none: a reused pid does not count."""
    try:
        with open(os.path.join(directory, "supervisor.pid"), encoding="ascii") as file:
            pid, started = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return pid if started and proctree.start_time(pid) == started else 0


def leftovers(directory: str) -> list[int]:
    """Processes of this cluster's machines, found by their environment, whoever their parent is."""
    mark = f"{MARK}={os.path.join(directory, 'machines')}/".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read() and proctree.start_time(int(name)):
                    found.append(int(name))
        except OSError:
            continue  # another user's, or just gone
    return found
