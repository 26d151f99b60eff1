"""Bad unit files through every door: fleetctl, the API, the registry written by another hand.

What is refused leaves nothing behind, what is taken is there whole, nothing crashes, and a good
unit is started after each. Two machines, real fleetctl, API, engine and agents, over memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from urllib.parse import quote

import pytest

from coreos_py.base import unitfile
from coreos_py.fleet import lint, model
from coreos_py.fleet.cmd_fleetctl import main
from tests.support.live_fleet import LiveFleet
from tests.support.procs import eventually, http_request
from tests.unit.fleet.test_lint import FAULTS, ODDITIES

PREFIX = "/_coreos.com/fleet"
GOOD = "[Service]\nExecStart=/bin/sleep 9\n"
HASH = unitfile.parse(GOOD).hash
MACHINE = "aaaaaaaa11112222"


@pytest.fixture(scope="module")
def fleet():
    with LiveFleet([(MACHINE, "10.0.0.1"), ("bbbbbbbb33334444", "10.0.0.2")]) as found:
        yield found


@pytest.fixture(autouse=True)
def others_go_on(fleet, tmp_path, monkeypatch):
    """After each case a good unit is started, seen by everybody, and destroyed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLEETCTL_ENDPOINT", fleet.url)
    yield
    for key in ("states", "state"):
        remove(fleet, key)
    (tmp_path / "good.service").write_text(GOOD)
    code, out, err = fleetctl("start", "good.service")
    assert (code, err) == (0, "")
    assert "Unit good.service launched on " in out
    code, out, _ = fleetctl("list-units", "--no-legend", "--fields=unit,active")
    assert code == 0
    assert "good.service\tactive" in out
    assert fleetctl("destroy", "good.service")[0] == 0
    eventually(lambda: not any("good.service" in m.files for m in fleet.managers.values()))


