"""The life of a pretended instance, step by step, and the requests as go-omaha wrote them."""

from __future__ import annotations

import itertools

import pytest

from coreos_py.base.errors import WireError
from coreos_py.updatectl import omahaclient
from coreos_py.updatectl.fakelife import Ask, Instance, Rules, Say, Sleep

OK = b"""<response protocol="3.0" server="x"><app appid="a" status="ok">
<updatecheck status="ok"><urls><url codebase="http://h/p/"></url></urls>
<manifest version="2.0.0"><packages><package name="u.gz" hash="" size="1" required="true"/>
</packages></manifest></updatecheck><event status="ok"/></app></response>"""
NOTHING = OK.replace(b'status="ok"><urls', b'status="noupdate"><urls')
SILENT = b'<response><app appid="a" status="error-x"></app></response>'


class Life:
    """Drives one instance: asks are answered in turn, everything else is written down."""

    def __init__(self, rules: Rules, *, chance: int = 99) -> None:
        ids = (f"boot{n}" for n in itertools.count())
        self.instance = Instance(
            rules,
            id="m",
            version="1.0.0",
            below=lambda n: min(chance, n - 1),
            new_id=lambda: next(ids),
        )
        self.steps: list[str] = []
        self.bodies: list[str] = []

    def live(self, answers: list[bytes | None], steps: int) -> list[str]:
        life, answer = self.instance.live(), None
        step = next(life)
        for _ in range(steps):
            if isinstance(step, Sleep):
                self.steps.append(f"sleep {step.seconds}")
                answer = None
            elif isinstance(step, Say):
                self.steps.append(("!" if step.is_problem else "") + step.text)
                answer = None
            else:
                assert isinstance(step, Ask)
                body = step.body.decode()
                self.bodies.append(body)
                self.steps.append("ask " + " ".join(_inside(body)))
                data = answers.pop(0)
                answer = None if data is None else omahaclient.read(data)
            step = life.send(answer)
        return self.steps


def _inside(body):
    found = []
    for line in body.splitlines():
        words = line.strip().strip("<>").split(">")[0]
        if line.startswith("  <"):
            found.append(words)
    return found


CHECK = 'ask updatecheck event eventtype="3" eventresult="2"'


def event(type_, result, more=""):
    return f'ask event eventtype="{type_}" eventresult="{result}"{more}'


def test_an_update_from_check_to_reboot():
    life = Life(Rules(app="a", track="t", min_sleep_s=1, max_sleep_s=10, pings=2))
    assert life.live([OK, OK, OK, OK, OK, OK, OK, NOTHING], 17) == [
        "sleep 9",
        CHECK,
        event(13, 1),
        "sleep 1",
        event(14, 1),
        "sleep 1",
        event(3, 1),
        'ask ping r="1" status="1"',
        "sleep 1",
        'ask ping r="1" status="1"',
        "sleep 1",
        "updated from 1.0.0 to 2.0.0",
        event(3, 2),
        "sleep 9",
        CHECK,
        "noupdate",
        "sleep 9",
    ]
    assert 'version="1.0.0"' in life.bodies[0]
    assert 'version="2.0.0"' in life.bodies[-1]
    assert 'bootid="boot0"' in life.bodies[0]
    assert 'bootid="boot1"' in life.bodies[-1]


def test_a_failure_is_told_and_the_step_sent_once_more():
    life = Life(Rules(app="a", track="t", errorrate=100, min_sleep_s=3, max_sleep_s=3), chance=50)
    assert life.live([OK, OK, OK], 7) == [
        "sleep 3",
        CHECK,
        event(3, 0, ' errorcode="2000"'),
        "!failed to update in eventType: 13, eventResult: 1. Retrying.",
        "sleep 3",
        event(13, 1),
        "sleep 3",
    ]


def test_without_an_error_rate_nothing_fails():
    life = Life(Rules(app="a", track="t", errorrate=0, max_sleep_s=0), chance=0)
    assert not any(step.startswith("!") for step in life.live([OK] * 20, 20))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, []),
        (SILENT, ['error setting version: no updatecheck in the response (app status "error-x")']),
        (NOTHING, ["noupdate"]),
    ],
)
def test_checks_without_an_update(answer, said):
    life = Life(Rules(app="a", track="t", min_sleep_s=0, max_sleep_s=2))
    assert (
        life.live([answer], 3 + len(said) - 1)
        == ["sleep 1", CHECK, *said, "sleep 1"][: 2 + len(said)]
    )


def test_a_request_is_the_old_go_omahas():
    life = Life(Rules(app="a<", track="t", oem="o", force=True))
    life.live([NOTHING], 2)
    assert life.bodies == [
        """<request protocol="3.0" installsource="ondemandupdate">
 <os platform="CoreOS" version="lsb"></os>
 <app appid="a&lt;" version="1.0.0" track="t" bootid="boot0" machineid="m" oem="o">
  <updatecheck></updatecheck>
  <event eventtype="3" eventresult="2"></event>
 </app>
</request>"""
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Unauthorized",
        b"<request></request>",
        b"<response></response>",
        b'<!DOCTYPE r [<!ENTITY x "y">]><response><app/></response>',
    ],
)
def test_answers_that_are_none(data):
    with pytest.raises(WireError):
        omahaclient.read(data)


def test_where_the_first_package_is():
    check = omahaclient.check_of(omahaclient.read(OK))
    assert (check.status, check.version, check.url) == ("ok", "2.0.0", "http://h/p/u.gz")
    bare = omahaclient.read(b'<response><app><updatecheck status="ok"/></app></response>')
    with pytest.raises(WireError, match="no manifest"):
        omahaclient.check_of(bare)
