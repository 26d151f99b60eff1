"""One frozen record per setting, and the rule that decides between its sources.

A program declares a table of settings once; flags, environment, config file, `--help`, completion
and the man page are read from it. Precedence: flag > environment > config file > default. Example:

    TABLE = (
        Setting("data-dir", STRING, env="ETCD_DATA_DIR", help="where the log and snapshots go"),
        Setting("heartbeat-interval", UINT, "100", env="ETCD_HEARTBEAT_INTERVAL", metavar="MS"),
        Setting("debug", BOOL, aliases=("v",), help="log more"),
    )
    parsed = grammar.parse(TABLE, argv[1:], dialect=grammar.GO)
    values = resolve(TABLE, flags=parsed.flags, env=os.environ)
    values["heartbeat-interval"]          # 100, an int
    values.origin("heartbeat-interval")   # "default", or "flag", "env", "file"

On every CLI's hot path: imports base only.
"""

from __future__ import annotations

from coreos_py.base import durations
from coreos_py.base.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

SYNTAX = "parse error"
RANGE = "value out of range"

FLAG = "flag"
ENV = "env"
FILE = "file"
DEFAULT = "default"


class BadDuration(ValueError):
    """Go's flag package says "parse error" and keeps time's own words, `detail`, to itself."""

    def __init__(self, detail: str) -> None:
        super().__init__(SYNTAX)
        self.detail = detail


class Kind:
    """A type of value: how to read its text. `parse` raises ValueError in upstream's words."""

    __slots__ = ("is_bool", "many", "metavar", "name", "parse", "strconv")

    def __init__(
        self,
        name: str,
        parse: Callable[[str], Any],
        *,
        metavar: str = "VALUE",
        strconv: str = "",
        many: bool = False,
    ) -> None:
        self.name = name
        self.parse = parse
        self.metavar = metavar
        self.strconv = strconv  # the function of Go's that pflag names in its errors
        self.is_bool = name == "bool"
        self.many = many  # every occurrence adds a value instead of replacing it


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(SYNTAX)


def _int_text(text: str) -> int:
    """Go's ParseInt with base 0: 0x, 0o, 0b, a leading 0 for octal, underscores between digits."""
    body = text[1:] if text[:1] in ("-", "+") else text
    if not body.isascii() or not body[:1].isdigit() or body[-1:].isspace():
        raise ValueError(SYNTAX)
    if body[0] == "0" and body[1:2].isdigit():
        body = "0o" + body[1:]
    try:
        value = int(body, 0)
    except ValueError:
        raise ValueError(SYNTAX) from None
    return -value if text[0] == "-" else value


