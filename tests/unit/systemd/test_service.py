"""Lives of single services in a pretended machine, through the states systemd 252 knows."""

from __future__ import annotations

import pytest

from tests.unit.systemd.world import World


@pytest.fixture
def world():
    return World()


def one(world, body):
    world.load("a.service", f"[Service]\n{body}")
    world.start("a")
    return world


def test_simple_start_and_stop(world):
    one(world, "ExecStart=/run")
    assert world.state("a") == "running"
    assert world.running("a") == ["run"]
    world.stop("a")
    assert world.state("a") == "dead"
    assert world.running("a") == []
    assert world.ran == [
        "begin a.service",
        "ExecStart /run",
        "signal 15 tree",
        "signal 15 tree",
        "end a.service",
    ]
    assert world.timers == {}
    assert world.watched == set()


def test_start_of_a_running_unit_and_stop_of_a_dead_one_do_nothing(world):
    one(world, "ExecStart=/run")
    world.start("a")
    assert world.ran.count("ExecStart /run") == 1
    world.stop("a")
    before = list(world.ran)
    world.stop("a")
    assert world.ran == before


def test_all_commands_in_order(world):
    one(
        world,
        "ExecStartPre=/ok 1\nExecStartPre=/ok 2\nExecStart=/run\nExecStartPost=/ok 3\n"
        "ExecStop=/ok 4\nExecStopPost=/ok 5",
    )
    assert world.seen["ExecStartPost"] == {"MAINPID": str(world.main("a"))}
    main = str(world.main("a"))
    world.stop("a")
    commands = [line for line in world.ran if line.startswith("Exec")]
    assert commands == [
        "ExecStartPre /ok 1",
        "ExecStartPre /ok 2",
        "ExecStart /run",
        "ExecStartPost /ok 3",
        "ExecStop /ok 4",
        "ExecStopPost /ok 5",
    ]
    assert world.seen["ExecStop"] == {"MAINPID": main, "SERVICE_RESULT": "success"}
    assert world.seen["ExecStopPost"] == {
        "SERVICE_RESULT": "success",
        "EXIT_CODE": "killed",
        "EXIT_STATUS": "TERM",
    }
    assert world.state("a") == "dead"


@pytest.mark.parametrize(
    ("body", "ran", "state", "result"),
    [
        ("ExecStartPre=/fail\nExecStart=/run", "ExecStartPre /fail", "failed", "exit-code"),
        ("ExecStartPre=-/fail\nExecStart=/run", "ExecStart /run", "running", "success"),
        ("ExecStartPre=-/missing\nExecStart=/run", "ExecStart /run", "running", "success"),
        ("ExecStart=/run\nExecStartPost=/fail", "ExecStartPost /fail", "failed", "exit-code"),
        ("ExecStart=/missing", "ExecStart /missing", "failed", "exit-code"),
        ("ExecStart=-/missing", "ExecStart /missing", "dead", "success"),
        ("ExecStart=/fail", "ExecStart /fail", "failed", "exit-code"),
        ("ExecStart=-/fail", "ExecStart /fail", "dead", "success"),
        ("ExecStart=/ok", "ExecStart /ok", "dead", "success"),
        ("ExecStart=/ok\nRemainAfterExit=yes", "ExecStart /ok", "exited", "success"),
        ("ExecStart=/fail\nRemainAfterExit=yes", "ExecStart /fail", "failed", "exit-code"),
        ("ExecStart=/fail\nSuccessExitStatus=1", "ExecStart /fail", "dead", "success"),
        ("Type=oneshot\nExecStart=/ok", "ExecStart /ok", "dead", "success"),
        ("Type=oneshot\nExecStart=/ok 1\nExecStart=/ok 2", "ExecStart /ok 2", "dead", "success"),
        ("Type=oneshot\nExecStart=/fail\nExecStart=/ok", "ExecStart /fail", "failed", "exit-code"),
        ("Type=oneshot\nExecStart=-/fail\nExecStart=/ok", "ExecStart /ok", "dead", "success"),
        ("Type=oneshot\nExecStart=/ok\nRemainAfterExit=1", "ExecStart /ok", "exited", "success"),
        ("RemainAfterExit=1\nExecStop=/ok", "begin a.service", "exited", "success"),
        ("Type=oneshot\nExecStart=/run", "ExecStart /run", "start", "success"),
        ("Type=notify\nExecStart=/run", "ExecStart /run", "start", "success"),
        ("Type=notify\nExecStart=/ok", "ExecStart /ok", "failed", "protocol"),
        ("Type=forking\nExecStart=/daemon", "ExecStart /daemon", "running", "success"),
        ("Type=forking\nExecStart=/fail", "ExecStart /fail", "failed", "exit-code"),
        ("Type=forking\nExecStart=/ok", "ExecStart /ok", "dead", "success"),
    ],
)
def test_where_a_start_leads(world, body, ran, state, result):
    one(world, body)
    assert [line for line in world.ran if line.startswith(("Exec", "begin"))][-1] == ran
    assert (world.state("a"), world.result("a")) == (state, result)


