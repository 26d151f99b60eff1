"""The `etcd` command: flags, logging, and the exit codes of etcd 2.3.8."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from coreos_py.base import golog
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO, HELP, FlagError
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import Values
from coreos_py.etcd import config as settings
from coreos_py.etcd import daemon, discovery, version
from coreos_py.etcd.admin_api import parse_level
from coreos_py.etcd.config import Config, InvalidFlags, Line, VersionAsked
from coreos_py.etcd.discovery import JoinFailed
from coreos_py.etcd.settings import DEFAULT_PEER_URLS, TABLE

USAGE = """usage: etcd [flags]
       start an etcd server

       etcd --version
       show the version of etcd

       etcd -h | --help
       show the help information about etcd
"""

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVELS = {
    "C": logging.CRITICAL,
    "E": logging.ERROR,
    "W": logging.WARNING,
    "N": golog.NOTICE,
    "I": logging.INFO,
    "D": logging.DEBUG,
}

PROGRAM = Program(
    "etcd",
    GO,
    settings=TABLE,
    target="coreos_py.etcd.cmd_etcd:main",
    version=version.SERVER,
    help="replicated key-value store",
)

log = logging.getLogger("etcdmain")


def main(argv: list[str]) -> int:
    """Run one member in the foreground."""
    _setup_logging()
    try:
        config = settings.parse(argv[1:], os.environ, tell=_tell)
    except FlagError as error:
        return _flag_error(error)
    except VersionAsked:
        return _version()
    except InvalidFlags as error:
        log.error("error verifying flags, %s. See 'etcd --help'.", error)
        for note in error.notes:
            log.error("%s", note)
        return 1
    except CoreosError as error:
        log.critical("%s", error)
        return 1
    _set_levels(config)
    _tell(config.lines)
    return _run(config)


def _tell(lines: Iterable[Line]) -> None:
    for line in lines:
        logging.getLogger(line.package).log(_LEVELS[line.level], "%s", line.text)


def _run(config: Config) -> int:
    try:
        return daemon.run(config)
    except JoinFailed as error:
        lines = discovery.advice(
            error, url=config.discovery, name=config.name, data_dir=config.data_dir
        )
        for level, text in lines:
            log.log(_LEVELS[level], "%s", text)
        return 1
    except CoreosError as error:
        text = str(error)
        if "--initial-cluster must include" in text:
            _explain_initial_cluster(config, text)
        else:
            log.critical("%s%s", text, f" ({error.hint})" if error.hint else "")
        return 1


def _explain_initial_cluster(config: Config, text: str) -> None:
    log.info("%s", text)
    if config.initial_cluster_is_default:
        log.info("forgot to set --initial-cluster flag?")
    if ",".join(config.advertise_peer_urls) == DEFAULT_PEER_URLS:
        log.info("forgot to set --initial-advertise-peer-urls flag?")
    if config.initial_cluster_is_default and not config.discovery:
        log.info("if you want to use discovery service, please set --discovery flag.")


def _flag_error(error: FlagError) -> int:
    if error.reason == HELP:
        print(USAGE)
        print(PROGRAM.help_text(Call(PROGRAM, Values(TABLE))))
        return 0
    print(error, file=sys.stderr)
    print(USAGE)
    return 2


def _version() -> int:
    print(f"etcd Version: {version.SERVER}")
    print(f"Git SHA: {version.GIT_SHA}")
    # Clients match the four lines by their names.
    print(f"Go Version: none (Python {sys.version.split()[0]})")
    print(f"Go OS/Arch: {sys.platform}/{_arch()}")
    return 0


def _arch() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _setup_logging() -> None:
    under_init = os.getppid() == 1 and "JOURNAL_STREAM" in os.environ
    golog.setup(golog.JournalFormatter() if under_init else golog.EtcdFormatter())


def _set_levels(config: Config) -> None:
    if config.debug:
        logging.getLogger().setLevel(logging.DEBUG)
    for item in filter(None, config.log_package_levels.split(",")):
        package, equals, word = item.partition("=")
        level = parse_level(word)
        if not equals or level is None:
            log.warning("couldn't parse log level string: %s, continuing with default levels", item)
            return
        name = "" if package == "*" else package.rpartition("/")[2]
        logging.getLogger(name).setLevel(level)
