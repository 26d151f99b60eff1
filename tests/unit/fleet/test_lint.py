"""Bad unit files: where each is wrong or odd, to the line and the key."""

from __future__ import annotations

import pytest

from coreos_py.base.unitfile import UnitFileError, locate, parse
from coreos_py.fleet import lint

LONG = b"x" * 3000
FAULTS = {
    # the text
    "no equals sign": (b"[Service]\nExecStart\n", ["2: unexpected newline encountered"]),
    "no equals sign at the end": (b"[Service]\nA=b\n\nExecStart", ["4: EOF"]),
    "an open section": (b"[Unit]\nA=b\n[Service\n", ["3: unable to find end of section"]),
    "text behind a section": (b"\n[Service] foo\n", ["2: found garbage after section name"]),
    "a long line": (b"[Service]\nA=b\nExecStart=" + LONG + b"\n", ["3: line too long (max 2048"]),
    "a long comment": (b"[Service]\n# " + LONG + b"\nA=b\n", ["2: line too long (max 2048"]),
    "a long line before all": (LONG + b"\n[Service]\nA=b\n", ["1: line too long (max 2048"]),
    # contradictions
    "a peer in conflict": (
        b"[X-Fleet]\nMachineOf=b.service\nConflicts=z c*\nConflicts=b*\n",
        ["2: MachineOf: unresolvable", "3: Conflicts: unres", "4: Conflicts: unresolvable"],
    ),
    "a peer to replace": (
        b"[X-Fleet]\nMachineOf=b.service\n\nReplaces=b*\n",
        ["2: MachineOf: unresolvable requirements: peer", "4: Replaces: unresolvable"],
    ),
    "a machine and peers": (
        b"[Unit]\nDescription=x\n[X-Fleet]\nMachineID=aaaaaaaa\nMachineOf=b.service\n",
        ["4: MachineID: MachineID cannot be used with Peers", "5: MachineOf: MachineID cannot"],
    ),
    "a machine and conflicts": (
        b"[X-Fleet]\nX-Conflicts=a\nX-ConditionMachineID=aaaaaaaa\n",
        ["2: X-Conflicts: MachineID cannot be used with Conflicts", "3: X-ConditionMachineID: "],
    ),
    "a machine and global": (
        b"[X-Fleet]\nMachineID=aaaaaaaa\nGlobal=true\n",
        ["2: MachineID: MachineID cannot be used with Global", "3: Global: MachineID cannot"],
    ),
    "global and peers": (
        b"[X-Fleet]\nGlobal=yes\nMachineOf=b.service\n",
        ["2: Global: Global cannot be used with Peers", "3: MachineOf: Global cannot"],
    ),
    "global and replaces": (
        b"[X-Fleet]\nReplaces=a\nGlobal=1\n",
        ["2: Replaces: Global cannot be used with Replaces", "3: Global: Global cannot"],
    ),
    "conflicts and replaces": (
        b"[X-Fleet]\nReplaces=a\nConflicts=b\n",
        ["2: Replaces: Conflicts cannot be used with Replaces", "3: Conflicts: Conflicts cannot"],
    ),
    "a bad amount": (
        b"[X-Fleet]\nMachineMemory=1G\nMachineMemory=lots\n",
        ["2: MachineMemory: ", "3: MachineMemory: "],
    ),
}
ODDITIES = {
    "fine": (b"[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineOf=b.service\n", []),
    "fine with specifiers": (b"[X-Fleet]\nConflicts=%p@*.service\nMachineOf=x-%i.service\n", []),
    "fine with continuation": (b"[Service]\nExecStart=/bin/a \\\n  b\n[X-Fleet]\nGlobal=on\n", []),
    "fine with carriage returns": (b"[Service]\r\nExecStart=/bin/true\r\n", []),
    # encodings
    "a byte order mark": (b"\xef\xbb\xbf[Service]\nA=b\n", ["1: a byte order mark"]),
    "latin-1": (b"[Unit]\nDescription=caf\xe9\n", ["2: byte 0xe9 is not UTF-8"]),
    "cut UTF-8": (b"[Unit]\nA=b\nDescription=\xe2\x82\n", ["3: byte 0xe2 is not UTF-8"]),
    "NUL": (b"[Unit]\nDescription=a\0b\n", ["2: a NUL byte"]),
    "UTF-16": (
        "[Unit]\nA=b\n".encode("utf-16"),
        ["1: a NUL byte", "1: byte 0xff is not UTF-8", "1: there are no options", "1: text before"],
    ),
    "nothing": (b"", ["1: there are no options in it"]),
    "only comments": (b"# a\n; b\n", ["1: there are no options in it"]),
    "no section": (b"ExecStart=/bin/true\n", ["1: there are no options", "1: text before the"]),
    "junk before": (b"#!/bin/sh\nhello\n[Unit]\nA=b\n", ["2: text before the first section"]),
    "another section": (b"[X-fleet]\nGlobal=true\n", ["2: [X-fleet] is not [X-Fleet]"]),
    # keys and values
    "an unknown key": (b"[X-Fleet]\nA=b\nFoo=1\n", ["2: A: fleet does not", "3: Foo: fleet does"]),
    "the wrong case": (b"[X-Fleet]\nmachineof=a.service\n", ["2: machineof: fleet does not know"]),
    "a bad pattern": (b"[X-Fleet]\nConflicts=a[ b*\n", ["2: Conflicts: a[ is no pattern"]),
    "an empty pattern": (b"[X-Fleet]\nConflicts=\n", ["2: Conflicts: is empty"]),
    "metadata": (
        b'[X-Fleet]\nMachineMetadata="a=b" "c"\nMachineMetadata=a=b=c\n',
        ["2: MachineMetadata: c is not of the form", "3: MachineMetadata: a=b=c is not"],
    ),
    "an empty machine": (b"[X-Fleet]\nMachineID=\n", ["2: MachineID: an empty word is neither"]),
    "half a machine": (b"[X-Fleet]\nMachineID=abc\n", ["2: MachineID: abc is neither"]),
    "its own peer": (b"[X-Fleet]\nMachineOf=u@1.service\n", ["2: MachineOf: names the unit its"]),
    "its own peer by %": (b"[X-Fleet]\nMachineOf=%n\n", ["2: MachineOf: names the unit itself"]),
    "peers in one word": (b"[X-Fleet]\nMachineOf=a.service b.service\n", ["2: MachineOf: a.serv"]),
    "no peer": (b"[X-Fleet]\nMachineOf=web\n", ["2: MachineOf: web is no unit name"]),
    "hardly global": (b"[X-Fleet]\nGlobal=maybe\n", ["2: Global: maybe counts as no"]),
}


