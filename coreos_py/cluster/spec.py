"""What a local cluster consists of: its machines, their addresses, identities and environments.

Pure: text and numbers in, records out. A machine has an address of its own in 127.0.0.0/8, so that
every machine uses the standard ports, as real ones do, and two units that want one port conflict.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from coreos_py.base import durations
from coreos_py.base.errors import ConfigError

CLIENT_PORT = 2379
PEER_PORT = 2380
FLEET_PORT = 49153
PORTS = (CLIENT_PORT, PEER_PORT, FLEET_PORT)
MACHINES_MAX = 64
AGENT_TTL_MIN_NS = 3 * durations.SECOND  # etcd expires in half seconds, agents beat at a half of it
NETWORKS = tuple(f"127.17.{third}" for third in range(8, 200))


class Machine(NamedTuple):
    """One machine: `number` counts from 1 and is never used again after the machine is gone."""

    number: int
    machine_id: str
    ip: str
    metadata: dict[str, str]
    initial_cluster: str
    cluster_state: str

    @property
    def name(self) -> str:
        return f"core-{self.number:02d}"

    @property
    def client_url(self) -> str:
        return f"http://{self.ip}:{CLIENT_PORT}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.ip}:{PEER_PORT}"

    @property
    def fleet_url(self) -> str:
        return f"http://{self.ip}:{FLEET_PORT}"


class Cluster(NamedTuple):
    network: str
    agent_ttl: str
    token: str
    machines: tuple[Machine, ...]

    def machine(self, number: int) -> Machine:
        """The machine of that number; ConfigError naming the known ones when there is none."""
        for machine in self.machines:
            if machine.number == number:
                return machine
        known = ", ".join(str(machine.number) for machine in self.machines)
        raise ConfigError(f"there is no machine {number}", hint=f"machines: {known}")


def found(
    count: int,
    *,
    network: str,
    machine_ids: list[str],
    token: str,
    agent_ttl: str,
    metadata: list[str],
) -> Cluster:
    """A new cluster of `count` machines that know each other from the start."""
    if not 1 <= count <= MACHINES_MAX:
        raise ConfigError(f"a local cluster has 1 to {MACHINES_MAX} machines, not {count}")
    _check_ttl(agent_ttl)
    numbers = range(1, count + 1)
    members = ",".join(
        f"core-{number:02d}=http://{address(network, number)}:{PEER_PORT}" for number in numbers
    )
    machines = tuple(
        Machine(
            number=number,
            machine_id=machine_ids[number - 1],
            ip=address(network, number),
            metadata=machine_metadata(number, metadata),
            initial_cluster=members,
            cluster_state="new",
        )
        for number in numbers
    )
    return Cluster(network, agent_ttl, token, machines)


def joined(cluster: Cluster, *, machine_id: str, members: dict[str, list[str]]) -> Cluster:
    """The cluster with one more machine, which joins `members` (name -> peer URLs, without it)."""
    number = max(machine.number for machine in cluster.machines) + 1
    if number > MACHINES_MAX:
        raise ConfigError(f"a local cluster has at most {MACHINES_MAX} machines")
    ip = address(cluster.network, number)
    urls = [f"{name}={url}" for name, peers in members.items() for url in peers]
    urls.append(f"core-{number:02d}=http://{ip}:{PEER_PORT}")
    machine = Machine(
        number, machine_id, ip, machine_metadata(number, []), ",".join(urls), "existing"
    )
    return cluster._replace(machines=(*cluster.machines, machine))


def _check_ttl(text: str) -> None:
    try:
        ttl_ns = durations.parse(text)
    except ValueError as error:
        raise ConfigError(f"agent TTL {text!r} is not a duration", hint="6s, 1m30s") from error
    if ttl_ns < AGENT_TTL_MIN_NS:
        raise ConfigError(f"agent TTL {text!r} is shorter than 3s")


def address(network: str, number: int) -> str:
    return f"{network}.{100 + number}"


def machine_metadata(number: int, extra: list[str]) -> dict[str, str]:
    """name and disk (odd machines ssd, even hdd), then `[N:]key=value` words; the last one wins."""
    metadata = {"name": f"core-{number:02d}", "disk": "ssd" if number % 2 else "hdd"}
    for word in extra:
        head, colon, rest = word.partition(":")
        only, pair = (head, rest) if colon and head.isdigit() else ("", word)
        key, equals, value = pair.partition("=")
        if not equals or not key or not value or "," in pair:
            raise ConfigError(f"metadata {word!r} is not [N:]key=value")
        if not only or int(only) == number:
            metadata[key] = value
    return metadata


def etcd_arguments(cluster: Cluster, machine: Machine, *, data_dir: str) -> list[str]:
    return [
        f"--name={machine.name}",
        f"--data-dir={data_dir}",
        f"--listen-client-urls={machine.client_url}",
        f"--advertise-client-urls={machine.client_url}",
        f"--listen-peer-urls={machine.peer_url}",
        f"--initial-advertise-peer-urls={machine.peer_url}",
        f"--initial-cluster={machine.initial_cluster}",
        f"--initial-cluster-state={machine.cluster_state}",
        f"--initial-cluster-token={cluster.token}",
    ]


def machine_environment(cluster: Cluster, machine: Machine) -> dict[str, str]:
    """What everything on the machine finds in its environment: its address, whom clients ask."""
    return {
        "COREOS_PUBLIC_IPV4": machine.ip,
        "COREOS_PRIVATE_IPV4": machine.ip,
        "ETCDCTL_PEERS": client_urls(cluster, first=machine),
        "FLEETCTL_ENDPOINT": machine.fleet_url,
    }


def fleet_environment(cluster: Cluster, machine: Machine, *, home: str) -> dict[str, str]:
    metadata = ",".join(f"{key}={value}" for key, value in sorted(machine.metadata.items()))
    return {
        "FLEET_ETCD_SERVERS": machine.client_url,
        "FLEET_ETCD_REQUEST_TIMEOUT": "5",  # all of the cluster shares one host's disk
        "FLEET_PUBLIC_IP": machine.ip,
        "FLEET_METADATA": metadata,
        "FLEET_AGENT_TTL": cluster.agent_ttl,
        "FLEET_ENGINE_RECONCILE_INTERVAL": "1",  # the leader's lease is five of these
        "FLEET_UNIT_MANAGER": "embedded",
        "FLEET_UNITS_DIRECTORY": f"{home}/units",
        "FLEET_MACHINE_ID_FILE": f"{home}/machine-id",
        "FLEET_API_LISTEN": machine.fleet_url,
    }


def client_urls(cluster: Cluster, *, first: Machine) -> str:
    others = [machine.client_url for machine in cluster.machines if machine.number != first.number]
    return ",".join([first.client_url, *others])


def to_json(cluster: Cluster) -> str:
    machines = [machine._asdict() for machine in cluster.machines]
    return json.dumps(cluster._replace(machines=())._asdict() | {"machines": machines}, indent=1)


def from_json(text: str) -> Cluster:
    """The inverse of to_json; ConfigError when the text is not a cluster's."""
    try:
        data = json.loads(text)
        machines = tuple(Machine(**machine) for machine in data.pop("machines"))
        return Cluster(**data | {"machines": machines})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"not a cluster description: {error}") from error
