"""The suite's own command: what is installed, where, and the local cluster.

Verbs are click commands; `coreos NAME ...` for a row of the table never gets here (multicall.py).
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import click

from coreos_py import __version__
from coreos_py.base.errors import CoreosError
from coreos_py.base.tabular import columns
from coreos_py.commands import ROWS, TABLE

# Verbs whose modules are loaded only when asked for.
_LAZY = {
    "cluster": "coreos_py.cluster.cmd_cluster:cluster",
    "payload": "coreos_py.update.cmd_payload:payload",
}
_INTERRUPTED = 130


class SuiteGroup(click.Group):
    """A click group whose bigger verbs live elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module_name, _, attribute = _LAZY[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command


@click.group(
    cls=SuiteGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`coreos COMMAND ...` runs any command that `coreos list` names.",
)
@click.option("--version", "show_version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def coreos(ctx: click.Context, show_version: bool) -> None:
    """One file, one cluster: every command of a CoreOS cluster, and a cluster to try them on."""
    if show_version:
        ctx.invoke(version)
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@coreos.command("list")
@click.option("--long", "-l", is_flag=True, help="Also the kind, man page and purpose.")
def list_(long: bool) -> None:
    """Name the commands of the suite."""
    if not long:
        click.echo("\n".join(TABLE))
        return
    rows = [(row.name, row.kind, row.page or "-", row.help) for row in ROWS]
    click.echo(columns(rows), nl=False)


@coreos.command()
def version() -> None:
    """Print version and build."""
    from coreos_py.suite import resources

    click.echo(f"coreos-py {__version__} (build {resources.build_id()})")


@coreos.command("help")
@click.argument("name", required=False)
@click.pass_context
def help_(ctx: click.Context, name: str | None) -> None:
    """Print the help of command NAME, or of this one."""
    parent = ctx.find_root()
    if name is None or name == "coreos":
        click.echo(parent.get_help())
        return
    if name in TABLE:
        from coreos_py import multicall

        ctx.exit(multicall.run(TABLE[name], [name, "--help"]))
    verb = coreos.get_command(parent, name)
    if verb is None:
        raise CoreosError(f'no such command: "{name}"', hint="coreos list names them")
    click.echo(verb.get_help(click.Context(verb, info_name=name, parent=parent)))


@coreos.command()
@click.argument("name", default="coreos")
def man(name: str) -> None:
    """Show the man page of NAME."""
    from coreos_py.suite import resources

    page = TABLE[name].page if name in TABLE else name
    title, _, section = page.rstrip(")").partition("(")
    if not section or "/" in page:
        raise CoreosError(f'no man page for "{name}"')
    source = resources.read(f"man/{title}.{section}")
    if sys.stdout.isatty() and shutil.which("man"):
        subprocess.run(["man", "-l", "-"], input=source, check=False)
    else:
        click.echo(source, nl=False)


@coreos.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(shell: str) -> None:
    """Print the completion script for every command of the suite.

    bash: eval "$(coreos completion bash)"
    """
    from coreos_py.suite import completion as scripts

    click.echo(scripts.script(shell, coreos), nl=False)


@coreos.command()
@click.argument("directory", metavar="DIR")
@click.option("--only", metavar="NAME,...", default="", help="These commands only.")
@click.option("--store", metavar="DIR", default="", help="The archive's place (DIR/../lib/coreos).")
@click.option("--units", "units_dir", metavar="DIR", help="Also their systemd units, in DIR.")
@click.option("--copy", is_flag=True, help="Copies instead of links.")
@click.option("--force", is_flag=True, help="Replace files that are not ours.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--uninstall", is_flag=True, help="Remove what an install made.")
@click.pass_context
def install(
    ctx: click.Context,
    directory: str,
    only: str,
    store: str,
    units_dir: str | None,
    copy: bool,
    force: bool,
    dry_run: bool,
    uninstall: bool,
) -> None:
    """Make every command available in DIR.

    The archive is kept under a versioned name in DIR/../lib/coreos, so that a running daemon's
    file is never replaced; the commands are links to it. Files of others are left alone. Doing it
    again changes nothing. With --units DIR/../lib/systemd/system the systemd units come along:
    etcd2, fleet, user-config.target and whatever else user-data and scripts expect to find; and
    what the system bus has to allow update_engine.
    """
    from coreos_py.suite import install as work
    from coreos_py.suite import resources
    from coreos_py.suite import units as unit_files

    plan = work.plan(
        directory,
        store=store,
        only=tuple(name for name in only.split(",") if name),
        copy=copy,
        force=force,
        dry_run=dry_run,
    )
    unit_names = unit_files.of_commands(plan.names) if only else unit_files.UNITS
    if uninstall:
        work.uninstall(plan, say=click.echo)
        if units_dir:
            unit_files.uninstall(
                units_dir, unit_names, policies=_policies(), say=click.echo, dry_run=dry_run
            )
        return
    archive = resources.archive()
    if not archive:
        raise CoreosError(
            "install copies the archive, and this runs from a checkout",
            hint="packaging/build.sh makes dist/coreos.pyz, which can install itself",
        )
    refused = work.install(plan, archive=archive, build=resources.build_id(), say=click.echo)
    if units_dir:
        if not dry_run:
            os.makedirs(units_dir, exist_ok=True)
        refused += unit_files.install(
            units_dir,
            unit_names,
            bin_dir=plan.directory,
            policies=_policies(),
            say=click.echo,
            force=force,
            dry_run=dry_run,
        )
    _report_refused(ctx, refused)


@coreos.command()
@click.argument("names", nargs=-1, metavar="[UNIT]...")
@click.option("--install", "target", metavar="DIR", help="Write them to DIR.")
@click.option("--uninstall", "remove_from", metavar="DIR", help="Remove what we wrote to DIR.")
@click.option("--bin-dir", metavar="DIR", help="The commands' place (where this one is).")
@click.option("--force", is_flag=True, help="Replace units that are not ours.")
@click.pass_context
def units(
    ctx: click.Context,
    names: tuple[str, ...],
    target: str | None,
    remove_from: str | None,
    bin_dir: str | None,
    force: bool,
) -> None:
    """List, print or install the systemd units that start the daemons.

    Without UNIT: list them, or install all.
    """
    from coreos_py.suite import units as work

    where = bin_dir or _bin_dir(ctx.obj)
    if target is not None:
        chosen = names or work.UNITS
        refused = work.install(
            target, chosen, bin_dir=where, policies=_policies(), force=force, say=click.echo
        )
        _report_refused(ctx, refused)
    elif remove_from is not None:
        work.uninstall(remove_from, names or work.UNITS, policies=_policies(), say=click.echo)
    elif names:
        click.echo("\n".join(work.text(name, bin_dir=where) for name in names), nl=False)
    else:
        click.echo("\n".join(work.UNITS))


@coreos.command()
def doctor() -> None:
    """Report what this installation runs on and what it misses."""
    from coreos_py.suite import doctor as work

    for what, finding in work.report():
        click.echo(f"{what + ':':29} {finding}")


def _policies() -> dict[str, tuple[str, str]]:
    """What the system bus has to allow, by the unit that needs it."""
    from coreos_py.update import policy

    return {"update-engine.service": (policy.FILE, policy.POLICY)}


def _bin_dir(argv0: str) -> str:
    """The directory this command was called from, if the others are there too."""
    directory = os.path.dirname(os.path.abspath(argv0))
    return directory if os.path.lexists(os.path.join(directory, "fleetd")) else "/usr/bin"


def _report_refused(ctx: click.Context, refused: Sequence[tuple[str, str]]) -> None:
    for path, reason in refused:
        click.echo(f"coreos: left alone: {path}: {reason} (--force replaces it)", err=True)
    if refused:
        ctx.exit(1)


def main(argv: list[str]) -> int:
    """Run a verb; usage errors end as 2."""
    try:
        code = coreos.main(argv[1:], prog_name="coreos", standalone_mode=False, obj=sys.argv[0])
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except click.exceptions.Abort:
        return _INTERRUPTED
    except OSError as err:
        if err.filename is None:
            raise
        raise CoreosError(f"{err.filename}: {err.strerror}") from err
    return code if isinstance(code, int) else 0