def test_failed_start_skips_stop_but_not_stop_post(world):
    one(world, "ExecStart=/fail\nExecStop=/ok stop\nExecStopPost=/ok post")
    assert "ExecStop /ok stop" not in world.ran
    assert "ExecStopPost /ok post" in world.ran
    assert world.seen["ExecStopPost"] == {
        "SERVICE_RESULT": "exit-code",
        "EXIT_CODE": "exited",
        "EXIT_STATUS": "1",
    }
    assert world.state("a") == "failed"


def test_a_clean_exit_runs_stop(world):
    one(world, "ExecStart=/run\nExecStop=/ok stop")
    world.end("a")
    assert "ExecStop /ok stop" in world.ran
    assert world.state("a") == "dead"


def test_notify_readiness(world):
    one(world, "Type=notify\nExecStart=/run\nExecStartPost=/ok")
    assert "ExecStartPost /ok" not in world.ran
    world.notify("a", READY="1", STATUS="serving")
    assert "ExecStartPost /ok" in world.ran
    assert world.state("a") == "running"
    assert world.engine.services["a.service"].status_text == "serving"


def test_notify_service_that_is_never_ready_is_killed(world):
    one(world, "Type=notify\nExecStart=/stubborn\nTimeoutStartSec=5\nTimeoutStopSec=3")
    world.advance(4.9)
    assert world.state("a") == "start"
    world.advance(0.2)
    assert world.state("a") == "stop-sigterm"
    world.advance(3)
    assert (world.state("a"), world.result("a")) == ("failed", "timeout")
    assert world.running("a") == []


def test_extended_start_timeout(world):
    one(world, "Type=notify\nExecStart=/run\nTimeoutStartSec=5")
    world.advance(4)
    world.notify("a", EXTEND_TIMEOUT_USEC="10000000")
    world.advance(9)
    assert world.state("a") == "start"
    world.advance(2)
    assert world.result("a") == "timeout"


def test_stopping_notification_is_a_stop_of_its_own(world):
    one(world, "Type=notify\nExecStart=/run\nTimeoutStopSec=2")
    world.notify("a", READY="1")
    world.notify("a", STOPPING="1")
    assert world.state("a") == "stop-sigterm"
    world.end("a")
    assert (world.state("a"), world.result("a")) == ("dead", "success")


def test_watchdog(world):
    one(world, "Type=notify\nExecStart=/run\nWatchdogSec=2\nRestart=on-watchdog\nRestartSec=9")
    world.notify("a", READY="1")
    world.advance(1.5)
    world.notify("a", WATCHDOG="1")
    world.advance(1.5)
    assert world.state("a") == "running"
    world.advance(1)
    assert (world.state("a"), world.result("a")) == ("auto-restart", "watchdog")


def test_stubborn_process_is_killed_after_the_stop_timeout(world):
    one(world, "ExecStart=/stubborn\nTimeoutStopSec=7")
    world.stop("a")
    assert world.state("a") == "stop-sigterm"
    world.advance(6.9)
    assert world.running("a") == ["stubborn"]
    world.advance(0.2)
    assert (world.state("a"), world.result("a")) == ("failed", "timeout")
    assert world.running("a") == []


def test_without_sigkill_the_process_stays(world):
    one(world, "ExecStart=/stubborn\nTimeoutStopSec=7\nSendSIGKILL=no")
    world.stop("a")
    world.advance(30)
    assert (world.state("a"), world.result("a")) == ("failed", "timeout")
    assert world.running("a") == ["stubborn"]
    assert "signal 9 tree" not in world.ran


