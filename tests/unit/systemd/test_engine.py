"""Order and dependencies between units, and taking units over from an earlier manager."""

from __future__ import annotations

import pytest

from coreos_py.systemd.embedded.policy import Exit
from coreos_py.systemd.embedded.states import Snapshot
from tests.unit.systemd.world import World

RUN = "[Service]\nExecStart=/run %p\n"


@pytest.fixture
def world():
    return World()


def mains(world):
    return [line.split()[2] for line in world.ran if line.startswith("ExecStart /run ")]


def unit(**options):
    lines = "".join(f"{key}={value}.service\n" for key, value in options.items())
    return f"[Unit]\n{lines}{RUN}"


@pytest.mark.parametrize("relation", ["Requires", "BindsTo", "Wants"])
def test_a_start_pulls_in(world, relation):
    world.services(a=unit(**{relation: "b"}), b=RUN)
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("running", "running")


@pytest.mark.parametrize("relation", ["Requires", "BindsTo", "Wants", "After", "Requisite"])
def test_names_nobody_loaded_are_ignored(world, relation):
    world.services(a=unit(**{relation: "docker"}))
    world.start("a")
    assert world.state("a") == "running"


def test_after_decides_the_order(world):
    world.services(a=unit(Requires="b", After="b"), b=RUN)
    world.start("a")
    assert mains(world) == ["b", "a"]


def test_before_decides_the_order(world):
    world.services(a=unit(Requires="b", Before="b"), b=RUN)
    world.start("a")
    assert mains(world) == ["a", "b"]


def test_a_start_waits_until_the_other_is_ready(world):
    world.services(a=unit(Wants="b", After="b"), b="[Service]\nType=notify\nExecStart=/run b\n")
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("dead", "start")
    world.notify("b", READY="1")
    assert world.state("a") == "running"


def test_a_finished_oneshot_satisfies_requires(world):
    world.services(a=unit(Requires="b", After="b"), b="[Service]\nType=oneshot\nExecStart=/ok\n")
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("running", "dead")


@pytest.mark.parametrize(("relation", "state"), [("Requires", "dead"), ("Wants", "running")])
def test_a_failed_start_of_what_comes_first(world, relation, state):
    failing = "[Service]\nType=oneshot\nExecStart=/fail\n"
    world.services(a=unit(**{relation: "b"}, After="b"), b=failing)
    world.start("a")
    assert world.state("b") == "failed"
    assert world.state("a") == state
    assert world.engine.jobs == {}
    assert ("Dependency failed for a.service: b.service is failed" in world.said) == (
        relation == "Requires"
    )


def test_without_order_a_failed_requirement_does_not_matter(world):
    world.services(a=unit(Requires="b"), b="[Service]\nExecStart=/fail\n")
    world.start("a")
    assert world.state("a") == "running"


def test_requisite_is_not_pulled_in(world):
    world.services(a=unit(Requisite="b", After="b"), b=RUN)
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("dead", "dead")
    world.start("b", "a")
    assert world.state("a") == "running"


@pytest.mark.parametrize("relation", ["Requires", "BindsTo", "PartOf", "Requisite"])
def test_a_stop_takes_dependents_along(world, relation):
    world.services(a=unit(**{relation: "b"}, After="b"), b=RUN)
    world.start("b", "a")
    world.stop("b")
    assert (world.state("a"), world.state("b")) == ("dead", "dead")


@pytest.mark.parametrize("relation", ["Wants", "After"])
def test_a_stop_leaves_others_alone(world, relation):
    world.services(a=unit(**{relation: "b"}), b=RUN)
    world.start("b", "a")
    world.stop("b")
    assert world.state("a") == "running"


def test_stops_go_backwards(world):
    world.services(a=unit(BindsTo="b", After="b") + "ExecStop=/ok a\n", b=RUN + "ExecStop=/ok b\n")
    world.start("a")
    world.stop("b")
    assert [line for line in world.ran if line.startswith("ExecStop")] == [
        "ExecStop /ok a",
        "ExecStop /ok b",
    ]


def test_a_dependent_that_stops_slowly_holds_the_other_up(world):
    world.services(
        a="[Unit]\nBindsTo=b.service\nAfter=b.service\n"
        "[Service]\nExecStart=/stubborn\nTimeoutStopSec=5\n",
        b=RUN,
    )
    world.start("a")
    world.stop("b")
    assert (world.state("a"), world.state("b")) == ("stop-sigterm", "running")
    world.advance(5)
    assert (world.state("a"), world.state("b")) == ("failed", "dead")


