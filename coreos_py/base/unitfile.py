"""Unit-file text: lexer, serialiser, hash, and the anatomy of unit names.

The hash of a unit is taken over its serialised text and two clusters compare those hashes, so every
accident of the lexer that fleet 1.0.0 uses (go-systemd's unit package) is kept, byte for byte.
Text is `str` decoded from UTF-8 with surrogateescape, so foreign bytes survive a round trip.
Pure, and on the start-up path of fleetctl: imports nothing heavier than a SHA-1.
"""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.base.gostring import quote, quote_rune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Option = tuple[str, str, str]

LINE_BYTES_MAX = 2048
BUFFER_BYTES = 4096
NAME_BYTES_MAX = 256
HASH_SHORT_DIGITS = 7

# White space as Go's unicode.IsSpace sees it; str.isspace() also takes U+001C..U+001F.
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

_TYPE_WORDS = "automount busname device mount path scope service slice snapshot socket swap"
UNIT_TYPES = frozenset([*_TYPE_WORDS.split(), "target", "timer"])
TEMPLATE_TYPES = frozenset({"path", "service", "socket", "target", "timer"})
RECOGNISED_SUFFIXES = (
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".device",
    ".mount",
    ".automount",
)
NAME_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@")


class UnitFileError(CoreosError):
    """The text is not a unit file; str() is go-systemd's error text, `line` counts from 1."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class UnitNameError(CoreosError):
    """The unit name is not acceptable; str() is fleet 1.0.0's error text."""


class UnitFile:
    """The options of one unit file, in order; two are equal when their hashes are."""

    __slots__ = ("_hash", "options")

    options: tuple[Option, ...]
    _hash: str

    def __init__(self, options: Iterable[Option] = ()) -> None:
        self.options = tuple(options)
        self._hash = ""

    def __repr__(self) -> str:
        return f"UnitFile({self.options!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitFile) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def hash(self) -> str:
        """Return the 40 hex digits that identify this unit in the registry."""
        if not self._hash:
            self._hash = text_hash(self.serialise())
        return self._hash

    @property
    def short_hash(self) -> str:
        """Return the seven digits fleetctl shows."""
        return self.hash[:HASH_SHORT_DIGITS]

    @property
    def description(self) -> str:
        """Return the first Description of the [Unit] section, or ""."""
        found = self.values("Unit", "Description")
        return found[0] if found else ""

    def values(self, section: str, name: str) -> list[str]:
        """Return every value of one option as written, in order."""
        return [value for sec, key, value in self.options if sec == section and key == name]

    def has_section(self, section: str) -> bool:
        """Tell whether the section holds at least one option."""
        return any(sec == section for sec, _, _ in self.options)

    def serialise(self) -> str:
        """Return the canonical text."""
        return serialise(self.options)


class Place:
    """An option and the line it begins on."""

    __slots__ = ("line", "name", "section", "value")

    def __init__(self, line: int, section: str, name: str, value: str) -> None:
        self.line = line
        self.section = section
        self.name = name
        self.value = value


class NameInfo:
    """A unit name taken apart; template and instance are "" where the name has no "@"."""

    __slots__ = ("full_name", "instance", "name", "prefix", "template")

    def __init__(
        self, full_name: str, name: str, prefix: str, template: str, instance: str
    ) -> None:
        self.full_name = full_name
        self.name = name
        self.prefix = prefix
        self.template = template
        self.instance = instance

    @property
    def is_instance(self) -> bool:
        """Tell whether the name has a non-empty instance part."""
        return bool(self.instance)

    @property
    def is_template(self) -> bool:
        """Tell whether the name is that of a template."""
        return bool(self.template) and not self.instance


def parse(text: str | bytes) -> UnitFile:
    """Read unit-file text, or raise UnitFileError with go-systemd's words."""
    return UnitFile(_Lexer(text if isinstance(text, bytes) else _to_bytes(text)).run())


