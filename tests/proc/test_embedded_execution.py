"""What a unit's process finds around it: variables, directory, limits, output, specifiers."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import resource
from pathlib import Path

import pytest

from coreos_py.systemd import journal
from coreos_py.systemd.embedded import output
from tests.support.embedded import Bench, eventually_true

pytestmark = pytest.mark.proc


def printed(tmp_path, body, *, unit="web@a-1.service", units=None, **options):
    """What a oneshot with this body prints."""

    async def run():
        async with Bench(tmp_path, **options) as bench:
            for name, text in (units or {}).items():
                await bench.load(name, text)
            await bench.run(unit, f"[Service]\nType=oneshot\n{body}\n")
            await bench.reach(unit, "dead", "failed")
            return await bench.output(unit, own=False), await bench.sub(unit)

    return asyncio.run(run())


def test_environment_in_order_of_precedence(tmp_path):
    (tmp_path / "env").write_text('FROM_FILE="f"\nBOTH=file\n# c\n')
    lines, _ = printed(
        tmp_path,
        "Environment=BOTH=unit PLAIN=p 'QUOTED=two words'\n"
        f"EnvironmentFile=-{tmp_path}/env\nEnvironmentFile=-/nonexistent\n"
        "UnsetEnvironment=GONE\n"
        "ExecStart=/bin/sh -c "
        "'echo $$BOTH $$PLAIN $$QUOTED $$FROM_FILE $$INHERITED ${PLAIN} -$$GONE-'",
        environment={"INHERITED": "i", "BOTH": "base", "GONE": "x", "FLEET_METADATA": "secret"},
    )
    assert lines == ["file p two words f i p --"]


def test_the_managers_own_settings_do_not_reach_units(tmp_path):
    lines, _ = printed(
        tmp_path,
        "ExecStart=/usr/bin/env",
        environment={
            "FLEET_PUBLIC_IP": "x",
            "NOTIFY_SOCKET": "x",
            "LISTEN_FDS": "1",
            "ETCDCTL_PEERS": "p",
        },
    )
    names = {line.partition("=")[0] for line in lines}
    assert "ETCDCTL_PEERS" in names
    assert "INVOCATION_ID" in names
    assert names.isdisjoint({"FLEET_PUBLIC_IP", "NOTIFY_SOCKET", "LISTEN_FDS"})


def test_pass_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("COREOS_TEST_PASSED", "yes")
    lines, _ = printed(
        tmp_path,
        "PassEnvironment=COREOS_TEST_PASSED NOT_SET\nExecStart=/bin/echo $COREOS_TEST_PASSED",
        environment={},
    )
    assert lines == ["yes"]


def test_specifiers(tmp_path):
    lines, _ = printed(
        tmp_path,
        "ExecStart=/bin/echo %n %N %p %i %I %H %m %u %U %%",
        hostname="box",
    )
    user = pwd.getpwuid(os.getuid()).pw_name
    assert lines == [f"web@a-1.service web@a-1 web a-1 a/1 box {'m' * 32} {user} {os.getuid()} %"]


def test_continued_and_quoted_command_lines(tmp_path):
    lines, _ = printed(
        tmp_path,
        'ExecStart=/bin/sh -c \'for word in "$@"; do echo "<$word>"; done\' x \\\n'
        '  "two words" \\\n# a comment \\\n  \\x41\\tb \'"\' \\\n  ${HOME}',
        environment={"HOME": "/home/x y"},
    )
    assert lines == ["<two words>", "<A\tb>", '<">', "</home/x y>"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("/usr", "/usr"), ("-/nonexistent", "/"), ("~", None)],
)
def test_working_directory(tmp_path, setting, expected):
    home = os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)
    if setting == "~" and not Path(home).is_dir():
        pytest.skip(f"this user's home {home} does not exist")
    lines, _ = printed(tmp_path, f"WorkingDirectory={setting}\nExecStart=/bin/pwd")
    assert lines == [expected or home]


def test_umask_and_limits(tmp_path):
    soft = min(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    lines, _ = printed(
        tmp_path,
        f"UMask=0027\nLimitNOFILE={soft}\nLimitCORE=0\n"
        "ExecStart=/bin/sh -c 'umask; ulimit -n; ulimit -c'",
    )
    assert lines == ["0027", str(soft), "0"]


def test_own_user_is_fine_for_everybody(tmp_path):
    lines, sub = printed(
        tmp_path, f"User={getpass.getuser()}\nExecStart=/bin/sh -c 'id -un; echo $HOME'"
    )
    account = pwd.getpwuid(os.getuid())
    assert (lines, sub) == ([account.pw_name, account.pw_dir], "dead")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_another_user(tmp_path):
    lines, sub = printed(
        tmp_path, "User=nobody\nExecStart=/bin/sh -c 'id -un; id -Gn; echo $USER; cd /'"
    )
    group = pwd.getpwnam("nobody").pw_gid
    assert sub == "dead"
    assert lines[0] == lines[2] == "nobody"
    assert len(lines[1].split()) == len(os.getgrouplist("nobody", group))


@pytest.mark.skipif(os.getuid() == 0, reason="root may become another user")
def test_another_user_is_refused(tmp_path):
    async def run():
        async with Bench(tmp_path) as bench:
            await bench.run("a.service", "[Service]\nExecStart=/bin/true\nUser=root\n")
            await bench.reach("a.service", "failed")
            return await bench.output("a.service")

    said = "\n".join(asyncio.run(run()))
    assert "User=root: only root can run units as another user" in said
    assert "status=217/USER" in said


def test_output_files(tmp_path):
    (tmp_path / "both").write_text("old\n")
    lines, _ = printed(
        tmp_path,
        f"StandardOutput=append:{tmp_path}/both\nStandardError=null\n"
        "ExecStart=/bin/sh -c 'echo out; echo err >&2'",
    )
    assert lines == []
    assert (tmp_path / "both").read_text() == "old\nout\n"


def test_output_and_errors_keep_their_order(tmp_path):
    lines, _ = printed(
        tmp_path, "ExecStart=/bin/sh -c 'echo 1; echo 2 >&2; printf 3; echo; printf last'"
    )
    assert lines == ["1", "2", "3", "last"]


def test_bytes_that_are_no_text_survive(tmp_path):
    lines, _ = printed(tmp_path, r"ExecStart=/bin/sh -c 'printf \"\\377\\303\\251\\n\"'")
    assert [line.encode("utf-8", "surrogateescape") for line in lines] == [b"\xff\xc3\xa9"]


def test_long_lines_are_cut(tmp_path):
    lines, _ = printed(tmp_path, "ExecStart=/bin/sh -c 'head -c 100000 /dev/zero | tr \"\\\\0\" x'")
    assert [len(line) for line in lines] == [49152, 49152, 1696]


def test_a_flood_is_bounded(tmp_path):
    async def run():
        async with Bench(tmp_path, journal_bytes_max=200_000) as bench:
            await bench.run(
                "a.service",
                "[Service]\nExecStart=/bin/sh -c "
                f"'seq 1 60000; echo end; touch {tmp_path}/written; exec sleep 99'\n",
            )
            await eventually_true(lambda: _size(bench), "the flood arrives")
            await eventually_true(lambda: _exists(tmp_path / "written"), "all of it is written")
            await bench.manager.stop("a.service")
            await bench.reach("a.service", "dead")
            return await bench.output("a.service")

    lines = asyncio.run(run())
    files = list((tmp_path / "state" / "journal").iterdir())
    assert sum(file.stat().st_size for file in files) <= 200_000
    assert any(line.startswith("Suppressed ") for line in lines)
    assert not any(line == str(output.LINES_MAX + 1) for line in lines)


async def _exists(path):
    return path.exists()


async def _size(bench):
    lines = await bench.output("a.service", own=False)
    return bool(lines) and lines[-1] == str(output.LINES_MAX)


def test_reading_along(tmp_path):
    async def run():
        async with Bench(tmp_path) as bench:
            await bench.run(
                "a.service",
                "[Service]\nExecStart=/bin/sh -c "
                "'for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done; exec sleep 99'\n",
            )
            await bench.until_printed("a.service", "2")
            found = []
            async for line in bench.manager.follow("a.service", lines=1):
                found.append(line)
                if line.text == "6":
                    break
            assert found[-1].ident == "sh"
            assert found[-1].pid == bench.main_pid("a.service")
            return [line.text for line in found]

    texts = asyncio.run(run())
    assert texts == [str(number) for number in range(int(texts[0]), 7)]


def test_the_journal_can_be_read_without_a_manager(tmp_path):
    printed(tmp_path, "ExecStart=/bin/echo hello", unit="a.service")
    state = str(tmp_path / "state")
    texts = [line.text for line in journal.read_journal(state, "a.service", -1)]
    assert "hello" in texts
    assert journal.read_journal(state, "a.service", 0) == []
    assert journal.read_journal(state, "unknown.service", 10) == []
    assert len(journal.read_journal(state, "a.service", 2)) == 2


def test_conditions(tmp_path):
    async def run(path):
        async with Bench(tmp_path) as bench:
            await bench.run(
                "a.service",
                f"[Unit]\nConditionPathExists={path}\n[Service]\nExecStart=/bin/sleep 9\n",
            )
            return await bench.sub("a.service")

    assert asyncio.run(run("/nonexistent")) == "dead"
    assert asyncio.run(run("/etc/passwd")) == "running"