def test_infinite_stop_timeout(world):
    one(world, "ExecStart=/stubborn\nTimeoutStopSec=infinity")
    world.stop("a")
    world.advance(1e6)
    assert world.state("a") == "stop-sigterm"


@pytest.mark.parametrize(
    ("mode", "signals", "left"),
    [
        ("control-group", ["signal 15 tree", "signal 15 tree"], []),
        ("mixed", ["signal 15 pids", "signal 9 tree"], []),
        ("process", ["signal 15 pids"], ["run"]),
        ("none", [], ["run", "run"]),
    ],
)
def test_kill_modes(world, mode, signals, left):
    one(world, f"ExecStart=/run\nKillMode={mode}")
    world._new("a.service", "run", "child", ())
    world.stop("a")
    assert [line for line in world.ran if line.startswith("signal")] == signals
    assert world.running("a") == left
    assert world.state("a") == "dead"


def test_kill_signal_and_hangup(world):
    one(world, "ExecStart=/stubborn\nKillSignal=SIGINT\nSendSIGHUP=yes\nTimeoutStopSec=1")
    world.stop("a")
    assert world.ran[-2:] == ["signal 2 tree", "signal 1 tree"]
    world.advance(2)
    assert world.running("a") == []


def test_children_left_by_a_crash_are_killed(world):
    one(world, "ExecStart=/run")
    world._new("a.service", "stubborn", "child", ())
    world.end("a", status=1)
    assert world.state("a") == "stop-sigterm"
    world.advance(90)
    assert world.running("a") == []
    assert (world.state("a"), world.result("a")) == ("failed", "exit-code")


def test_forking_service_with_several_processes_lives_as_long_as_any(world):
    world.load("a.service", "[Service]\nType=forking\nExecStart=/daemon\nGuessMainPID=no")
    world.start("a")
    assert (world.state("a"), world.main("a")) == ("running", 0)
    (pid,) = world.processes
    del world.processes[pid]
    world.do([])
    assert world.state("a") == "dead"


def test_forking_main_exit_is_the_services_exit(world):
    one(world, "Type=forking\nExecStart=/daemon")
    assert world.main("a")
    world.end("a", status=3)
    assert (world.state("a"), world.result("a")) == ("failed", "exit-code")


def test_restart_after_a_failure(world):
    one(world, "ExecStart=/run\nRestart=on-failure\nRestartSec=2")
    world.end("a", status=1)
    assert world.state("a") == "auto-restart"
    world.advance(1.9)
    assert world.running("a") == []
    world.advance(0.2)
    assert world.state("a") == "running"
    assert world.engine.services["a.service"].restarts == 1
    world.end("a")
    assert world.state("a") == "dead"


def test_stop_while_waiting_for_the_restart(world):
    one(world, "ExecStart=/run\nRestart=always\nRestartSec=2")
    world.end("a")
    world.stop("a")
    assert world.state("a") == "dead"
    world.advance(10)
    assert world.running("a") == []


def test_stop_prevents_the_restart(world):
    one(world, "ExecStart=/run\nRestart=always")
    world.stop("a")
    world.advance(10)
    assert world.state("a") == "dead"


def test_stop_during_a_crash_prevents_the_restart(world):
    one(world, "ExecStart=/run\nRestart=always\nExecStopPost=/run")
    world.end("a", status=1)
    assert world.state("a") == "stop-post"
    world.stop("a")
    world.advance(200)
    assert world.state("a") == "failed"
    assert world.running("a") == []


def test_start_limit(world):
    one(world, "ExecStart=/fail\nRestart=always\nRestartSec=100ms")
    world.advance(20)
    assert world.ran.count("ExecStart /fail") == 5
    assert (world.state("a"), world.result("a")) == ("failed", "start-limit-hit")
    assert "a.service: Start request repeated too quickly." in world.said
    world.do(world.engine.reset("a.service", world.now))
    assert world.state("a") == "dead"


def test_slow_restarts_never_reach_the_limit(world):
    one(world, "ExecStart=/fail\nRestart=always\nRestartSec=3")
    world.advance(300)
    assert world.ran.count("ExecStart /fail") >= 90
    assert world.state("a") == "auto-restart"