def locate(data: bytes) -> list[Place]:
    """Return the options of unit-file text with their lines, up to where it makes no sense."""
    lexer = _Lexer(data)
    try:
        lexer.run()
    except UnitFileError:
        lexer.options = lexer.options[: len(lexer.starts)]
    found = []
    line, before = 1, 0
    for start, option in zip(lexer.starts, lexer.options, strict=True):
        line += data.count(b"\n", before, start)
        before = start
        found.append(Place(line, *option))
    return found


def serialise(options: Iterable[Option]) -> str:
    """Write options grouped by section in order of first appearance."""
    sections: dict[str, list[str]] = {}
    for section, name, value in options:
        lines = sections.get(section)
        if lines is None:
            lines = sections[section] = [f"[{section}]\n"]
        lines.append(f"{name}={value}\n")
    return "\n".join("".join(lines) for lines in sections.values())


def text_hash(text: str) -> str:
    """Return the hex SHA-1 of serialised text."""
    # hashlib loads OpenSSL, which a command that shows one hash need not wait for.
    try:
        import _sha1 as hashes  # type: ignore[import-not-found]
    except ImportError:
        import hashlib as hashes
    digest: str = hashes.sha1(_to_bytes(text), usedforsecurity=False).hexdigest()
    return digest


def split_words(value: str) -> list[str]:
    """Cut a quoted [X-Fleet] value into words; any other value is one word."""
    if not (value.startswith('"') and value.endswith('"')):
        return [value]
    words = []
    word: list[str] = []
    inside = False
    for char in value:
        if char == '"':
            inside = not inside
        elif char == " " and not inside:
            words.append("".join(word))
            word = []
        else:
            word.append(char)
    words.append("".join(word))
    return words


def name_info(name: str) -> NameInfo | None:
    """Take a unit name apart; None when it has no dot."""
    stem, dot, kind = name.rpartition(".")
    if not dot:
        return None
    prefix, at, instance = stem.partition("@")
    template = f"{prefix}@.{kind}" if at else ""
    return NameInfo(name, stem, prefix, template, instance)


def is_recognised_type(name: str) -> bool:
    """Tell whether fleetctl and the agent take the suffix for a unit type."""
    return name.endswith(RECOGNISED_SUFFIXES)


def default_type(name: str) -> str:
    """Append the suffix fleetctl assumes when none is recognised."""
    return f"{name}.service"


def validate_name(name: str) -> None:
    """Raise UnitNameError with the first fault in fleet's order of checks."""
    if not name:
        raise UnitNameError("unit name cannot be empty")
    if len(_to_bytes(name)) > NAME_BYTES_MAX:
        raise UnitNameError(f"unit name exceeds maximum length ({NAME_BYTES_MAX})")
    stem, dot, kind = name.rpartition(".")
    if not dot:
        raise UnitNameError('unit name must contain "."')
    if not kind:
        raise UnitNameError('unit name cannot end in "."')
    if kind not in UNIT_TYPES:
        raise UnitNameError(f"invalid unit type: {quote(kind)}")
    if "@" in name and kind not in TEMPLATE_TYPES:
        raise UnitNameError(f"invalid unit type for template: {quote(kind)}")
    for char in stem:
        if char not in NAME_CHARACTERS:
            raise UnitNameError(f"invalid character {quote_rune(char)} in unit name")
    if name.startswith("@"):
        raise UnitNameError('unit name cannot start in "@"')


def check_options(options: Iterable[Option]) -> None:
    """Raise UnitFileError when the options do not survive being written and read again."""
    parse(serialise(options))


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # A lone surrogate out of JSON text: Go holds U+FFFD in its place.
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text).encode()


