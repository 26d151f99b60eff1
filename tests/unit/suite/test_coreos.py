"""The suite's own verbs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest

from coreos_py import __version__, cmd_coreos, multicall
from coreos_py.base.errors import CoreosError
from coreos_py.commands import ROWS, TABLE, VERBS
from coreos_py.suite import resources


def run(*words):
    return multicall.run(TABLE["coreos"], ["coreos", *words])


def test_verbs_are_the_commands_of_the_table():
    import click

    context = click.Context(cmd_coreos.coreos)
    assert tuple(cmd_coreos.coreos.list_commands(context)) == VERBS
    for verb in VERBS:
        assert cmd_coreos.coreos.get_command(context, verb).name == verb


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["help", "coreos"]])
def test_help(capsys, words):
    assert run(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: coreos")
    assert err == ""
    for verb in VERBS:
        assert f"\n  {verb} " in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    assert run(verb, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: coreos {verb}")
    assert run("help", verb) == 0


def test_version(capsys):
    for words in (["version"], ["--version"]):
        assert run(*words) == 0
        assert capsys.readouterr().out == f"coreos-py {__version__} (build source)\n"


def test_list(capsys):
    assert run("list") == 0
    assert capsys.readouterr().out.split() == list(TABLE)
    assert run("list", "--long") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS)
    assert [tuple(line.split()[:2]) for line in lines] == [(row.name, row.kind) for row in ROWS]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["install"], 2, "Missing argument 'DIR'"),
        (["list", "--nosuch"], 2, "No such option"),
        (["completion", "fish"], 2, "'fish' is not one of 'bash', 'zsh'"),
        (["help", "nosuch"], 1, 'coreos: no such command: "nosuch"'),
        (["man", "nosuch"], 1, 'coreos: no man page for "nosuch"'),
        (["man", "nosuch(7)"], 1, "coreos: man/nosuch.7 is not part of this installation"),
        (["units", "nosuch"], 1, "coreos: no unit is called nosuch"),
        (["units", "--install", "/nonexistent"], 1, "coreos: /nonexistent: no such directory"),
        (["install", "/nonexistent"], 1, "coreos: install copies the archive"),
    ],
)
def test_what_goes_wrong(capsys, words, code, message):
    assert run(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_help_of_a_command_is_its_own(capsys):
    assert run("help", "etcdctl") == 0
    assert capsys.readouterr().out.startswith("NAME:\n   etcdctl - ")


def test_man_prints_the_source_without_a_terminal(capsys):
    assert run("man") == 0
    assert capsys.readouterr().out.startswith(".Dd ")
    assert run("man", "etcd2") == 0
    assert ".Dt ETCD 8" in capsys.readouterr().out


def test_unreadable_places(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run("units", "--install", str(tmp_path / "file")) == 1
    assert "no such directory" in capsys.readouterr().err


def test_install_brings_units_along(tmp_path, capsys, monkeypatch):
    bin_dir, units, archive = (tmp_path / name for name in ("bin", "units", "coreos.pyz"))
    bin_dir.mkdir()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("coreos_py/multicall.py", "")
    monkeypatch.setattr(resources, "archive", lambda: str(archive))
    monkeypatch.setattr(resources, "build_id", lambda: "0123456789ab")
    words = ("install", str(bin_dir), "--units", str(units))

    assert run(*words, "--dry-run") == 0
    assert "etcd2.service" in capsys.readouterr().out
    assert not units.exists()
    assert run(*words, "--only", "coreos,etcd2") == 0
    assert [path.name for path in units.iterdir()] == ["etcd2.service"]
    assert f"\nExecStart={bin_dir}/etcd2\n" in (units / "etcd2.service").read_text()

    theirs = units / "fleet.service"
    theirs.write_text("[Service]\nExecStart=/theirs\n")
    assert run(*words) == 1
    assert f"coreos: left alone: {theirs}: " in capsys.readouterr().err
    expected = {"etcd.service", "fleet.socket", "locksmithd.service", "update-engine.service"}
    assert expected | {"user-config.target"} <= {path.name for path in units.iterdir()}
    assert run(*words) == 1
    assert capsys.readouterr().out == ""  # nothing is left to do

    assert run(*words, "--uninstall", "--dry-run") == 0
    assert len(list(units.iterdir())) > 1
    assert run(*words, "--uninstall") == 0
    assert list(bin_dir.iterdir()) == []
    assert list(units.iterdir()) == [theirs]


def _complete(line):
    """What bash offers for a line, with our script loaded."""
    script = (
        'eval "$1"; COMP_LINE=$2; read -ra COMP_WORDS <<< "$2"; '
        '[[ $2 == *" " ]] && COMP_WORDS+=("")\n'
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _coreos_complete; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    words = [sys.executable, "-m", "coreos_py", "completion", "bash"]
    source = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        ["bash", "-c", script, "bash", source, line], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("etcdctl se", {"set", "setdir"}, {"get"}),
        ("etcdctl get --q", {"--quorum"}, {"--sort"}),
        ("/usr/bin/etcdctl member ", {"list"}, {"get"}),
        ("coreos etcdctl mk", {"mk", "mkdir"}, {"ls"}),
        ("coreos cluster ", {"up", "down", "status"}, {"install", "supervise"}),
        ("coreos install --", {"--force", "--uninstall"}, {"--long"}),
        ("coreos et", {"etcd", "etcd2", "etcdctl"}, {"install"}),
        ("etcd2 --data", {"--data-dir"}, {"--name"}),
        ("fleetd --c", {"--config"}, set()),
        ("locksmithd --reb", {"--reboot-strategy"}, {"--endpoint"}),
        ("locksmithctl s", {"status", "set-max"}, {"lock"}),
    ],
)
def test_completion(line, offered, not_offered):
    words = set(_complete(line))
    assert offered <= words
    assert not words & not_offered


def test_zsh_script_is_the_same(capsys):
    assert run("completion", "bash") == 0
    bash = capsys.readouterr().out
    assert run("completion", "zsh") == 0
    assert capsys.readouterr().out.endswith(bash)


def test_resources():
    assert resources.archive() == ""
    assert resources.build_id() == "source"
    with pytest.raises(CoreosError, match="not part of"):
        resources.read("man/nosuch")
