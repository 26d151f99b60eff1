"""The `ignition` command: one stage of configuring a machine at its first boot.

    fetch   find the config and everything it refers to, and keep it for the other stages
    disks   partitions, arrays, file systems
    mount   the file systems that have a path below the root
    files   accounts, files, links, units
    umount  what mount has mounted

Nothing is done when anything in the config is invalid. Mirrors internal/main.go of Ignition 2.14.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO, FlagError
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, DURATION, STRING, Setting
from coreos_py.ignition import acquire, apply, config, dataurl, mounts, plan, resolve, text
from coreos_py.ignition.acquire import Given
from coreos_py.ignition.cmd_validate import VERSION
from coreos_py.ignition.disks import Disks
from coreos_py.ignition.fetch import ACCEPT, ACCEPT_2, Fetched, Fetcher, NeedsNetwork, Proxies
from coreos_py.ignition.root import Root, names_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.decode import Obj
    from coreos_py.ignition.plan import Source
    from coreos_py.ignition.resolve import Whole

STAGES = ("fetch", "fetch-offline", "disks", "files", "kargs", "mount", "umount")
RESULT = "/etc/.ignition-result.json"
_NANOSECONDS = 1_000_000_000
_NO_CONFIGS = (config.EMPTY, config.CLOUD_CONFIG, config.SCRIPT)

SETTINGS = (
    Setting("platform", STRING, help="where the config comes from: ec2, file, openstack, ..."),
    Setting("oem", STRING, help="same as --platform, as Ignition 0.12 calls it"),
    Setting("stage", STRING, help="what to do: fetch, disks, mount, files, ..."),
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
    Setting(
        "neednet",
        STRING,
        "/run/ignition/neednet",
        help="what fetch-offline makes when there is something to fetch",
    ),
    Setting(
        "state-file",
        STRING,
        "/run/ignition/state",
        help="where a stage tells the next what it has found and made",
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
        self._offline = self._values["stage"] == "fetch-offline"
        self._patience_s = self._values["fetch-timeout"] / _NANOSECONDS
        self._authorities: dict[Source, bytes] = {}

    def run(self) -> int:
        """Find the config and do what the stage does with it; CoreosError."""
        try:
            whole = self._config()
            if self._offline and (url := resolve.remote(whole.config)):
                raise NeedsNetwork(f"{url}: there is no network yet")
        except NeedsNetwork as need:
            self._say(str(need))
            self._write_file("neednet", "")
            return 0
        root, dry_run = self._values["root"], self._values["dry-run"]
        match self._values["stage"]:
            case "disks":
                Disks(whole.config, dry_run=dry_run, say=self._say).run()
            case "mount" if whole.major == 3:
                made = mounts.mount(whole.config, root, dry_run=dry_run, say=self._say)
                if made:
                    self._remember(made=made)
            case "umount" if whole.major == 3:
                mounts.unmount(whole.config, root, dry_run=dry_run, say=self._say)
            case "files":
                self._files(whole)
        return 0

    def _write_file(self, flag: str, content: str) -> None:
        path = self._values[flag]
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            write_atomically(path, content.encode(), mode=0o600)
        except OSError as error:
            raise CoreosError(f"{path}: {error.strerror}") from None

    def _remember(self, **values: object) -> None:
        before = {"given": True, "made": [], **self._state()}
        if (after := {**before, **values}) != before:
            self._write_file("state-file", json.dumps(after) + "\n")

    def _state(self) -> dict[str, Any]:
        """What earlier stages have to tell."""
        path = self._values["state-file"]
        try:
            with open(path, "rb") as file:
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CoreosError(f"{path}: {error}") from None
        return found if isinstance(found, dict) else {}

    def _files(self, whole: Whole) -> None:
        root = Root(self._values["root"])
        facts = plan.Facts(
            names_in(root.read_text("/etc/passwd")),
            names_in(root.read_text("/etc/group")),
            tuple(str(directory) for directory in self._state().get("made", ())),
        )
        actions = plan.plan(whole.config, facts, major=whole.major)
        if self._values["dry-run"]:
            for action in actions:
                self._say(apply.describe(action))
            return
        # Everything is fetched and verified before anything is changed.
        with tempfile.TemporaryDirectory(prefix="ignition-") as directory:
            fetched = Fetched(self._fetcher_of(whole.config), directory)
            for source in plan.sources(actions):
                fetched.add(source)
            may_repeat = whole.major == 2
            apply.Applier(root, fetched.get, say=self._say, may_repeat=may_repeat).apply(actions)
        if whole.major == 3:
            self._note_result(root)

    def _note_result(self, root: Root) -> None:
        before = root.read_text(RESULT)
        boot_id = Root("/").read_text("/proc/sys/kernel/random/boot_id").strip()
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        result: dict[str, object] = {
            "provisioningBootID": boot_id,
            "provisioningDate": now,
            "userConfigProvided": self._state().get("given", True),
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

    def _config(self) -> Whole:
        """The config, with the system's below it."""
        cache = self._values["config-cache"]
        if self._values["clear-cache"] and os.path.exists(cache):
            os.unlink(cache)
        base = acquire.base(self._platform)
        try:
            with open(cache, "rb") as file:
                found, is_kept = Given(file.read(), cache), True
        except FileNotFoundError:
            found, is_kept = self._acquired(base), False
        parsed = config.parse(found.data)
        whole = resolve.resolve(found.data, self._settle, where=found.where)
        below, places = [given.data for given in base], [given.where for given in base]
        final = resolve.under(below, whole, where=places)
        plan.refuse(final.config, major=final.major)
        for line in parsed.report.lines(found.data.decode("utf-8", "replace")):
            self._say(line)
        if not is_kept and not self._values["dry-run"]:
            self._embed_authorities(whole.config)
            assert parsed.version is not None
            version = parsed.version if parsed.version[0] != 1 else (2, 0)
            kept = text.dump(whole.config, version)
            write_atomically(cache, kept.encode("utf-8", "surrogateescape"), mode=0o640)
            self._remember(given=self._given, made=[])
        return final

    def _acquired(self, base: list[Given]) -> Given:
        fetcher = Fetcher(timeout_s=self._patience_s, offline=self._offline, say=self._say)
        found = acquire.acquire(self._platform, fetcher, env=os.environ, say=self._say)
        problem = config.parse(found.data).problem
        if problem not in _NO_CONFIGS:
            return found
        self._say(f"{problem}: ignoring user-provided config")
        self._given = False
        if (default := acquire.default()) is not None:
            return default
        versions = [config.parse(given.data).version for given in base]
        is_old = any(version is not None and version[0] < 3 for version in versions)
        version = "2.4.0" if is_old else "3.3.0"
        return Given(json.dumps({"ignition": {"version": version}}).encode(), "no config")

    def _settle(self, config: Obj) -> Callable[[Source], bytes]:
        return self._fetcher_of(config).get

    def _fetcher_of(self, config: Obj) -> Fetcher:
        """What the config itself says about fetching: authorities, proxies, timeouts."""
        plain = self._fetcher(config)
        authorities = []
        for resource in config["ignition"]["security"]["tls"]["certificateAuthorities"]:
            source = plan.source_of(resource)
            if source not in self._authorities:
                self._authorities[source] = plain.get(source)
            authorities.append(self._authorities[source].decode("ascii", "replace"))
        return self._fetcher(config, authorities=tuple(authorities)) if authorities else plain

    def _fetcher(self, config: Obj, *, authorities: tuple[str, ...] = ()) -> Fetcher:
        ignition = config["ignition"]
        proxy, timeouts = ignition["proxy"], ignition["timeouts"]
        proxies = Proxies(
            proxy["httpProxy"] or "", proxy["httpsProxy"] or "", tuple(proxy["noProxy"])
        )
        total_s, header_s = timeouts["httpTotal"], timeouts["httpResponseHeaders"]
        return Fetcher(
            timeout_s=self._patience_s if total_s is None else total_s,
            header_timeout_s=header_s or 10.0,
            authorities=authorities,
            proxies=proxies,
            offline=self._offline,
            accept=ACCEPT_2 if "networkd" in config.fields else ACCEPT,
            say=self._say,
        )

    def _embed_authorities(self, config: Obj) -> None:
        """So that later stages, and what they fetch, do not depend on where these came from."""
        for resource in config["ignition"]["security"]["tls"]["certificateAuthorities"]:
            data = self._authorities.get(plan.source_of(resource))
            if data is not None:
                resource.fields |= {"source": dataurl.encode(data), "httpHeaders": []}
                resource.fields |= {"compression": None} if "compression" in resource.fields else {}

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)
