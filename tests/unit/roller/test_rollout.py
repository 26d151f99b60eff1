"""CoreUpdate's percentages and frames."""

from __future__ import annotations

import pytest

from coreos_py.roller import rollout
from coreos_py.roller.records import SECOND_US, Invalid, Policy

FRAMES = '[{"duration":"60","percent":10},{"duration":"30","percent":50},{"percent":100}]'
RUNNING = Policy(
    update_percent=5.0, rollout=FRAMES, rollout_active=True, rollout_started_us=1000 * SECOND_US
)


@pytest.mark.parametrize(
    ("second", "percent"),
    [(0, 10), (999, 10), (1000, 10), (1059, 10), (1060, 50), (1089, 50), (1090, 100), (9999, 100)],
)
def test_frames_follow_each_other(second, percent):
    assert rollout.percent_at(RUNNING, second * SECOND_US) == percent


@pytest.mark.parametrize(
    "policy",
    [
        RUNNING._replace(rollout_active=False),
        RUNNING._replace(rollout_started_us=None),
        RUNNING._replace(rollout=""),
        RUNNING._replace(rollout="[]"),
    ],
)
def test_without_a_running_rollout_the_percentage_counts(policy):
    assert rollout.percent_at(policy, 0) == 5.0


def test_who_is_within_stays_within():
    machines = [f"{number:032x}" for number in range(2000)]
    percents = range(0, 101, 10)
    shares = [sum(rollout.is_within(item, percent) for item in machines) for percent in percents]
    assert shares[0] == 0
    assert shares[-1] == len(machines)
    assert shares == sorted(shares)
    assert all(abs(share - 200 * step) < 120 for step, share in enumerate(shares))
    assert rollout.place("0123456789abcdef0123456789abcdef") == 40.22


def test_frames_round_trip():
    assert rollout.dump(rollout.parse(FRAMES)) == FRAMES
    assert rollout.parse('[{"duration":60,"percent":0.5}]') == (rollout.Frame(60, 0.5),)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "{}", "[1]", '[{"percent":101}]', '[{"percent":-1}]', '[{"percent":"5"}]'),
        *('[{"duration":-1}]', '[{"duration":"x"}]', '[{"duration":true}]', "[" * 100_000),
        *('[{"percent":NaN}]', '[{"duration":"99999999999"}]'),
    ],
)
def test_frames_that_are_none(text):
    with pytest.raises(Invalid):
        rollout.parse(text)
