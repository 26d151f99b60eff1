"""The `ignition` command: one stage of configuring a machine at its first boot.

    fetch   find the config and everything it refers to, and keep it for the other stages
    disks   partitions, arrays, file systems
    files   accounts, files, links, units

Nothing is done when anything in the config is invalid. Mirrors internal/main.go of Ignition 2.14.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO, FlagError
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, DURATION, STRING, Setting
from coreos_py.ignition import acquire, apply, config, plan, resolve, text
from coreos_py.ignition.cmd_validate import VERSION
from coreos_py.ignition.disks import Disks
from coreos_py.ignition.fetch import Fetched, Fetcher, Proxies
from coreos_py.ignition.root import Root, names_in

if TYPE_CHECKING:
    from coreos_py.ignition.resolve import Whole
    from coreos_py.ignition.schema import Version

STAGES = ("fetch", "fetch-offline", "disks", "files", "kargs", "mount", "umount")
_NOTHING_TO_DO = ("kargs", "mount", "umount")
RESULT = "/etc/.ignition-result.json"
_NANOSECONDS = 1_000_000_000
_NO_CONFIGS = (config.EMPTY, config.CLOUD_CONFIG, config.SCRIPT)

SETTINGS = (
    Setting("platform", STRING, help="where the config comes from: ec2, file, openstack, ..."),
    Setting("oem", STRING, help="same as --platform, as Ignition 0.12 calls it"),
    Setting("stage", STRING, help="what to do: fetch, disks or files"),
    Setting("root", STRING, "/", help="root of the machine that is configured"),
    Setting(
        "config-cache",
        STRING,
        "/run/ignition.json",
        help="where the config is kept between the stages",
    ),
    Setting("clear-cache", BOOL, help="forget a config that is kept there, and find it anew"),
    Setting(
        "fetch-timeout", DURATION, "2m", help="how long to try to fetch one thing (0: for ever)"
    ),
    Setting("log-to-stdout", BOOL, help="say what is done on standard output"),
    Setting("dry-run", BOOL, help="say what would be done, and do nothing"),
    Setting("version", BOOL, help="print the version and exit"),
)


class Ignition(Program):
    """The command line; what is wrong with it ends with 2."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        print(err, file=sys.stderr)
        print(self.help_text(call), file=sys.stderr)
        return 2

    def on_version(self, call: Call) -> int:
        print(f"Ignition {VERSION}")
        return 0


PROGRAM = Ignition(
    "ignition",
    GO,
    settings=SETTINGS,
    target="coreos_py.ignition.cmd_ignition:run",
    version=VERSION,
    help="configures a machine at its first boot",
    about="`ignition convert FILE` prints the Ignition config that says what a cloud-config\n"
    "says.\n",
)


def main(argv: list[str]) -> int:
    """Run one stage, or `convert`."""
    if argv[1:2] == ["convert"]:
        from coreos_py.ignition import cmd_convert

        return cmd_convert.main(argv[2:])
    return PROGRAM.run(argv)


def run(call: Call) -> int:
    """Run the stage that the flags name; the exit status."""
    values = call.settings
    platform = values["platform"] or values["oem"]
    problem = ""
    if not platform:
        problem = "'--platform' must be provided"
    elif platform not in acquire.platforms():
        problem = f"{platform} is no platform; there are {', '.join(acquire.platforms())}"
    elif not values["stage"]:
        problem = "'--stage' must be provided"
    elif values["stage"] not in STAGES:
        problem = f"{values['stage']} is no stage; there are {', '.join(STAGES)}"
    elif call.args:
        problem = f"unexpected argument {call.args[0]!r}"
    if problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        return Stage(call, platform).run()
    except resolve.Unusable as error:
        for line in error.lines:
            print(line, file=sys.stderr)
        raise


