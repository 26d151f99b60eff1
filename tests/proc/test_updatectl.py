"""updatectl and rollerd as processes: an administrator's day, many pretended machines, two servers.

What the wire and the words look like is compared with updateservicectl 2.1.0 in tests/unit.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import payloads, transcript
from tests.support.certs import make_certs
from tests.support.procs import Process, command, environment, eventually
from tests.support.rollerd import COREOS, STABLE, Rollerd

DATA = Path(__file__).parents[1] / "data" / "updatectl"
PAYLOAD = payloads.full(payloads.image(3), kernel=b"kernel")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DATE = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", re.MULTILINE)
USER = "bob"


class Admin:
    """Runs updatectl as a user of its own."""

    def __init__(self, server: Rollerd, directory: Path) -> None:
        self.server = server
        self.directory = directory
        token = server.must("POST", "/api/tokens", {"name": "t", "role": "admin"})["token"]
        done = self._run(["admin-user", "create", USER], {"UPDATECTL_KEY": token})
        assert done.returncode == 0, done
        self.key = done.stdout.strip()

    @property
    def env(self) -> dict[str, str]:
        return {"UPDATECTL_USER": USER, "UPDATECTL_KEY": self.key}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run([*words], self.env)

    def must(self, *words: str) -> str:
        """The output of a command that has to succeed."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout

    def status(self, app: str, group: str) -> dict[str, str]:
        """`group status` as a dictionary."""
        out = self.must("group", "status", f"--app-id={app}", f"--group-id={group}")
        return {name: value.strip() for name, value in re.findall(r"^(.*?):\t+(.*)$", out, re.M)}

    def process(self, name: str, *words: str) -> Process:
        """updatectl that runs on."""
        env = {**self.env, "UPDATECTL_SERVER": self.server.url}
        argv = [*command("updatectl"), *words]
        return Process(name, argv, log_path=self.directory / f"{name}.log", env=env)

    def _run(self, words, env):
        return subprocess.run(
            [*command("updatectl"), *words],
            env=environment({"UPDATECTL_SERVER": self.server.url, **env}),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Rollerd(tmp_path_factory.mktemp("rollerd"))
    running.start()
    running.wait_ready()
    yield running
    running.close()


@pytest.fixture(scope="module")
def admin(server, tmp_path_factory):
    return Admin(server, tmp_path_factory.mktemp("admin"))


def test_a_session(server, admin, rewrite):
    (admin.directory / "web.gz").write_bytes(b"testing\n")

    def execute(one):
        (line,) = one.body
        words = shlex.split(line.replace("URL", server.url), posix=False)
        done = admin.run(*_joined(words))
        out = done.stdout + DATE.sub("DATE", done.stderr)
        shown = UUID.sub("UUID", out.replace(server.url, "URL"))
        shown = re.sub(r"^[A-Za-z0-9_-]{40}$", "KEY", shown, flags=re.MULTILINE)
        shown = shown.replace(f"apps/{COREOS}", "apps/COREOS")
        code = f"\nrc {done.returncode}" if done.returncode else ""
        return shown.rstrip("\n") + code

    transcript.run_file(DATA / "session.txt", execute, rewrite=rewrite)


def _joined(words):
    """A flag's value may have blanks; the next flag begins with two dashes."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("--") and not word.startswith("--"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def test_a_payload_from_the_file_to_the_machines(server, admin):
    (admin.directory / "update.gz").write_bytes(PAYLOAD)
    flags = [f"--app-id={COREOS}", "--channel=beta", "--version=7.0.0"]
    out = admin.must("package", "publish", *flags, "update.gz")
    assert out.splitlines()[-1] == "channel beta offers 7.0.0"
    fresh = [flags[0], "--channel=gamma", flags[2]]
    out = admin.must("package", "publish", *fresh, "update.gz")
    assert out.splitlines()[-1] == "new channel gamma offers 7.0.0"
    admin.must("channel", "delete", *fresh[:2])
    again = admin.must("package", "publish", *flags, "update.gz")
    assert again == "package 7.0.0 is there already\nchannel beta offers 7.0.0\n"
    (admin.directory / "other.gz").write_bytes(b"something else")
    other = admin.run("package", "publish", *flags, "other.gz")
    assert other.returncode == 1
    assert "there is a package 7.0.0 already, with another payload" in other.stderr
    newer = [*flags[:2], "--version=7.0.1", "other.gz"]
    other = admin.run("package", "publish", *newer)
    assert (other.returncode, other.stdout, other.stderr.count("\n")) == (1, "", 1)
    assert "update_engine would refuse other.gz: " in other.stderr
    assert "(error 21); coreos payload build makes payloads" in other.stderr
    assert "beta offers 7.0.1" in admin.must("package", "publish", "--no-check", *newer)
    admin.must("channel", "update", *flags)
    admin.must("package", "delete", newer[0], newer[2])
    admin.must("channel", "update", *flags, "--publish")
    saved = admin.run("package", "download", f"--app-id={COREOS}", "--dir=saved")
    assert saved.returncode == 0, saved
    assert saved.stderr.endswith("Downloading 1 packages.\n")
    (path,) = (admin.directory / "saved").glob("*.gz")
    assert path.read_bytes() == PAYLOAD
    (info,) = (admin.directory / "saved").glob("*_info.json")
    assert json.loads(info.read_text())["version"] == "7.0.0"
    # Another server takes both from the directory.
    path.rename(path.with_name("copy.gz"))
    bulk = admin.run("package", "upload", "bulk", "--dir=saved")
    assert bulk.returncode == 0, bulk
    assert "uploaded copy.gz" in bulk.stdout


def test_uploads_that_are_refused(admin):
    (admin.directory / "x.gz").write_bytes(b"one")
    assert admin.run("package", "upload", "--file=x.gz").returncode == 0
    (admin.directory / "x.gz").write_bytes(b"two")
    (admin.directory / "empty.gz").write_bytes(b"")
    (admin.directory / "..gz").write_bytes(b"x")
    for name, reason in [
        ("x.gz", "there is another payload called x.gz already"),
        ("empty.gz", "the payload is empty"),
        ("..gz", "'..gz' is no name for a payload"),
    ]:
        done = admin.run("package", "upload", f"--file={name}")
        assert (done.returncode, reason in done.stdout) == (2, True), done


def test_a_copy_of_the_database(server, admin):
    assert admin.run("database", "backup", "copy.db").returncode == 0
    path = admin.directory / "copy.db"
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT name FROM hawk_user").fetchall() == [(USER,)]
    assert not list(server.data_dir.glob(".backup-*"))
    (admin.directory / "null").symlink_to(os.devnull)  # which root could replace
    assert admin.run("database", "backup", "null").returncode == 1
    assert (admin.directory / "null").is_symlink()


def test_without_the_key_nothing_goes(server, admin):
    done = admin.run("--key=wrong", "app", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert DATE.sub("DATE", done.stderr) == "DATE googleapi: Error 401: hawk: invalid MAC\n"
    for words in (["package", "upload", "--file=x.gz"], ["database", "backup", "no.db"]):
        (admin.directory / "x.gz").write_bytes(bytes(4 << 20))
        refused = admin.run("--key=wrong", *words)
        assert refused.returncode in (1, 2), refused
        assert "invalid MAC" in refused.stdout + refused.stderr
    assert not (admin.directory / "no.db").exists()


def fleet(admin, app, *, percent):
    """An application whose one group updates this part of its machines."""
    name = f"{app}.gz"
    (admin.directory / name).write_bytes(b"payload")
    one = [f"--app-id={app}"]
    admin.must("app", "create", *one, f"--label={app}")
    url = f"--url={admin.server.url}/packages/{name}"
    admin.must("package", "create", *one, "--version=1.0.0", url, f"--file={name}")
    admin.must("channel", "create", *one, "--channel=main", "--version=1.0.0")
    admin.must("group", "create", *one, "--group-id=g", "--channel=main")
    admin.must("group", "percent", *one, "--group-id=g", f"--update-percent={percent}")
    return [*one, "--group-id=g"]


def test_pretended_machines_follow_a_rollout(admin):
    group = fleet(admin, "crowd", percent=0)
    crowd = admin.process(
        "crowd",
        *("instance", "fake", *group, "--clients-per-app=12", "--errorrate=0"),
        *("--min-sleep=0", "--max-sleep=1"),
    )
    crowd.start()
    try:
        # All are there, and nobody may.
        eventually(lambda: admin.status("crowd", "g")["On hold"] == "12", logs=[crowd])
        assert admin.status("crowd", "g")["Up to date"] == "0"
        frames = ["--duration=1", "--frame-size=1"]
        admin.must("rollout", "create", "linear", *group, *frames)
        admin.must("rollout", "activate", *group)
        eventually(lambda: admin.status("crowd", "g")["Up to date"] == "12", logs=[crowd])
        events = admin.must("group", "events", *group)
        counts: dict[tuple[str, str], int] = {}
        for line in events.splitlines()[1:]:
            _, kind, result, _, count = line.split()
            counts[kind, result] = counts.get((kind, result), 0) + int(count)
        assert [counts[kind, "1"] for kind in ("13", "14", "3")] == [12, 12, 12]
        versions = admin.must("instance", "list-app-versions", *group)
        assert versions.splitlines()[1].split() == ["crowd", "g", "1.0.0", "12"]
        eventually(lambda: crowd.log_text().count("updated from 0.0.0 to 1.0.0") == 12)
        crowd.signal(signal.SIGINT)
        assert crowd.wait() == 130
    finally:
        crowd.close()
    assert "Traceback" not in crowd.log_text()


def test_pretended_machines_that_fail(admin):
    group = fleet(admin, "unlucky", percent=100)
    crowd = admin.process(
        "unlucky",
        *("instance", "fake", *group, "--clients-per-app=1", "--errorrate=100"),
        *("--min-sleep=0", "--max-sleep=1"),
    )
    crowd.start()
    try:
        crowd.wait_log("failed to update in eventType: 13, eventResult: 1. Retrying.")
        eventually(lambda: "\t0\t" in admin.must("group", "events", *group), logs=[crowd])
    finally:
        crowd.close()


def test_watch_runs_a_command_at_every_version(admin):
    group = fleet(admin, "watched", percent=100)
    script = 'echo "$UPDATE_SERVICE_OLD_VERSION>$UPDATE_SERVICE_VERSION $UPDATE_SERVICE_URL."'
    watch = admin.process("watch", "watch", *group, "sh", "-c", script)
    watch.start()
    try:
        url = f"{admin.server.url}/packages/watched.gz"
        watch.wait_log(rf">0\.0\.0 {url}\.")
        watch.wait_log(rf"0\.0\.0>1\.0\.0 {url}\.")
        flags = ["--version=2.0.0", f"--url={url}", "--file=watched.gz"]
        admin.must("package", "create", "--app-id=watched", *flags)
        admin.must("channel", "update", "--app-id=watched", "--channel=main", "--version=2.0.0")
        watch.wait_log(rf"1\.0\.0>2\.0\.0 {url}\.")
        watch.signal(signal.SIGINT)
        assert watch.wait() == 130
    finally:
        watch.close()
    assert "Traceback" not in watch.log_text()


def test_one_server_takes_over_from_another(server, admin, tmp_path):
    server.open_group()
    server.publish("5.0.0", PAYLOAD)
    below = Rollerd(tmp_path, "-host-coreos-packages", "-coreos-packages-path=hosted", name="below")
    below.start()
    try:
        below.wait_ready()
        other = Admin(below, tmp_path)
        other.must("upstream", "create", f"--url={server.url}", "--label=up")
        stable = "stable\t5.0.0\tfalse\tup"
        out = other.must("upstream", "sync")
        assert "up: stable: 5.0.0" in out
        listing = other.must("channel", "list", f"--app-id={COREOS}")
        assert stable in listing
        name = "coreos-amd64-5.0.0.gz"
        assert (tmp_path / "hosted" / name).read_bytes() == PAYLOAD
        packages = other.must("package", "list", f"--app-id={COREOS}")
        assert f"5.0.0\t{below.url}/packages/{name}\t{len(PAYLOAD)}" in packages
        again = other.must("upstream", "sync")
        assert "up: stable: nothing newer than 5.0.0" in again
        # The server above saw a machine that updated, and is not waiting for it.
        machines = admin.must("instance", "list-updates", f"--app-id={COREOS}", "--group-id=stable")
        (row,) = machines.splitlines()[1:]
        assert row.split()[2] == "5.0.0"
        group = server.must("GET", f"/api/apps/{COREOS}/groups/{STABLE}")
        assert group["instances_stats"]["complete"] == 1
        _refuses_another_payload(server, other, tmp_path)
    finally:
        below.close()


def _refuses_another_payload(server, other, directory):
    server.publish("6.0.0", payloads.full(payloads.image(4), kernel=b"kernel"))
    (stored,) = (server.data_dir / "packages").glob("6.0.0-*")
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    out = other.must("upstream", "sync")
    assert out.startswith("Status: error\n")
    assert "the payload has another SHA-256 than the server says" in out
    assert "stable\t5.0.0" in other.must("channel", "list", f"--app-id={COREOS}")
    hosted = {path.name for path in (directory / "hosted").iterdir()}
    assert not [name for name in hosted if "6.0.0" in name or "incoming" in name]
    group = f"/api/apps/{COREOS}/groups/{STABLE}/instances"
    (machine,) = server.must("GET", group)
    newest = server.must("GET", f"{group}/{machine['id']}/events")[0]
    assert (newest["type"], newest["result"], newest["error_code"]) == (3, 0, 10)


def test_over_tls(tmp_path):
    certs = make_certs(tmp_path)
    secure = Rollerd(tmp_path, f"-cert={certs.server_cert}", f"-key={certs.server_key}")
    secure.start()
    try:
        secure.wait_ready()
        words = [*command("updatectl"), f"--server=https://127.0.0.1:{secure.port}"]

        def run(*more):
            done = subprocess.run(
                [*words, *more],
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            return done.returncode, done.stdout, DATE.sub("DATE", done.stderr)

        status, out, err = run("app", "list")
        assert (status, out) == (1, "")
        assert "x509: certificate signed by unknown authority" in err
        status, out, err = run("--skip-ssl-verify", "package", "list", "--app-id=x")
        assert (status, out, "Error 401" in err) == (1, "", True)
        (empty := tmp_path / "none").mkdir()
        status, _, err = run("--skip-ssl-verify", "package", "download", f"--dir={empty}")
        assert (status, err) == (0, "DATE Downloading 0 packages.\n")
    finally:
        secure.close()
