"""fleetctl's moving commands where something is in the way: failures, interrupts, an old fleetd."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from coreos_py.fleet import api
from coreos_py.fleet.cmd_fleetctl import main
from coreos_py.fleet.ctl import moving
from coreos_py.fleet.ctl.session import is_glob
from coreos_py.fleet.registry import Registry
from tests.support.live_fleet import LiveFleet
from tests.support.procs import eventually

MACHINES = [("aaaa111122223333", "10.0.0.1"), ("bbbb111122223333", "10.0.0.2")]
UNIT = "[Service]\nExecStart=/bin/sleep 1\n"


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Two machines; a.service and b.service run on aaaa."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.service").write_text(UNIT)
    with LiveFleet(MACHINES) as live:
        monkeypatch.setenv("FLEETCTL_ENDPOINT", live.url)
        assert fleetctl("cordon", "bbbb")[0] == 0
        assert fleetctl("start", "a", "b")[0] == 0
        assert fleetctl("uncordon", "bbbb")[0] == 0
        yield live


def fleetctl(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fleetctl", *words])
    return code, out.getvalue(), err.getvalue()


def running(fleet, machine_id):
    return sorted(fleet.managers[machine_id].running)


def test_a_drain_stops_where_a_unit_does_not_come_up(fleet):
    fleet.managers["bbbb111122223333"].broken = {"a.service"}
    code, out, err = fleetctl("drain", "--timeout=2", "aaaa")
    assert code == 1
    assert "Unit a.service was moved, but not active after 2 s: not there" in err
    told = "Unit a.service is scheduled to bbbb1111.../10.0.0.2, which says: a.service is broken"
    eventually(lambda: told in fleetctl("status", "a")[2])
    assert "0 units moved, not drained yet; it stays cordoned" in err
    assert "b.service" not in out + err
    assert running(fleet, "aaaa111122223333") == ["b.service"]
    assert fleetctl("drain", "aaaa")[0] == 0  # what is left goes; a.service is on bbbb already
    assert running(fleet, "bbbb111122223333") == ["b.service"]


def test_an_interrupted_drain_leaves_units_on_one_machine_or_the_other(fleet, monkeypatch):
    def interrupt(_seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving.time, "sleep", interrupt)
        code, out, err = fleetctl("drain", "aaaa")
    assert code == 130
    assert "Interrupted" in err
    assert out == "Machine aaaa1111.../10.0.0.1 cordoned\n"
    placed = {unit.machine_id for unit in fleet.do(Registry(fleet.etcd).units())}
    assert placed <= {"aaaa111122223333", "bbbb111122223333"}
    assert fleetctl("drain", "aaaa")[0] == 0
    eventually(lambda: running(fleet, "bbbb111122223333") == ["a.service", "b.service"])


@pytest.mark.parametrize(
    "words",
    [("cordon", "aaaa"), ("uncordon", "aaaa"), ("drain", "aaaa"), ("rebalance",), ("events",)],
)
def test_an_old_fleetd_is_named_as_the_reason(fleet, monkeypatch, words):
    monkeypatch.setattr(api, "READS", ())
    monkeypatch.setattr(api, "WRITES", ())
    code, out, err = fleetctl(*words)
    assert (code, out) == (1, "")
    assert err == "fleetd does not offer this; fleetd 1.0.0 needs --driver=etcd for it\n"


def test_old_tables_do_without_what_an_old_fleetd_does_not_tell(fleet, monkeypatch):
    monkeypatch.setattr(api, "READS", ())
    code, out, _ = fleetctl("list-machines", "--fields=machine,state,memory", "--no-legend")
    assert (code, out.split()) == (0, ["aaaa1111...", "-", "-", "bbbb1111...", "-", "-"])
    code, out, _ = fleetctl("list-unit-files", "--fields=unit,reason", "--no-legend")
    assert (code, out.split()) == (0, ["a.service", "-", "b.service", "-"])


def test_events_come_as_lines_and_as_json(fleet):
    def told(*words):
        code, out, err = fleetctl("events", *words)
        assert (code, err) == (0, "")
        return out.splitlines()

    eventually(lambda: len(told("--unit", "b", "--json")) >= 4)
    found = [json.loads(line) for line in told("--unit", "b", "--json")]
    assert {event["unit"] for event in found} == {"b.service"}
    kinds = {event["kind"] for event in found}
    assert kinds >= {"submitted", "wanted", "scheduled", "state"}
    (cordoned,) = [line for line in told("--machine", "bbbb") if " cordoned " in line]
    assert cordoned.endswith(" cordoned bbbb1111.../10.0.0.2")
    (full,) = [line for line in told("--machine", "bbbb", "-l") if " uncordoned " in line]
    assert full.endswith(" uncordoned bbbb111122223333/10.0.0.2")
    assert fleetctl("events", "a.service")[0] == 1


def test_a_rollout_to_text_that_fits_nowhere_says_so(fleet, tmp_path):
    (tmp_path / "a.service").write_text(UNIT + "[X-Fleet]\nMachineMetadata=disk=ssd\n")
    code, out, err = fleetctl("rollout", "--timeout=2", "a", "b")
    assert (code, out) == (1, "")
    assert "Unit a.service: not active after 2 s: not there" in err
    assert "Unit a.service waits for a machine able to run it:" in err
    assert "  aaaa1111.../10.0.0.1: local Machine metadata insufficient" in err
    assert "0 of 2 units are done" in err or "1 of 2 units are done" in err


def test_without_a_file_a_rollout_takes_the_template_of_the_cluster(fleet, tmp_path):
    template = tmp_path / "w@.service"
    template.write_text(UNIT)
    assert fleetctl("start", "w@1")[0] == 0
    template.write_text(UNIT + "Environment=NEW=1\n")
    assert fleetctl("submit", "w@.service")[0] == 0
    template.unlink()
    code, _, err = fleetctl("rollout", "other/w@1")
    assert (code, err.startswith("w@1.service: no unit file other/w@1.service or")) == (1, True)
    code, out, _ = fleetctl("rollout", "--settle=0", "w@1")
    assert (code, out.splitlines()[-1]) == (0, "1 of 1 units are done")
    assert "NEW=1" in fleetctl("cat", "w@1")[1]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("w@*", True), ("w?", True), ("w@[12]", True), ("w@1", False), ("a\\x2db.service", False)],
)
def test_a_backslash_makes_no_glob(word, expected):
    assert is_glob(word) is expected
