"""The transcript runner itself: parsing, comparing, rewriting."""

from __future__ import annotations

import pytest

from tests.support.transcript import parse, run_file

SAMPLE = """\
# what this is about

add key=(1 2 3) other=x bare 7
first body line
second body line
----
old

# a comment on the case
say
----
----
one

two
----
----

silent
----
"""


def test_a_command_has_words_options_and_a_body():
    cases = [case for case in parse(SAMPLE) if case.command]
    add = cases[0].command
    assert add is not None
    assert add.name == "add"
    assert add.bare == ["bare", "7"]
    assert add.numbers("key") == [1, 2, 3]
    assert add.options["other"] == "x"
    assert add.body == ["first body line", "second body line"]
    assert [case.expected for case in cases] == [["old"], ["one", "", "two"], []]


def answer(command):
    return {"add": "new", "say": "one\n\ntwo", "silent": ""}[command.name]


def test_a_difference_fails_and_names_the_line(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(SAMPLE)
    with pytest.raises(AssertionError, match=r"t\.txt:3: add key=.*\n  - old\n  \+ new"):
        run_file(path, answer)


def test_rewriting_changes_expectations_only(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(SAMPLE)
    run_file(path, answer, rewrite=True)
    assert path.read_text() == SAMPLE.replace("\nold\n", "\nnew\n")
    run_file(path, answer)


@pytest.mark.parametrize("text", ["lonely command\n", "say\n----\n----\nnever closed\n"])
def test_a_broken_file_is_refused(text):
    with pytest.raises(ValueError, match="----"):
        list(parse(text))
