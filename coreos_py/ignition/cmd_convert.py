"""`ignition convert`: an Ignition config out of a cloud-config."""

from __future__ import annotations

import json

import click

from coreos_py.base.errors import UsageError
from coreos_py.cloudinit import config as cloudconfig
from coreos_py.cloudinit import userdata
from coreos_py.cloudinit.encoding import EncodingError
from coreos_py.cloudinit.plan import StepError
from coreos_py.cloudinit.yaml.nodes import YamlError
from coreos_py.ignition import config as ignition_config
from coreos_py.ignition.cmd_validate import read, show
from coreos_py.ignition.convert import convert as to_ignition


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", metavar="FILE")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything has no counterpart.")
def convert(file: str, *, strict: bool) -> None:
    """Print the Ignition config that says what a cloud-config says.

    FILE is a cloud-config, or - for standard input. What Ignition cannot say is named on standard
    error, a line each.
    """
    try:
        data = read(file)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    if not userdata.is_cloud_config(data):
        raise UsageError(f"{file}: not a cloud-config: the first line has to be #cloud-config")
    try:
        converted = to_ignition(cloudconfig.from_texts([data]))
    except (YamlError, EncodingError, StepError, ValueError) as error:
        raise UsageError(f"{file}: {error}") from None
    text = json.dumps(converted.document, indent=2, ensure_ascii=False)
    parsed = ignition_config.parse(text.encode("utf-8", "surrogateescape"))
    for line in show(parsed, text.encode("utf-8", "surrogateescape")):
        click.echo(line, err=True)
    if parsed.config is None:
        raise UsageError(f"{file}: {parsed.problem}")
    for line in converted.omitted:
        click.echo(f"not converted: {line}", err=True)
    click.echo(text)
    if strict and converted.omitted:
        raise SystemExit(1)


def main(argv: list[str]) -> int:
    """Run the verb with the words that follow it; usage errors end as 2."""
    try:
        convert.main(argv, prog_name="ignition convert", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0