def parse_int(text: str) -> int:
    """A signed 64-bit number."""
    value = _int_text(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(RANGE)
    return value


def parse_uint(text: str) -> int:
    """An unsigned 64-bit number."""
    if text[:1] in ("-", "+"):
        raise ValueError(SYNTAX)
    value = _int_text(text)
    if value >= 1 << 64:
        raise ValueError(RANGE)
    return value


def parse_float(text: str) -> float:
    """Go's ParseFloat for what people write; white space and `1_0` are refused."""
    if "_" in text or text != text.strip():
        raise ValueError(SYNTAX)
    try:
        return float.fromhex(text) if "x" in text.lower() else float(text)
    except ValueError:
        raise ValueError(SYNTAX) from None


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration."""
    try:
        return durations.parse(text)
    except ValueError as err:
        raise BadDuration(str(err)) from None


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


STRING = Kind("string", str)
BOOL = Kind("bool", parse_bool, strconv="ParseBool", metavar="")
INT = Kind("int", parse_int, strconv="ParseInt", metavar="N")
UINT = Kind("uint", parse_uint, strconv="ParseUint", metavar="N")
FLOAT = Kind("float", parse_float, strconv="ParseFloat", metavar="N")
DURATION = Kind("duration", parse_duration, metavar="DURATION")
COMMA_LIST = Kind("list", _comma_list, metavar="ITEM,...")
STRINGS = Kind("strings", str, many=True)  # one value per occurrence


def choice(*words: str) -> Kind:
    """One of a few words; etcd 2.3 says only "invalid value" about others."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("invalid value")
        return text

    return Kind("choice", parse, metavar="|".join(words))


class Setting:
    """One setting of one program. Frozen."""

    __slots__ = (
        "aliases",
        "default",
        "deprecated",
        "env",
        "group",
        "help",
        "hidden",
        "key",
        "kind",
        "metavar",
        "name",
    )
    name: str
    kind: Kind
    default: str
    env: str
    key: str
    help: str
    metavar: str
    aliases: tuple[str, ...]
    group: str
    deprecated: str
    hidden: bool

    def __init__(
        self,
        name: str,
        kind: Kind = STRING,
        default: str = "",
        *,
        env: str = "",
        key: str = "",
        help: str = "",
        metavar: str = "",
        aliases: tuple[str, ...] = (),
        group: str = "",
        deprecated: str = "",
        hidden: bool = False,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "kind", kind)
        put(self, "default", default or ("false" if kind.is_bool else ""))
        put(self, "env", env)
        put(self, "key", key)
        put(self, "help", help)
        put(self, "metavar", metavar or kind.metavar)
        put(self, "aliases", aliases)
        put(self, "group", group)
        put(self, "deprecated", deprecated)
        put(self, "hidden", hidden)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Setting is frozen: {name}")

    def names(self) -> tuple[str, ...]:
        """The flag's spellings, the main one first."""
        return (self.name, *self.aliases)

    def default_value(self) -> Any:
        """The default, parsed; None for a number, duration or URL list that has none."""
        kind = self.kind
        if kind.many:
            return _comma_list(self.default)
        if self.default == "" and kind not in (STRING, COMMA_LIST):
            return "" if kind.name == "choice" else None
        return kind.parse(self.default)


class Values:
    """The settings of one run: `values["name"]`, and where each came from."""

    __slots__ = ("_origin", "_settings", "_text", "_value")

    def __init__(self, table: Iterable[Setting]) -> None:
        self._settings = {setting.name: setting for setting in table}
        self._origin: dict[str, str] = {}
        self._text: dict[str, str] = {}
        self._value: dict[str, Any] = {}

    def put(self, name: str, origin: str, *, text: str, value: Any) -> None:
        self._origin[name] = origin
        self._text[name] = text
        self._value[name] = value

    def __getitem__(self, name: str) -> Any:
        try:
            return self._value[name]
        except KeyError:
            value = self._value[name] = self._settings[name].default_value()
            return value

    def __contains__(self, name: str) -> bool:
        return name in self._settings

    def __iter__(self) -> Any:
        return iter(self._settings)

    def origin(self, name: str) -> str:
        """FLAG, ENV, FILE or DEFAULT."""
        return self._origin.get(name, DEFAULT)

    def given(self, name: str) -> bool:
        """True when somebody set it, whatever the value."""
        return name in self._origin

    def text(self, name: str) -> str:
        """The value as it was written."""
        return self._text.get(name, self._settings[name].default)


def env_name(prefix: str, name: str) -> str:
    """ETCD_ and data-dir make ETCD_DATA_DIR."""
    return prefix + name.upper().replace("-", "_")


def resolve(
    table: Sequence[Setting],
    *,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    file: Mapping[str, str] | None = None,
    file_name: str = "",
    on_bad: Callable[[Setting, str, str, str], None] | None = None,
) -> Values:
    """Decide every setting's value.

    `flags` are grammar.parse's, already checked. An empty environment variable counts as unset, as
    upstream has it. A text that does not parse is one line of the ConfigError raised at the end, or
    goes to `on_bad(setting, origin, text, problem)`, and then the next source decides.
    """
    values = Values(table)
    problems: list[str] = []
    for setting in table:
        if flags and setting.name in flags:
            text, value = flags[setting.name]
            values.put(setting.name, FLAG, text=text, value=value)
            continue
        for origin, text, where in _sources(setting, env, file, file_name):
            try:
                value = _value(setting.kind, text)
            except ValueError as err:
                if on_bad is None:
                    problems.append(f'invalid value "{text}" for {where}: {err}')
                else:
                    on_bad(setting, origin, text, str(err))
                continue
            values.put(setting.name, origin, text=text, value=value)
            break
    if problems:
        raise ConfigError(problems)
    return values


def _sources(
    setting: Setting,
    env: Mapping[str, str] | None,
    file: Mapping[str, str] | None,
    file_name: str,
) -> list[tuple[str, str, str]]:
    found = []
    if env and setting.env and (text := env.get(setting.env, "")):
        found.append((ENV, text, setting.env))
    if file and setting.key and setting.key in file:
        where = f"{setting.key} in {file_name}" if file_name else setting.key
        found.append((FILE, file[setting.key], where))
    return found


def _value(kind: Kind, text: str) -> Any:
    if kind.many:
        return tuple(kind.parse(item.strip()) for item in text.split(","))
    return kind.parse(text)