@pytest.mark.parametrize(("relation", "state"), [("BindsTo", "dead"), ("Requires", "running")])
@pytest.mark.parametrize("status", [0, 1])
def test_an_unexpected_end(world, relation, state, status):
    world.services(a=unit(**{relation: "b"}, After="b"), b=RUN)
    world.start("a")
    world.end("b", status=status)
    assert world.state("a") == state


def test_bound_unit_comes_back_with_the_restarted_one(world):
    world.services(a=unit(BindsTo="b", After="b"), b=RUN + "Restart=always\nRestartSec=2\n")
    world.start("a")
    world.end("b", status=1)
    assert (world.state("a"), world.state("b")) == ("dead", "auto-restart")
    world.advance(2)
    assert (world.state("a"), world.state("b")) == ("running", "running")


def test_bound_unit_that_was_stopped_meanwhile_does_not_come_back(world):
    world.services(a=unit(BindsTo="b", After="b"), b=RUN + "Restart=always\nRestartSec=2\n")
    world.start("a")
    world.end("b", status=1)
    world.stop("a")
    world.advance(2)
    assert (world.state("a"), world.state("b")) == ("dead", "running")


def test_required_unit_restarts_its_dependents(world):
    world.services(a=unit(Requires="b", After="b"), b=RUN + "Restart=always\nRestartSec=2\n")
    world.start("a")
    first = world.main("a")
    world.end("b", status=1)
    assert world.main("a") == first
    world.advance(2)
    assert world.state("a") == "running"
    assert world.main("a") != first


def test_unit_that_could_not_start_comes_up_later(world):
    world.services(
        a=unit(BindsTo="b", After="b"),
        b="[Service]\nType=notify\nExecStart=/run b\nRestart=always\nRestartSec=1\n",
    )
    world.start("a")
    world.end("b", status=1)
    assert (world.state("a"), world.state("b")) == ("dead", "auto-restart")
    world.advance(1)
    world.notify("b", READY="1")
    assert (world.state("a"), world.state("b")) == ("running", "running")


def test_a_restart_of_the_dependent_alone(world):
    world.services(a=unit(BindsTo="b", After="b") + "Restart=always\nRestartSec=1\n", b=RUN)
    world.start("a")
    first = world.main("b")
    world.end("a", status=1)
    world.advance(1)
    assert world.state("a") == "running"
    assert world.main("b") == first


@pytest.mark.parametrize("sides", [("a", "b"), ("b", "a")])
def test_conflicts_make_way(world, sides):
    declares, other = sides
    world.services(**{declares: unit(Conflicts=other), other: RUN})
    world.start("b")
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("running", "dead")


def test_a_conflicting_unit_is_down_before_the_start(world):
    world.services(a=unit(Conflicts="b"), b="[Service]\nExecStart=/stubborn\nTimeoutStopSec=5\n")
    world.start("b")
    world.start("a")
    assert world.state("a") == "dead"
    world.advance(5)
    assert (world.state("a"), world.state("b")) == ("running", "failed")


def test_an_ordering_cycle_is_broken(world):
    world.services(a=unit(Wants="b", After="b"), b=unit(After="a"))
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("running", "running")
    assert any("ordering cycle" in text for text in world.said)


def test_a_requirement_cycle_is_no_loop(world):
    world.services(a=unit(Requires="b"), b=unit(Requires="a"))
    world.start("a")
    assert (world.state("a"), world.state("b")) == ("running", "running")
    world.stop("b")
    assert (world.state("a"), world.state("b")) == ("dead", "dead")


def test_chain_of_dependencies(world):
    world.services(a=unit(Requires="b", After="b"), b=unit(Requires="c", After="c"), c=RUN)
    world.start("a")
    assert mains(world) == ["c", "b", "a"]
    world.stop("c")
    assert [world.state(name) for name in "abc"] == ["dead", "dead", "dead"]


def test_forget_only_what_is_down(world):
    world.services(a=RUN)
    world.start("a")
    assert not world.engine.forget("a.service")
    world.stop("a")
    assert world.engine.forget("a.service")
    assert world.engine.forget("a.service")
    assert world.engine.stop("a.service", world.now) == []