def fleetctl(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fleetctl", *words])
    return code, out.getvalue(), err.getvalue()


def keys_of(fleet, name):
    """What the registry holds of a unit: its own keys, and whether its text is there and reads."""
    dump = fleet.do(_dump(fleet))
    own = {key.rpartition("/")[2]: value for key, value in dump.items() if f"/job/{name}/" in key}
    if "object" in own:
        found_name, unit_hash = model.decode_job(own["object"])
        assert found_name == name
        unitfile.parse(model.decode_unit(dump[f"{PREFIX}/unit/{unit_hash}"]))
    return own


async def _dump(fleet):
    return fleet.etcd.dump()


def put(fleet, key, value):
    fleet.do(fleet.etcd.set(f"{PREFIX}/{key}", value))


def remove(fleet, key):
    with contextlib.suppress(Exception):
        fleet.do(fleet.etcd.delete(f"{PREFIX}/{key}", recursive=True))


# -- through fleetctl


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_faulty_files_are_refused_with_their_places(fleet, tmp_path, text, expected):
    (tmp_path / "bad.service").write_bytes(text)
    for command in ("submit", "load", "start"):
        code, out, err = fleetctl(command, "bad.service")
        lines = err.splitlines()
        assert (code, out) == (1, "")
        assert [line[: len(want) + 12] for line, want in zip(lines, expected, strict=False)] == [
            f"bad.service:{want}" for want in expected
        ]
        assert lines[len(expected)].startswith("Error creating units: ")
        assert len(lines) == len(expected) + 1
        assert keys_of(fleet, "bad.service") == {}


TAKEN = {name: case for name, case in ODDITIES.items() if not lint.faults(case[0])}


@pytest.mark.parametrize(("text", "expected"), TAKEN.values(), ids=TAKEN)
def test_odd_files_are_taken_and_flagged(fleet, tmp_path, text, expected):
    (tmp_path / "u@1.service").write_bytes(text)
    code, out, err = fleetctl("submit", "u@1.service")
    flags = [line for line in err.splitlines() if line.startswith("u@1.service:")]
    assert [f[: len(want) + 12] for f, want in zip(flags, expected, strict=False)] == [
        f"u@1.service:{want}" for want in expected
    ]
    assert len(flags) == len(expected)
    if not unitfile.parse(text).options:
        assert (code, out) == (1, "")
        assert "unit does not exist and options field empty" in err
        assert keys_of(fleet, "u@1.service") == {}
        return
    assert code == 0
    assert out.startswith("Unit u@1.service ")
    assert set(keys_of(fleet, "u@1.service")) == {"object", "target-state"}
    code, shown, _ = fleetctl("cat", "u@1.service")
    assert code == 0
    assert unitfile.parse(shown).hash == unitfile.parse(shown.encode()).hash
    assert fleetctl("destroy", "u@1.service")[0] == 0


def test_a_circle_of_peers_is_told(fleet, tmp_path):
    for name, peer in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.service").write_text(f"{GOOD}[X-Fleet]\nMachineOf={peer}.service\n")
    code, _, err = fleetctl("submit", "a.service", "b.service")
    assert (code, err) == (0, "")
    code, _, err = fleetctl("submit", "c.service")
    assert code == 0
    assert "in a circle" in err
    assert err.rstrip().endswith("a.service -> b.service -> c.service -> a.service")
    code, _, err = fleetctl("start", "--block-attempts=1", "a.service", "b.service", "c.service")
    assert code == 1
    assert fleetctl("destroy", "a.service", "b.service", "c.service")[0] == 0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("t@" + "x" * 250 + ".service", "unit name exceeds maximum length (256)"),
        ("a%b.service", "invalid character '%' in unit name"),
        ("a b.service", "invalid character ' ' in unit name"),
        ("\u00e9.service", "invalid character '\u00e9' in unit name"),
        ("@1.service", 'unit name cannot start in "@"'),
        ("a@1.mount", 'invalid unit type for template: "mount"'),
        ("a\nb.service", "invalid character '\\n' in unit name"),
    ],
)
def test_bad_names_are_refused(fleet, tmp_path, name, problem):
    is_long = len(name) > 255  # no file can be called that, but an instance can
    (tmp_path / ("t@.service" if is_long else name)).write_text(GOOD)
    code, out, err = fleetctl("submit", name)
    assert (code, out) == (1, "")
    assert err.endswith(f"Error creating units: {problem}\n")
    assert not any("/job/" in key for key in fleet.do(_dump(fleet)))


def test_a_path_is_only_where_the_file_is(fleet, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "p.service").write_text(GOOD)
    assert fleetctl("submit", "deep/../deep/p.service")[:2] == (0, "Unit p.service inactive\n")
    assert fleetctl("destroy", "p.service")[0] == 0


def test_a_template_cannot_be_started(fleet, tmp_path):
    (tmp_path / "t@.service").write_text(GOOD)
    code, _, err = fleetctl("start", "--no-block", "t@.service")
    assert code == 1
    assert 'cannot activate template "t@.service"' in err
    assert fleetctl("destroy", "t@.service")[0] == 0


# -- through the API

