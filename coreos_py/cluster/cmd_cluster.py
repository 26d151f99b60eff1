"""`coreos cluster`: a cluster of local machines, to try things on and to break."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import click

from coreos_py.base.errors import CoreosError
from coreos_py.cluster import control, launch, machine, members, proctree, spec, state, supervisor
from coreos_py.cluster.supervisor import say

DIRECTORY = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Where the cluster lives (default: coreos/cluster in the user's state directory).",
)
HEALTHY_TIMEOUT_S = 90.0


@click.group(help="A cluster of local machines, to try things on and to break.")
def cluster() -> None:
    pass


@cluster.command(help="Start COUNT machines, or the stopped cluster of DIR again.")
@click.option("-n", "--count", type=int, metavar="COUNT", help="Number of machines (default 3).")
@click.option(
    "--metadata", multiple=True, metavar="[N:]KEY=VALUE", help="For all machines, or for N."
)
@click.option(
    "--agent-ttl",
    default="6s",
    show_default=True,
    metavar="TTL",
    help="How long a dead machine counts as alive.",
)
@click.option("--foreground", is_flag=True, help="Stay attached; Ctrl-C ends the cluster.")
@DIRECTORY
def up(
    count: int | None,
    metadata: tuple[str, ...],
    agent_ttl: str,
    foreground: bool,
    directory: str | None,
) -> None:
    directory = _directory(directory)
    started = time.monotonic()
    known = state.exists(directory)
    if known:
        described = state.load(directory)
        if count is not None and count != len(described.machines):
            raise CoreosError(
                f"the cluster in {directory} has {len(described.machines)} machines, not {count}",
                hint="coreos cluster add adds one, coreos cluster down ends it",
            )
    else:
        described = launch.found(
            directory,
            count=3 if count is None else count,
            agent_ttl=agent_ttl,
            metadata=list(metadata),
        )
    was_up = bool(state.supervisor(directory))
    if was_up:
        say(f"the cluster in {directory} is up already")
    elif foreground:
        _run_attached(directory, described)
        return
    else:
        say(f"starting {len(described.machines)} machines in {directory}")
        launch.clear_leftovers(directory)
    try:
        if not was_up:
            launch.start_supervisor(directory)
        launch.wait_healthy(directory, described, timeout_s=HEALTHY_TIMEOUT_S, report=say)
    except KeyboardInterrupt:
        if not known:
            _end(directory, keep=False)
        raise
    except CoreosError as error:
        if was_up:
            hint = "its machines were left as they are: coreos cluster status, or down and up"
        else:
            _end(directory, keep=True)
            hint = "nothing runs, state and logs are kept: coreos cluster up again, or down"
        raise CoreosError(str(error), hint=hint) from None
    say(f"the cluster is healthy after {time.monotonic() - started:.1f} s")


def _run_attached(directory: str, described: spec.Cluster) -> None:
    launch.clear_leftovers(directory)

    async def both() -> None:
        whole = asyncio.create_task(supervisor.Supervisor(directory).run())
        watch = asyncio.create_task(
            asyncio.to_thread(
                launch.wait_healthy,
                directory,
                described,
                timeout_s=HEALTHY_TIMEOUT_S,
                report=say,
            )
        )
        await asyncio.wait({whole, watch}, return_when=asyncio.FIRST_COMPLETED)
        problem = watch.exception() if watch.done() else None
        if problem is not None:
            say(f"{problem}; Ctrl-C ends the cluster")
        elif watch.done():
            say("the cluster is healthy; Ctrl-C ends it")
        await whole
        await asyncio.gather(watch, return_exceptions=True)

    asyncio.run(both())
    state.remove(directory)


@cluster.command(help="End the cluster and delete its state.")
@click.option("--keep", is_flag=True, help="Keep the state: `up` starts the same cluster again.")
@DIRECTORY
def down(keep: bool, directory: str | None) -> None:
    directory = _directory(directory)
    state.load(directory)
    _end(directory, keep=keep)
    say(f"the cluster in {directory} is down" + (", its state is kept" if keep else ""))


def _end(directory: str, *, keep: bool) -> None:
    pid = state.supervisor(directory)
    if pid:
        control.ask(directory, "end")
        deadline = time.monotonic() + 10
        while state.supervisor(directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        if state.supervisor(directory):
            proctree.kill_tree(pid)
    launch.clear_leftovers(directory)
    if not keep:
        state.remove(directory)


@cluster.command(help="Show the machines, what runs on them and how they are.")
@DIRECTORY
def status(directory: str | None) -> None:
    directory = _directory(directory)
    described = state.load(directory)
    answer = control.ask(directory, "status")["machines"]
    assert isinstance(answer, dict)
    states = {int(number): str(word) for number, word in answer.items()}
    rows = members.table(described, states)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@cluster.command(
    help='Print what a shell needs to talk to the cluster: eval "$(coreos cluster env)".'
)
@DIRECTORY
def env(directory: str | None) -> None:
    directory = _directory(directory)
    described = state.load(directory)
    first = described.machines[0]
    if state.supervisor(directory):
        answer = control.ask(directory, "status")["machines"]
        assert isinstance(answer, dict)
        running = [m for m in described.machines if answer.get(str(m.number)) == "running"]
        first = running[0] if running else first
    path = state.commands_folder(directory)
    click.echo(f"export ETCDCTL_PEERS={spec.client_urls(described, first=first)}")
    click.echo(f"export FLEETCTL_ENDPOINT={first.fleet_url}")
    click.echo(f'export PATH={_quote(path)}:"$PATH"')


def _quote(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


@cluster.command(help="Cut the power of machine N: everything on it is killed at once.")
@click.argument("number", metavar="N", type=int)
@DIRECTORY
def kill(number: int, directory: str | None) -> None:
    _act("kill", number, directory)


@cluster.command(help="Freeze machine N: everything on it stops where it is.")
@click.argument("number", metavar="N", type=int)
@DIRECTORY
def pause(number: int, directory: str | None) -> None:
    _act("pause", number, directory)


@cluster.command(help="Let a frozen machine N go on, or boot a killed one from its disk.")
@click.argument("number", metavar="N", type=int)
@DIRECTORY
def resume(number: int, directory: str | None) -> None:
    _act("resume", number, directory)


def _act(verb: str, number: int, directory: str | None) -> None:
    answer = control.ask(_directory(directory), verb, number=number)
    say(f"machine {number} is {answer['state']}")


@cluster.command(help="Add COUNT machines (default 1), one after the other.")
@click.argument("count", metavar="[COUNT]", type=click.IntRange(1, spec.MACHINES_MAX), default=1)
@DIRECTORY
def add(count: int, directory: str | None) -> None:
    directory = _directory(directory)
    for _ in range(count):
        number = control.ask(directory, "add")["number"]
        say(f"machine {number} joins")
        launch.wait_healthy(
            directory, state.load(directory), timeout_s=HEALTHY_TIMEOUT_S, report=lambda _: None
        )
        say(f"machine {number} is running")


@cluster.command(hidden=True)
@DIRECTORY
def supervise(directory: str | None) -> None:
    asyncio.run(supervisor.Supervisor(_directory(directory)).run())


@cluster.command("run-machine", hidden=True)
@click.argument("number", type=int)
@DIRECTORY
def run_machine(number: int, directory: str | None) -> None:
    sys.exit(machine.run(_directory(directory), number))


def _directory(given: str | None) -> str:
    return os.path.abspath(given if given else state.default_directory())