def _to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class _Lexer:
    """go-systemd's lexer over a model of the buffered reader below it.

    `pos` is the read position and `end` the end of what a 4096-byte buffer would hold: the length
    check looks only at buffered bytes, so which over-long lines are refused depends on where the
    buffer ends.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.pos = 0
        self.end = 0
        self._newline = -1
        self._mark = 0  # where what is being read began
        self.starts: list[int] = []
        self.options: list[Option] = []

    def run(self) -> list[Option]:
        if self._skip_to_section():
            while self._section():
                pass
        return self.options

    def _skip_to_section(self) -> bool:
        while True:
            self._check_line()
            char = self._rune()
            if char == "[":
                return True
            if not char:
                return False
            if char in "#;":
                self._comment()

    def _section(self) -> bool:
        """Read one section from behind its "["; tell whether another one follows."""
        self._mark = self.pos
        self._check_line()
        raw, found = self._read_until(b"]")
        if not found:
            raise self._error("unable to find end of section")
        section = _to_text(raw[:-1])
        self._check_line()
        garbage = _to_text(self._line()[0]).strip(SPACES).encode("utf-8", "surrogateescape")
        if garbage:
            listed = " ".join(str(byte) for byte in garbage)
            raise self._error(f"found garbage after section name : [{listed}]")
        while True:
            self._check_line()
            start = self.pos
            char = self._rune()
            if not char:
                return False
            if char == "[":
                return True
            if char in "#;":
                self._comment()
            elif char not in SPACES:
                self.pos = self._mark = start
                self.options.append((section, self._name(), self._value()))
                self.starts.append(start)

    def _comment(self) -> None:
        self._check_line()
        while True:
            line, _ = self._line()
            if not line.removesuffix(b" ").endswith(b"\\"):
                return

    def _name(self) -> str:
        self._check_line()
        chars: list[str] = []
        while True:
            char = self._rune()
            if not char:
                raise self._error("EOF")
            if char in "\r\n":
                raise self._error("unexpected newline encountered while parsing option name")
            if char == "=":
                return "".join(chars).strip(SPACES)
            chars.append(char)

    def _value(self) -> str:
        parts = []
        while True:
            self._check_line()
            line, eof = self._line()
            if not _to_text(line).strip(SPACES):
                break
            parts.append(line)
            if not line.endswith(b"\\"):
                break
            if not eof:
                parts.append(b"\n")
        value = _to_text(b"".join(parts))
        return value.strip(SPACES) + ("\n" if value.endswith("\n") else "")

    def _error(self, text: str) -> UnitFileError:
        return UnitFileError(text, line=1 + self.data.count(b"\n", 0, self._mark))

    def _check_line(self) -> None:
        if self.end - self.pos < LINE_BYTES_MAX:
            return
        if self._newline < self.pos:
            ends = (self.data.find(b"\n", self.pos), self.data.find(b"\r", self.pos))
            self._newline = min((at for at in ends if at >= 0), default=self.size)
        if self._newline >= self.pos + LINE_BYTES_MAX:
            self._mark = self.pos
            raise self._error(f"line too long (max {LINE_BYTES_MAX} bytes)")

    def _rune(self) -> str:
        """Read one character, "" at the end; a byte that is not UTF-8 reads as U+FFFD."""
        if self.pos >= self.size:
            return ""
        data, pos = self.data, self.pos
        lead = data[pos]
        width = 1 if not 0xC2 <= lead <= 0xF4 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        if self.end < min(pos + width, self.size):
            self.end = min(pos + BUFFER_BYTES, self.size)
        if width == 1:
            self.pos += 1
            return chr(lead) if lead < 0x80 else "\ufffd"
        try:
            char = data[pos : pos + width].decode()
        except UnicodeDecodeError:
            self.pos += 1
            return "\ufffd"
        self.pos += width
        return char

    def _line(self) -> tuple[bytes, bool]:
        line, found = self._read_until(b"\n")
        return (line[:-1] if found else line.removesuffix(b"\r")), not found

    def _read_until(self, delimiter: bytes) -> tuple[bytes, bool]:
        """Read up to and with the delimiter, moving the buffer as the reader would."""
        start = self.pos
        at = self.data.find(delimiter, start)
        stop = self.size if at < 0 else at + 1
        while self.end < stop:
            if self.end - self.pos >= BUFFER_BYTES:
                self.pos = self.end
            self.end = min(self.pos + BUFFER_BYTES, self.size)
        self.pos = stop
        return self.data[start:stop], at >= 0