HUGE = "y" * (4 << 20)


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [
        ("nul.service", [("Service", "A\0B", "c\0d")], 201),
        ("lf.service", [("Service", "A", "b\nc")], 400),
        ("name-lf.service", [("Service", "A\nB", "c")], 400),
        ("section.service", [("Ser]vice", "A", "b")], 400),
        ("surrogate.service", [("Service", "A", "\ud800")], 201),
        ("long.service", [("Service", "A", "x" * 3000)], 400),
        ("many.service", [("Service", f"A{n}", "b") for n in range(10_000)], 201),
        ("huge.service", [("Service", "A", HUGE)], 413),
        ("x" * 300 + ".service", [("Service", "A", "b")], 400),
        ("a%b.service", [("Service", "A", "b")], 400),
        ("..", [("Service", "A", "b")], 301),
        ("noidea", [("Service", "A", "b")], 400),
        ("dot.", [("Service", "A", "b")], 400),
        ("a.b", [("Service", "A", "b")], 400),
        ("none.service", [], 409),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_the_api_takes_a_unit_whole_or_not_at_all(fleet, name, options, status):
    body = {
        "name": name,
        "desiredState": "launched",
        "options": [{"section": s, "name": n, "value": v} for s, n, v in options],
    }
    reply = http_request(
        "PUT",
        f"{fleet.url}/fleet/v1/units/{quote(name, safe='')}",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status == status, reply.body
    if status != 201:
        assert keys_of(fleet, name) == {}
        return
    assert {"object", "target-state"} <= set(keys_of(fleet, name))
    eventually(lambda: any(name in manager.running for manager in fleet.managers.values()))
    assert fleetctl("destroy", name)[0] == 0


# -- through the registry

BAD_KEYS = {
    "an empty object": {"job/x.service/object": ""},
    "half an object": {"job/x.service/object": '{"Name":'},
    "an array": {"job/x.service/object": "[]"},
    "deep": {"job/x.service/object": "[" * 100_000},
    "a hash that is text": {"job/x.service/object": '{"Name":"x.service","UnitHash":"abc"}'},
    "a hash too large": {"job/x.service/object": '{"Name":"x.service","UnitHash":[999]}'},
    "a text that is not there": {"job/x.service/object": model.encode_job("x.service", "ab" * 20)},
    "another name": {"job/x.service/object": model.encode_job("y.service", HASH)},
    "no name": {"job/x.service/object": model.encode_job("", HASH)},
    "a name that climbs": {
        "job/x.service/object": model.encode_job("../../../tmp/evil.service", HASH)
    },
    "a name that is none": {"job/noidea/object": model.encode_job("noidea", HASH)},
    "a state that is none": {
        "job/x.service/object": model.encode_job("x.service", HASH),
        "job/x.service/target-state": "sideways",
    },
    "a file for a directory": {"job/x.service": "hello"},
    "directories without end": {"job/x.service/object/a/b/c/d": "hello"},
    "only a heartbeat": {"job/x.service/job-state": MACHINE},
    "a text that is junk": {
        f"unit/{'cd' * 20}": "{",
        "job/x.service/object": model.encode_job("x.service", "cd" * 20),
    },
    "a text of another type": {
        f"unit/{'ce' * 20}": '{"Raw":5}',
        "job/x.service/object": model.encode_job("x.service", "ce" * 20),
    },
    "a text that does not parse": {
        f"unit/{'cf' * 20}": model.encode_unit("[Service\n"),
        "job/x.service/object": model.encode_job("x.service", "cf" * 20),
    },
    "a state of nobody": {f"states/x.service/{MACHINE}": "{", "state/x.service": "{"},
    "states deep down": {"states/x.service/a/b": "{}"},
}


@pytest.mark.parametrize("keys", BAD_KEYS.values(), ids=BAD_KEYS)
def test_junk_in_the_registry_disturbs_nobody(fleet, keys):
    placed = {
        key.rpartition("/")[0] + suffix: value
        for key in keys
        if key.endswith("/object")
        for suffix, value in (("/target-state", "launched"), ("/target", MACHINE))
    }
    for key, value in {**placed, **keys}.items():
        put(fleet, key, value)
    time.sleep(0.1)
    assert fleetctl("list-unit-files", "--no-legend")[0] == 0
    assert fleetctl("list-units", "--no-legend")[0] == 0
    assert not any(manager.files for manager in fleet.managers.values())
    for key in keys:
        remove(fleet, "/".join(key.split("/")[:2]))


def test_a_record_that_goes_bad_stops_nothing(fleet, tmp_path):
    (tmp_path / "r.service").write_text(GOOD)
    assert fleetctl("start", "r.service")[0] == 0
    for key, value in (("target-state", "sideways"), ("object", "{")):
        put(fleet, f"job/r.service/{key}", value)
        time.sleep(0.3)  # agents and engine have looked at it
        assert any("r.service" in manager.running for manager in fleet.managers.values())
    # It is not listed any more, but can be destroyed by its name.
    reply = http_request("DELETE", f"{fleet.url}/fleet/v1/units/r.service")
    assert reply.status == 204
    eventually(lambda: not any(manager.files for manager in fleet.managers.values()))