def begins(findings, expected):
    assert [str(found)[: len(text)] for found, text in zip(findings, expected, strict=False)] == (
        expected
    ), [str(found) for found in findings]
    assert len(findings) == len(expected), [str(found) for found in findings]


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_faults(text, expected):
    begins(lint.faults(text), expected)


@pytest.mark.parametrize(("text", "expected"), ODDITIES.values(), ids=ODDITIES)
def test_oddities(text, expected):
    begins(lint.oddities("u@1.service", text), expected)
    if not expected:
        assert lint.faults(text) == []


@pytest.mark.parametrize("text", [text for text, _ in FAULTS.values()], ids=FAULTS)
def test_what_is_faulty_is_refused_elsewhere_too(text):
    from coreos_py.fleet.requirements import RequirementsError, check

    with pytest.raises((UnitFileError, RequirementsError)):
        check(parse(text).options)


def test_places_agree_with_the_options():
    text = b"# c\n[A]\nx=1\ny=2 \\\n  3\n\n[B]\n; c\nz=4\n"
    places = locate(text)
    assert [(place.line, place.section, place.name) for place in places] == [
        (3, "A", "x"),
        (4, "A", "y"),
        (9, "B", "z"),
    ]
    assert tuple((p.section, p.name, p.value) for p in places) == parse(text).options
    assert [place.name for place in locate(text + b"broken\n")] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ({"a": "b", "b": "c"}, []),
        ({"a": "b", "b": "a"}, [("a", "b", "a")]),
        ({"a": "b", "b": "c", "c": "b", "d": "a"}, [("b", "c", "b")]),
        ({"a": "a"}, [("a", "a")]),
        ({"a": "x", "b": "a", "c": "a"}, []),
    ],
)
def test_circles_of_peers(peers, expected):
    files = {name: parse(f"[X-Fleet]\nMachineOf={peer}\n") for name, peer in peers.items()}
    assert lint.cycles(files) == expected


def test_a_thousand_units_in_one_circle_are_no_problem():
    files = {f"{n}": parse(f"[X-Fleet]\nMachineOf={(n + 1) % 1000}\n") for n in range(1000)}
    assert [len(circle) for circle in lint.cycles(files)] == [1001]