def adopt(world, body, old, *, main=0, tree=False):
    """A new manager finds what the old one wrote down; `main` is the pid if it still runs."""
    world.load("a.service", body)
    if main:
        world._pid = main - 1
        world._new("a.service", "run", "ExecStart", ())
    elif tree:
        world._new("a.service", "run", "child", ())
    world.engine.adopt("a.service", old, main_alive=bool(main), tree_alive=bool(main) or tree)
    world.do(world.engine.settle(world.now))


@pytest.mark.parametrize("sub", ["running", "reload", "start-post"])
def test_adopt_a_running_service(world, sub):
    adopt(world, RUN, Snapshot(sub, main_pid=77), main=77)
    assert (world.state("a"), world.main("a")) == ("running", 77)
    world.start("a")
    assert world.ran == []
    world.stop("a")
    assert world.running("a") == []


def test_adopt_a_notify_service_whose_readiness_was_lost(world):
    adopt(world, "[Service]\nType=notify\nExecStart=/run a", Snapshot("start", main_pid=7), main=7)
    assert world.state("a") == "running"


@pytest.mark.parametrize(
    ("policy", "state"), [("no", "failed"), ("on-failure", "running"), ("always", "running")]
)
def test_adopt_a_service_that_ended_unseen(world, policy, state):
    adopt(world, f"{RUN}Restart={policy}\n", Snapshot("running", main_pid=77))
    world.advance(1)
    assert world.state("a") == state


def test_what_an_unseen_end_left_is_killed(world):
    adopt(world, RUN, Snapshot("running", main_pid=77), tree=True)
    assert world.running("a") == []
    assert world.state("a") == "failed"


def test_adopt_a_daemon_without_known_main_process(world):
    body = "[Service]\nType=forking\nExecStart=/daemon\n"
    adopt(world, body, Snapshot("running", main_known=False), tree=True)
    assert world.state("a") == "running"
    world.processes.clear()
    world.do([])
    assert world.state("a") == "dead"


@pytest.mark.parametrize("sub", ["start-pre", "start"])
def test_an_interrupted_start_is_cleaned_up_and_repeated(world, sub):
    adopt(world, RUN, Snapshot(sub), tree=True)
    assert world.state("a") == "running"
    assert world.running("a") == ["run"]
    assert world.ran[0] == "signal 15 tree"
    assert mains(world) == ["a"]


def test_an_interrupted_stop_goes_on(world):
    adopt(world, RUN, Snapshot("stop", main_pid=77, asked_to_stop=True), main=77)
    assert world.state("a") == "dead"
    assert world.running("a") == []


@pytest.mark.parametrize(("main", "state"), [(77, "start"), (0, "failed")])
def test_adopt_a_oneshot(world, main, state):
    body = "[Service]\nType=oneshot\nExecStart=/ok\nExecStart=/run a\n"
    adopt(world, body, Snapshot("start", main_pid=77, step=1), main=main)
    assert world.state("a") == state
    assert mains(world) == []


@pytest.mark.parametrize("sub", ["dead", "failed", "exited"])
def test_adopt_a_resting_service(world, sub):
    adopt(world, RUN + "RemainAfterExit=yes\n", Snapshot(sub))
    assert world.state("a") == sub
    assert world.ran == []


def test_adopt_a_service_that_waits_for_its_restart(world):
    adopt(world, RUN + "Restart=always\nRestartSec=3\n", Snapshot("auto-restart", restarts=4))
    assert world.state("a") == "auto-restart"
    world.advance(3)
    assert world.state("a") == "running"
    assert world.engine.services["a.service"].restarts == 4


def test_adopted_dependents_follow_a_lost_unit(world):
    world.services(a=unit(BindsTo="b", After="b"), b=RUN)
    world._new("a.service", "run", "ExecStart", ())
    pid = world._pid
    world.engine.adopt(
        "b.service", Snapshot("running", main_pid=55), main_alive=False, tree_alive=False
    )
    world.engine.adopt(
        "a.service", Snapshot("running", main_pid=pid), main_alive=True, tree_alive=True
    )
    world.do(world.engine.settle(world.now))
    assert (world.state("a"), world.state("b")) == ("dead", "failed")
    assert world.running("a") == []


def test_an_adopted_unit_that_is_stopped_ends_well_though_its_status_is_lost(world):
    adopt(world, RUN + "Restart=always\n", Snapshot("running", main_pid=77), main=77)
    world.processes[77].kind = "stubborn"
    world.stop("a")
    world.reap(77, Exit("lost", 0))
    assert (world.state("a"), world.result("a")) == ("dead", "success")