def test_start_while_stopping_starts_afterwards(world):
    one(world, "ExecStart=/stubborn\nTimeoutStopSec=5")
    world.stop("a")
    world.start("a")
    assert world.state("a") == "stop-sigterm"
    world.advance(5)
    assert world.state("a") == "running"
    assert world.ran.count("ExecStart /stubborn") == 2


def test_stop_replaces_a_start_that_waits(world):
    one(world, "ExecStart=/stubborn\nTimeoutStopSec=5")
    world.stop("a")
    world.start("a")
    world.stop("a")
    world.advance(6)
    assert world.state("a") == "failed"
    assert world.engine.jobs == {}


def test_stop_in_start_pre(world):
    one(world, "ExecStartPre=/run\nExecStartPre=/ok never\nExecStart=/run")
    assert world.state("a") == "start-pre"
    world.stop("a")
    assert (world.state("a"), world.result("a")) == ("failed", "signal")
    assert "ExecStartPre /ok never" not in world.ran


def test_start_pre_timeout(world):
    one(world, "ExecStartPre=/run\nExecStart=/run\nTimeoutStartSec=2\nExecStopPost=/ok")
    world.advance(3)
    assert (world.state("a"), world.result("a")) == ("failed", "timeout")
    assert world.ran.count("ExecStart /run") == 0
    assert "ExecStopPost /ok" in world.ran


def test_stop_timeouts_one_after_the_other(world):
    one(world, "ExecStart=/run\nExecStop=/stubborn\nExecStopPost=/stubborn\nTimeoutStopSec=2")
    world.stop("a")
    seen = [world.state("a")]
    for _ in range(6):
        world.advance(2)
        seen.append(world.state("a"))
    assert seen[:4] == ["stop", "stop-sigterm", "stop-post", "final-sigterm"]
    assert seen[-1] == "failed"
    assert world.running("a") == []


def test_runtime_limit(world):
    one(world, "ExecStart=/run\nRuntimeMaxSec=4")
    world.advance(5)
    assert (world.state("a"), world.result("a")) == ("failed", "timeout")


def test_reload(world):
    one(world, "ExecStart=/run\nExecReload=/ok $MAINPID")
    world.do(world.engine.reload("a.service", world.now))
    assert world.seen["ExecReload"] == {"MAINPID": str(world.main("a"))}
    assert world.during["ExecReload"] == "reload"
    assert world.state("a") == "running"


def test_a_failing_reload_leaves_the_service_alone(world):
    one(world, "ExecStart=/run\nExecReload=/fail")
    world.do(world.engine.reload("a.service", world.now))
    assert (world.state("a"), world.result("a")) == ("running", "success")


def test_a_running_unit_is_stopped_as_it_was_started(world):
    one(world, "ExecStart=/run\nExecStop=/ok old")
    world.load("a.service", "[Service]\nExecStart=/run new\nExecStop=/ok new")
    world.stop("a")
    assert "ExecStop /ok old" in world.ran
    assert "ExecStop /ok new" not in world.ran
    world.start("a")
    assert "ExecStart /run new" in world.ran


def test_a_bad_unit_fails_with_the_reason(world):
    one(world, "ExecStop=/ok")
    assert (world.state("a"), world.result("a")) == ("failed", "resources")
    assert "a.service: service has no ExecStart=, which requires RemainAfterExit=yes" in world.said


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ("ConditionPathExists=/there", "running"),
        ("ConditionPathExists=/gone", "dead"),
        ("ConditionPathExists=!/gone", "running"),
        ("ConditionPathExists=!/there", "dead"),
        ("AssertPathExists=/gone", "failed"),
        ("ConditionPathExists=|/gone\nConditionPathExists=|/there", "running"),
        ("ConditionPathExists=|/gone\nConditionPathExists=|!/there", "dead"),
        ("ConditionPathExists=/there\nConditionPathExists=|/gone", "dead"),
    ],
)
def test_conditions(world, condition, state):
    world.paths.add("/there")
    world.load("a.service", f"[Unit]\n{condition}\n[Service]\nExecStart=/run")
    world.start("a")
    assert world.state("a") == state
    assert world.engine.jobs == {}