class Stage:
    """One run."""

    def __init__(self, call: Call, platform: str) -> None:
        self._values = call.settings
        self._platform = platform
        self._out = sys.stdout if self._values["log-to-stdout"] else sys.stderr
        self._given = True
        self._fetcher = self._new_fetcher()

    def run(self) -> int:
        """Find the config and do what the stage does with it; CoreosError."""
        stage = self._values["stage"]
        if stage in _NOTHING_TO_DO:
            self._say(f"{stage}: nothing to do here")
            return 0
        whole, version = self._config()
        if stage == "disks":
            before_2_3 = version < (2, 3)
            dry_run = self._values["dry-run"]
            Disks(whole.config, before_2_3=before_2_3, dry_run=dry_run, say=self._say).run()
        elif stage == "files":
            self._files(whole)
        return 0

    def _files(self, whole: Whole) -> None:
        root = Root(self._values["root"])
        facts = plan.Facts(
            names_in(root.read_text("/etc/passwd")), names_in(root.read_text("/etc/group"))
        )
        actions = plan.plan(whole.config, facts, major=whole.major)
        if self._values["dry-run"]:
            for action in actions:
                self._say(apply.describe(action))
            return
        # Everything is fetched and verified before anything is changed.
        with tempfile.TemporaryDirectory(prefix="ignition-") as directory:
            fetched = Fetched(self._fetcher_of(whole), directory)
            for source in plan.sources(actions):
                fetched.add(source)
            apply.Applier(root, fetched.get, say=self._say).apply(actions)
        if whole.major == 3:
            self._note_result(root)

    def _note_result(self, root: Root) -> None:
        before = root.read_text(RESULT)
        boot_id = Root("/").read_text("/proc/sys/kernel/random/boot_id").strip()
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        result: dict[str, object] = {
            "provisioningBootID": boot_id,
            "provisioningDate": now,
            "userConfigProvided": self._given,
        }
        if before:
            try:
                result["previousReport"] = json.loads(before)
            except ValueError:
                self._say(f"{RESULT}: the previous report cannot be read, and is dropped")
        data = json.dumps(result, indent=2) + "\n"
        try:
            os.makedirs(root.parent(RESULT), exist_ok=True)
            write_atomically(root.entry(RESULT), data.encode(), mode=0o600)
        except OSError as error:
            raise CoreosError(f"{RESULT}: {error.strerror}") from None

    # -- the config ------

    def _config(self) -> tuple[Whole, Version]:
        cache = self._values["config-cache"]
        if self._values["clear-cache"] and os.path.exists(cache):
            os.unlink(cache)
        try:
            with open(cache, "rb") as file:
                data, where, is_kept = file.read(), cache, True
        except FileNotFoundError:
            found = acquire.acquire(self._platform, self._fetcher, env=os.environ, say=self._say)
            data, where, is_kept = found.data, found.where, False
        parsed = config.parse(data)
        if parsed.problem in _NO_CONFIGS and not is_kept:
            self._say(f"{parsed.problem}: ignoring user-provided config")
            self._given = False
            data = b'{"ignition": {"version": "3.3.0"}}'
            parsed = config.parse(data)
        whole = resolve.resolve(data, self._fetcher.get, where=where)
        for line in parsed.report.lines(data.decode("utf-8", "replace")):
            self._say(line)
        assert parsed.version is not None
        version = parsed.version if parsed.version[0] != 1 else (2, 0)
        if not is_kept and not self._values["dry-run"]:
            kept = text.dump(whole.config, version)
            write_atomically(cache, kept.encode("utf-8", "surrogateescape"), mode=0o640)
        return whole, version

    def _new_fetcher(self) -> Fetcher:
        timeout_s = self._values["fetch-timeout"] / _NANOSECONDS
        return Fetcher(timeout_s=timeout_s, say=self._say)

    def _fetcher_of(self, whole: Whole) -> Fetcher:
        """What the config itself says about fetching: authorities, proxies, timeouts."""
        ignition = whole.config["ignition"]
        authorities = []
        for resource in ignition["security"]["tls"]["certificateAuthorities"]:
            pem = self._fetcher.get(plan.source_of(resource))
            authorities.append(pem.decode("ascii", "replace"))
        proxy = ignition["proxy"]
        proxies = Proxies(
            proxy["httpProxy"] or "", proxy["httpsProxy"] or "", tuple(proxy["noProxy"])
        )
        timeouts = ignition["timeouts"]
        total_s, header_s = timeouts["httpTotal"], timeouts["httpResponseHeaders"]
        default_s = self._values["fetch-timeout"] / _NANOSECONDS
        return Fetcher(
            timeout_s=total_s if total_s is not None else default_s,
            header_timeout_s=header_s or 10.0,
            authorities=tuple(authorities),
            proxies=proxies,
            say=self._say,
        )

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)
