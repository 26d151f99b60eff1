"""The walkthrough on real machines: systemd over D-Bus, one machine losing its power.

Once on our etcd, and once on Debian's etcd 3.4 without its v2 API.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from coreos_py.base.errors import KEY_NOT_FOUND, StoreError
from coreos_py.etcdclient.v3sync import Etcd3
from tests.support import machines as support
from tests.support.debian_etcd import ETCD
from tests.support.machines import PATIENCE_S, Machines, within

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "packaging" / "examples"

COUNT = 4
PORT = 28080  # of the examples' web servers

pytestmark = pytest.mark.machine


# The example's announcement, for an etcd without the v2 API.
ANNOUNCE_V3 = f"""\
[Unit]
BindsTo=web@%i.service
After=web@%i.service

[Service]
EnvironmentFile=-/etc/environment
ExecStart=/bin/sh /usr/local/bin/announce /services/web/%i ${{COREOS_PUBLIC_IPV4}}:{PORT}
ExecStop=/bin/sh /usr/local/bin/announce /services/web/%i
Restart=on-failure
RestartSec=1

[X-Fleet]
MachineOf=web@%i.service
"""
ANNOUNCE_SCRIPT = """\
call() { curl -sSf "http://127.0.0.1:2379/v3/kv/$1" -d "$2"; }
key=$(printf %s "$1" | base64 -w 0)
[ $# -eq 2 ] || { call deleterange '{"key":"'"$key"'"}'; exit; }
value=$(printf %s "$2" | base64 -w 0)
while true; do
    call put '{"key":"'"$key"'","value":"'"$value"'"}' && sleep 45 || sleep 1
done
"""


@pytest.fixture(scope="module", params=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> str:
    """Which API of which etcd fleet and the services use."""
    return str(request.param)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, api: str):
    if reason := support.why_not():
        pytest.skip(reason)
    if api == "v3" and ETCD is None:
        pytest.skip("Debian's etcd-server is missing")
    archive = TOP / "dist" / "coreos.pyz"
    assert archive.exists(), "packaging/build.sh makes the archive"
    group = Machines(
        tmp_path_factory.mktemp("machines") / "m",
        count=COUNT,
        archive=archive,
        agent_ttl="20s",
        etcd3=(ETCD or "") if api == "v3" else "",
    )
    yield group
    group.close()


def units(machines: Machines, asker: int) -> dict[str, tuple[str, str]]:
    """Unit -> (machine address, sub state), one row per unit and machine for global units."""
    text = machines.insist(
        asker, "fleetctl", "list-units", "--no-legend", "--full", "--fields=unit,machine,sub"
    )
    rows = (line.split() for line in text.splitlines())
    return {name: (machine.rpartition("/")[2], sub) for name, machine, sub in rows}


def put_examples(machines: Machines, number: int, *, api: str) -> None:
    texts = {path.name: path.read_text() for path in EXAMPLES.glob("*.service")}
    if api == "v3":
        texts["web-announce@.service"] = ANNOUNCE_V3
        write = f"cat >/usr/local/bin/announce <<'EOF'\n{ANNOUNCE_SCRIPT}EOF"
        for machine in range(1, COUNT + 1):
            machines.run(machine, "sh", "-c", write)
    for name, text in texts.items():
        machines.run(number, "sh", "-c", f"cat >/root/{name} <<'EOF'\n{text}EOF")


def announcements(machines: Machines, *, api: str) -> dict[str, str]:
    """Web server -> where it says it is."""
    if api == "v2":
        keys = machines.run(1, "etcdctl", "ls", "--recursive", "/services").split()
        found = {key: machines.run(1, "etcdctl", "get", key) for key in keys if key[-1].isdigit()}
    else:
        client = Etcd3([f"http://{machines.address(1)}:2379"], timeout_s=30)
        try:
            nodes = client.get("/services/web", recursive=True, quorum=True).node.nodes
        except StoreError as err:
            nodes = ()
            if err.code != KEY_NOT_FOUND:
                raise
        finally:
            client.close()
        found = {node.key: node.value for node in nodes}
    return {key.removeprefix("/services/web/"): value.strip() for key, value in found.items()}


def announced_places(machines: Machines, *, api: str) -> dict[int, str] | None:
    """Web server -> where it runs, once all three run and say just that."""
    found, told = units(machines, 1), announcements(machines, api=api)
    places = {i: found[f"web@{i}.service"][0] for i in (1, 2, 3)}
    return places if told == {str(i): f"{place}:{PORT}" for i, place in places.items()} else None


@pytest.mark.timeout(2400)
def test_services_outlive_a_machine(machines: Machines, api: str):
    put_examples(machines, 1, api=api)
    start = "cd /root && fleetctl start"
    machines.insist(1, "sh", "-c", f"{start} web@1 web@2 web@3")
    machines.insist(1, "sh", "-c", f"{start} web-announce@1 web-announce@2 web-announce@3")
    machines.insist(1, "sh", "-c", f"{start} disk-report.service")

    places = within(PATIENCE_S, lambda: announced_places(machines, api=api))
    assert len(set(places.values())) == 3, places
    for place in places.values():
        assert machines.insist(1, "curl", "-sSf", f"{place}:{PORT}/x") == "Hello /x\n"

    victim = next(i for i in (1, 2, 3) if not places[i].endswith(".101"))
    lost = places[victim]
    machines.cut_power(machines.number_at(lost))

    def moved() -> str | bool:
        place, sub = units(machines, 1).get(f"web@{victim}.service", (lost, ""))
        # The state of a machine that is gone shows its id instead of an address for a moment.
        return place if place != lost and "." in place and sub == "running" else False

    place = within(PATIENCE_S, moved)
    assert place not in places.values()
    announcer = machines.number_at(place)

    def followed() -> bool:
        announced = announcements(machines, api=api).get(str(victim))
        log = ("journalctl", "-n", "30", "--no-pager", "-u", "fleet", "-u", "web-announce@*")
        assert announced == f"{place}:{PORT}", f"{announced}\n{machines.run(announcer, *log)}"
        return True

    within(PATIENCE_S, followed)
    assert machines.insist(1, "curl", "-sSf", f"{place}:{PORT}/still") == "Hello /still\n"

    machines.power_on(machines.number_at(lost))
    listing = ("fleetctl", "list-machines", "--no-legend")
    within(PATIENCE_S, lambda: machines.run(1, *listing).count("\n") == COUNT)
    assert units(machines, 1)[f"web@{victim}.service"][0] == place

    machines.insist(1, "fleetctl", "destroy", "web-announce@1", "web-announce@2", "web-announce@3")
    machines.insist(1, "fleetctl", "destroy", "web@1", "web@2", "web@3", "disk-report")
    within(PATIENCE_S, lambda: units(machines, 1) == {})
    within(PATIENCE_S, lambda: announcements(machines, api=api) == {})


@pytest.mark.timeout(2400)
def test_restarting_fleetd_restarts_no_unit(machines: Machines):
    machines.insist(
        1,
        "sh",
        "-c",
        "cd /root && printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >still.service"
        " && fleetctl start still",
    )
    where, _ = within(PATIENCE_S, lambda: units(machines, 1)["still.service"])
    number = machines.number_at(where)
    pid = machines.run(number, "systemctl", "show", "-p", "MainPID", "still.service")
    machines.run(number, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", "fleet")
    within(
        PATIENCE_S,
        lambda: (
            "Adopted running unit(still.service)"
            in machines.run(number, "journalctl", "-u", "fleet", "-o", "cat", "--no-pager")
        ),
    )
    assert machines.run(number, "systemctl", "show", "-p", "MainPID", "still.service") == pid
    machines.insist(1, "fleetctl", "destroy", "still")
