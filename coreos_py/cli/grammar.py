"""The three command-line grammars of upstream's programs, as one parser over a settings table.

GO           Go's flag package (etcd, fleetd, locksmithctl, ...): `-x` and `--x` are equal, a
             value follows or comes after `=`, a bool takes one only after `=`, the first
             positional ends it.
CODEGANGSTA  etcdctl 2.3's commands: GO, but flags are also found after the positionals.
PFLAG        fleetctl 1.0: flags and positionals in any order, one-letter shorts; the one-dash long
             flags of earlier releases (`-fields=unit`) are understood too.

In all of them the last occurrence wins and `--` ends the flags. The parser knows nothing of output:
a FlagError carries upstream's text, the program decides where it goes. On every CLI's hot path.
"""

from __future__ import annotations

from coreos_py.base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from coreos_py.cli.settings import Setting

GO = "go"
CODEGANGSTA = "codegangsta"
PFLAG = "pflag"

# What a FlagError is about.
UNDEFINED = "undefined"
NO_ARGUMENT = "no-argument"
BAD_SYNTAX = "bad-syntax"
BAD_VALUE = "bad-value"
HELP = "help"  # -h or --help, and the table has no such flag


class FlagError(UsageError):
    """The flags cannot be understood; the message is what upstream's parser prints."""

    def __init__(self, reason: str, text: str, *, flag: str = "", value: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.flag = flag
        self.value = value


class Parsed:
    """What the words meant: flags by name as (text, value), positionals, where `--` stood."""

    __slots__ = ("args", "dash", "flags")

    def __init__(self) -> None:
        self.flags: dict[str, tuple[str, Any]] = {}
        self.args: list[str] = []
        self.dash = -1  # how many positionals preceded `--`; -1 without one


def parse(table: Iterable[Setting], words: Sequence[str], *, dialect: str) -> Parsed:
    """Split words into flags and positionals; raises FlagError at the first that does not fit."""
    spellings = {name: setting for setting in table for name in setting.names()}
    parsed = Parsed()
    if dialect == PFLAG:
        _parse_pflag(spellings, list(words), parsed)
    elif dialect == CODEGANGSTA:
        _parse_codegangsta(spellings, list(words), parsed)
    else:
        parsed.args = _parse_go(spellings, list(words), parsed)
    return parsed


def _parse_go(spellings: dict[str, Setting], words: list[str], parsed: Parsed) -> list[str]:
    at = 0
    while at < len(words):
        word = words[at]
        if len(word) < 2 or word[0] != "-":
            break
        at += 1
        if word == "--":
            parsed.dash = 0
            break
        body = word[2:] if word[1] == "-" else word[1:]
        if not body or body[0] in "-=":
            raise FlagError(BAD_SYNTAX, f"bad flag syntax: {word}")
        name, equals, value = body.partition("=")
        setting = spellings.get(name)
        if setting is None:
            if name in ("help", "h"):
                raise FlagError(HELP, "flag: help requested", flag=name)
            raise FlagError(UNDEFINED, f"flag provided but not defined: -{name}", flag=name)
        if setting.kind.is_bool:
            _set(parsed, setting, value if equals else "true", spelling=name)
            continue
        if not equals:
            if at >= len(words):
                raise FlagError(NO_ARGUMENT, f"flag needs an argument: -{name}", flag=name)
            value = words[at]
            at += 1
        _set(parsed, setting, value, spelling=name)
    return words[at:]


def _parse_codegangsta(spellings: dict[str, Setting], words: list[str], parsed: Parsed) -> None:
    """Flags start at the first word with a dash, wherever it is, and end at the next positional.

    etcdctl 2.3 then puts the positionals after the flags in front (`set k --ttl 5 v` writes k to
    v); here they keep their order.
    """
    end = words.index("--") if "--" in words else len(words)
    first = next((i for i in range(end) if words[i][:1] == "-" and words[i] != "-"), end)
    rest = _parse_go(spellings, words[first:end], parsed)
    parsed.args = words[:first] + rest
    if end < len(words):
        parsed.dash = len(parsed.args)
        parsed.args += words[end + 1 :]


def _parse_pflag(spellings: dict[str, Setting], words: list[str], parsed: Parsed) -> None:
    words.reverse()  # so that taking the next word is a pop
    while words:
        word = words.pop()
        if len(word) < 2 or word[0] != "-":
            parsed.args.append(word)
        elif word == "--":
            parsed.dash = len(parsed.args)
            parsed.args += reversed(words)
            return
        elif word[1] == "-":
            _pflag_long(spellings, word, 2, words, parsed)
        elif len(word) > 2 and word[1:].partition("=")[0] in spellings:
            _pflag_long(spellings, word, 1, words, parsed)
        else:
            _pflag_shorts(spellings, word, words, parsed)


def _pflag_long(
    spellings: dict[str, Setting], word: str, dashes: int, words: list[str], parsed: Parsed
) -> None:
    body = word[dashes:]
    if body[0] in "-=":
        raise FlagError(BAD_SYNTAX, f"bad flag syntax: {word}")
    name, equals, value = body.partition("=")
    setting = spellings.get(name)
    if setting is None:
        if name == "help":
            raise FlagError(HELP, "pflag: help requested", flag=name)
        raise FlagError(UNDEFINED, f"unknown flag: --{name}", flag=name)
    if not equals:
        if setting.kind.is_bool:
            value = "true"
        elif words:
            value = words.pop()
        else:
            raise FlagError(NO_ARGUMENT, f"flag needs an argument: --{name}", flag=name)
    _set_pflag(parsed, setting, value, where=word)


def _pflag_shorts(
    spellings: dict[str, Setting], word: str, words: list[str], parsed: Parsed
) -> None:
    cluster = word[1:]
    while cluster:
        letter, rest = cluster[0], cluster[1:]
        setting = spellings.get(letter)
        if setting is None:
            if letter == "h":
                raise FlagError(HELP, "pflag: help requested", flag=letter)
            text = f"unknown shorthand flag: '{letter}' in -{cluster}"
            raise FlagError(UNDEFINED, text, flag=letter)
        if rest[:1] == "=" and len(rest) > 1:
            value, rest = rest[1:], ""
        elif setting.kind.is_bool:
            value = "true"
        elif rest:
            value, rest = rest, ""
        elif words:
            value = words.pop()
        else:
            text = f"flag needs an argument: '{letter}' in -{cluster}"
            raise FlagError(NO_ARGUMENT, text, flag=letter)
        _set_pflag(parsed, setting, value, where=cluster)
        cluster = rest


def _set(parsed: Parsed, setting: Setting, text: str, *, spelling: str) -> None:
    try:
        value = setting.kind.parse(text)
    except ValueError as err:
        what = "boolean value" if setting.kind.is_bool else "value"
        where = f"-{spelling}" if setting.kind.is_bool else f"flag -{spelling}"
        problem = f'invalid {what} "{text}" for {where}: {err}'
        raise FlagError(BAD_VALUE, problem, flag=spelling, value=text) from None
    _keep(parsed, setting, text, value)


def _set_pflag(parsed: Parsed, setting: Setting, text: str, *, where: str) -> None:
    try:
        value = setting.kind.parse(text)
    except ValueError as err:
        reason = getattr(err, "detail", str(err))
        if setting.kind.strconv:
            reason = "invalid syntax" if reason == "parse error" else reason
            reason = f'strconv.{setting.kind.strconv}: parsing "{text}": {reason}'
        problem = f'invalid argument "{text}" for {where}: {reason}'
        raise FlagError(BAD_VALUE, problem, flag=setting.name, value=text) from None
    _keep(parsed, setting, text, value)


def _keep(parsed: Parsed, setting: Setting, text: str, value: Any) -> None:
    if setting.kind.many:
        earlier = parsed.flags.get(setting.name, ("", ()))
        text = f"{earlier[0]},{text}" if earlier[0] else text
        value = (*earlier[1], value)
    parsed.flags[setting.name] = (text, value)
