"""Command lines, quoting, substitution and specifiers, as systemd.service(5) describes them."""

from __future__ import annotations

import pytest

from coreos_py.systemd.embedded import command, environment, specifiers, words
from coreos_py.systemd.embedded.command import Command
from coreos_py.systemd.embedded.specifiers import Facts


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("one", "one"),
        ("one \\\n  two", "one    two"),
        ("a\\\n# note\nb", "a b"),
        ("a\\\n  ; note \\\nb", "a b"),
        ("a \\", "a"),
        ("\\\nb", "b"),
        ("1 \\\n", "1"),
    ],
)
def test_logical_line(value, line):
    assert words.logical_line(value) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  a  b\tc ", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("a'b c'd", ["ab cd"]),
        ('""', [""]),
        ("'it is \"x\"'", ['it is "x"']),
        (r"a\ b", ["a\\ b"]),
        (r"\"a\" \\", ['"a"', "\\"]),
        (r"\x41\101\u00e9\U0001F600", ["AAé😀"]),
        (r"tab\there\snow", ["tab\there now"]),
        (r"\q \x4", [r"\q", r"\x4"]),
        (r"\0", [r"\0"]),
        ("end\\", ["end\\"]),
    ],
)
def test_split_words(text, expected):
    assert words.split_words(text) == expected


def test_escaped_bytes_reach_the_program_as_they_are():
    (word,) = words.split_words(r"\xc3\xa9\xff")
    assert word.encode("utf-8", "surrogateescape") == b"\xc3\xa9\xff"


@pytest.mark.parametrize("text", ["'a", 'x "y', "a'b"])
def test_unbalanced_quotes(text):
    with pytest.raises(ValueError, match="unbalanced"):
        words.split_words(text)


SPECIFIERS = specifiers.table("web@8-0.service", Facts(hostname="h.example", machine_id="mid"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/bin/true", [Command("/bin/true", ("/bin/true",))]),
        ("-/bin/false x", [Command("/bin/false", ("/bin/false", "x"), may_fail=True)]),
        ("@/bin/sh mysh -c x", [Command("/bin/sh", ("mysh", "-c", "x"))]),
        ("-@:+/bin/sh a b", [Command("/bin/sh", ("a", "b"), may_fail=True, literal=True)]),
        ("!!/bin/a", [Command("/bin/a", ("/bin/a",))]),
        ("sleep 1", [Command("sleep", ("sleep", "1"))]),
        (
            "/bin/a 1 ; -/bin/b 2",
            [Command("/bin/a", ("/bin/a", "1")), Command("/bin/b", ("/bin/b", "2"), may_fail=True)],
        ),
        (
            r"/bin/a \; ; /bin/b",
            [Command("/bin/a", ("/bin/a", ";")), Command("/bin/b", ("/bin/b",))],
        ),
        ("/bin/a ';' x;y", [Command("/bin/a", ("/bin/a", ";", "x;y"))]),
        ("/bin/a x ;", [Command("/bin/a", ("/bin/a", "x"))]),
        (
            "/bin/a %i %I %n %%",
            [Command("/bin/a", ("/bin/a", "8-0", "8/0", "web@8-0.service", "%"))],
        ),
        ("/bin/%p '%i b'", [Command("/bin/web", ("/bin/web", "8-0 b"))]),
        ("", []),
    ],
)
def test_parse_commands(line, expected):
    assert command.parse_commands(line, SPECIFIERS) == expected


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-", "empty path"),
        ("bin/x", "neither an executable name nor an absolute path"),
        ("/bin/", "directory"),
        ("/bin/a 'x", "unbalanced"),
        ("@/bin/a", "no argv"),
    ],
)
def test_refused_commands(line, error):
    with pytest.raises(ValueError, match=error):
        command.parse_commands(line, SPECIFIERS)


ENVIRONMENT = {"ONE": "one", "TWO": "a 'b c'  d", "EMPTY": ""}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$ONE", ["one"]),
        ("$TWO", ["a", "b c", "d"]),
        ("${TWO}", ["a 'b c'  d"]),
        ("x${ONE}y${ONE}", ["xoneyone"]),
        ("x$ONE", ["x$ONE"]),
        ("$EMPTY", []),
        ("${EMPTY}", [""]),
        ("$MISSING", []),
        ("a${MISSING}b", ["ab"]),
        ("$$ONE", ["$ONE"]),
        ("$${ONE}", ["${ONE}"]),
        ("cost $$5", ["cost $5"]),
        ("${not a name}", ["${not a name}"]),
        ("$", ["$"]),
        ("${ONE", ["${ONE"]),
    ],
)
def test_substitute(word, expected):
    got = command.substitute(Command("/bin/x", ("/bin/x", word)), ENVIRONMENT)
    assert got == ["/bin/x", *expected]


def test_the_path_is_never_substituted_and_a_colon_stops_it():
    plain = Command("$ONE", ("$ONE",))
    assert command.substitute(plain, ENVIRONMENT) == ["$ONE"]
    literal = Command("/bin/x", ("/bin/x", "$ONE", "${ONE}"), literal=True)
    assert command.substitute(literal, ENVIRONMENT) == ["/bin/x", "$ONE", "${ONE}"]


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("a.service", "%n %N %p %i", "a.service a a "),
        ("a@b.service", "%n %N %p %i", "a@b.service a@b a b"),
        ("x-y@.service", "%p %P %j %i", "x-y x/y y "),
        (r"m@a-b\x2dc.service", "%i %I %f", r"a-b\x2dc a/b-c /a/b-c"),
        ("a-b.service", "%f", "/a/b"),
        ("a.service", "%m %H %l", "mid h.example h"),
        ("a.service", "%% %%i 100%", "% %i 100%"),
        ("a.service", "%Z", "%Z"),
        ("a.service", "%u %U %h %t %s", "joe 7 /home/joe /run/user/7 /bin/zsh"),
        ("a.service", "%b %v", "boot 6.1"),
    ],
)
def test_specifiers(unit, text, expected):
    facts = Facts(
        machine_id="mid",
        boot_id="boot",
        hostname="h.example",
        kernel="6.1",
        user="joe",
        uid=7,
        home="/home/joe",
        login_shell="/bin/zsh",
        runtime_dir="/run/user/7",
    )
    assert specifiers.expand(text, specifiers.table(unit, facts)) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("A=1", ("A", "1")), ("A=", ("A", "")), ("A", None), ("1A=x", None), ("A B=x", None)],
)
def test_assignment(word, expected):
    assert environment.parse_assignment(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("# c\n; d\n\n A = 1 \n", {"A": "1"}),
        ('A=\'x y\' \nB="q \\" $\\x"\n', {"A": "x y", "B": 'q " $\\x'}),
        ("A=one \\\ntwo\n", {"A": "one two"}),
        ("A=a\\ b\n", {"A": "a b"}),
        ('A="x" "y" z w\n', {"A": "xyz w"}),
        ("A='multi\nline'\n", {"A": "multi\nline"}),
        ("export A=1\nB C\n=x\nC=3", {"C": "3"}),
        ('A=a"b"\n', {"A": 'a"b"'}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("# comment \\\nA=1\nB=2\n", {"B": "2"}),
        ("A=\nB=x", {"A": "", "B": "x"}),
    ],
)
def test_environment_file(text, expected):
    assert environment.parse_file(text) == expected
