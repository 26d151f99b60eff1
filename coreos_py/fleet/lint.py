"""What is wrong or odd in a unit file, with line and key; fleet 1.0.0 takes most of it in silence.

Faults are what a unit is refused for, and say where the text is to blame for it. Oddities are what
it is taken with, and will not mean what it seems to. Pure, and on fleetctl's hot path.
"""

from __future__ import annotations

from coreos_py.base.unitfile import (
    UnitFile,
    UnitFileError,
    locate,
    name_info,
    parse,
    split_words,
)
from coreos_py.fleet import requirements
from coreos_py.fleet.gomatch import is_pattern
from coreos_py.fleet.requirements import KNOWN, SECTION, TRUE_WORDS, RequirementsError
from coreos_py.fleet.resources import CPU_KEY, MEMORY_KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from coreos_py.base.unitfile import Place

BOM = b"\xef\xbb\xbf"
SHORT_ID_CHARS = 8  # as in job.py, which commands have no time to import
_PEER_KEYS = ("MachineOf", "X-ConditionMachineOf")
_CONFLICT_KEYS = ("Conflicts", "X-Conflicts")
_ID_KEYS = ("MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID")
_METADATA_KEYS = ("MachineMetadata", "X-ConditionMachineMetadata")
_FALSE_WORDS = ("", "false", "no", "0", "off", "f")
# As fleet 1.0.0 names them in its refusals, and the keys that stand for them.
_NOUNS = {
    "MachineID": _ID_KEYS,
    "Peers": _PEER_KEYS,
    "Conflicts": _CONFLICT_KEYS,
    "Replaces": ("Replaces",),
    "Global": ("Global",),
}


class Finding:
    """One thing about a text: `line` counts from 1, `key` is "" where there is none."""

    __slots__ = ("key", "line", "text")

    def __init__(self, line: int, key: str, text: str) -> None:
        self.line = line
        self.key = key
        self.text = text

    def __str__(self) -> str:
        return f"{self.line}: {self.key}: {self.text}" if self.key else f"{self.line}: {self.text}"


def faults(data: bytes) -> list[Finding]:
    """Return where the text is to blame for a refusal, nothing for one that is not refused."""
    try:
        file = parse(data)
    except UnitFileError as err:
        return [Finding(err.line, "", str(err))]
    try:
        requirements.check(file.options)
    except RequirementsError as err:
        text = str(err)
        keys = [key for noun in _nouns(text) for key in _NOUNS[noun]]
        keys += [key for key in (MEMORY_KEY, CPU_KEY) if text.startswith(f"{key}: ")]
        places = [place for place in _fleet_places(data) if place.name in keys]
        if text.startswith(("MachineID", "Global", "Conflicts")):
            places = places[:1] + places[-1:] if len(places) > 1 else places
        shown = text.partition(": ")[2] if text.startswith((MEMORY_KEY, CPU_KEY)) else text
        return [Finding(place.line, place.name, shown) for place in places]
    return []


def oddities(name: str, data: bytes) -> list[Finding]:
    """Return what the text of the unit `name` will not do although it looks like it."""
    found = [*_bytes(data), *_sections(data)]
    for place in _fleet_places(data):
        found += [Finding(place.line, place.name, text) for text in _odd(name, place)]
    return sorted(found, key=_by_line)


def cycles(files: Mapping[str, UnitFile]) -> list[tuple[str, ...]]:
    """Return the circles of MachineOf among units: none of a circle is ever placed."""
    peers = {
        name: [peer for peer in requirements.parse(name, file.options).peers if peer in files]
        for name, file in files.items()
    }
    found: list[tuple[str, ...]] = []
    done: set[str] = set()
    for first in peers:
        path: list[str] = []
        stack = [(first, iter(peers[first]))] if first not in done else []
        path += [first] if stack else []
        while stack:
            name, rest = stack[-1]
            peer = next(rest, None)
            if peer is None:
                stack.pop()
                path.pop()
                done.add(name)
            elif peer in path:
                found.append((*path[path.index(peer) :], peer))
            elif peer not in done:
                path.append(peer)
                stack.append((peer, iter(peers[peer])))
    return found


def _nouns(text: str) -> list[str]:
    first, _, second = text.partition(" cannot be used with ")
    if second:
        return [first, second]
    if text.startswith("unresolvable requirements: "):
        return ["Peers", "Conflicts" if " conflict " in text else "Replaces"]
    return []


def _fleet_places(data: bytes) -> list[Place]:
    return [place for place in locate(data) if place.section == SECTION]


def _by_line(finding: Finding) -> int:
    return finding.line


# -- the text as such


def _bytes(data: bytes) -> Iterator[Finding]:
    if data.startswith(BOM):
        yield Finding(1, "", "a byte order mark, which fleet leaves out")
    if b"\0" in data:
        yield Finding(_line(data, data.index(0)), "", "a NUL byte, at which systemd stops reading")
    try:
        data.decode()
    except UnicodeDecodeError as err:
        text = f"byte 0x{data[err.start]:02x} is not UTF-8 and will not be kept"
        yield Finding(_line(data, err.start), "", text)


def _line(data: bytes, at: int) -> int:
    return 1 + data.count(b"\n", 0, at)


def _sections(data: bytes) -> Iterator[Finding]:
    places = locate(data)
    if not places:
        yield Finding(1, "", "there are no options in it")
    told = set()
    for place in places:
        folded = place.section.lower().replace("-", "").replace("_", "")
        if folded == "xfleet" and place.section != SECTION and place.section not in told:
            told.add(place.section)
            yield Finding(place.line, "", f"[{place.section}] is not [{SECTION}]")
    head = data.removeprefix(BOM).partition(b"[")[0]
    for number, line in enumerate(head.split(b"\n"), start=1):
        if line.strip() and not line.lstrip().startswith((b"#", b";")):
            yield Finding(number, "", "text before the first section is left out")
            return


# -- [X-Fleet]


def _odd(name: str, place: Place) -> Iterator[str]:
    key, words = place.name, split_words(place.value)
    if key not in KNOWN:
        near = next((known for known in KNOWN if known.lower() == key.lower()), "")
        yield "fleet does not know this key" + (f", but {near}" if near else "")
    elif key in _METADATA_KEYS:
        yield from _odd_metadata(words)
    elif key in _CONFLICT_KEYS or key == "Replaces":
        patterns = [part for word in words for part in word.split()]
        yield from (f"{part} is no pattern: it matches nothing" for part in _bad(patterns))
        if not patterns:
            yield "is empty: it matches nothing"
    elif key in _ID_KEYS:
        yield from _odd_id(words)
    elif key in _PEER_KEYS:
        yield from _odd_peers(name, words)
    elif key == "Global":
        word = words[-1].lower()
        if word not in TRUE_WORDS and word not in _FALSE_WORDS:
            yield f"{words[-1]} counts as no"


def _odd_metadata(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        key, _, value = word.partition("=")
        if not key or not value or "=" in value:
            yield f"{word or 'an empty word'} is not of the form key=value and is left out"


def _odd_id(words: list[str]) -> Iterator[str]:
    wanted = words[0]
    if "%" not in wanted and len(wanted) < SHORT_ID_CHARS:
        shown = wanted or "an empty word"
        yield f"{shown} is neither an ID nor its first {SHORT_ID_CHARS} characters: no machine fits"


def _odd_peers(name: str, words: Iterable[str]) -> Iterator[str]:
    for word in words:
        info = name_info(name)
        peer = requirements.expand(word, info) if info is not None else word
        if peer == name:
            yield "names the unit itself: it will never find a machine"
        elif "." not in peer or " " in peer:
            yield f"{peer or 'an empty word'} is no unit name: the unit will never find a machine"


def _bad(patterns: Iterable[str]) -> Iterator[str]:
    return (pattern for pattern in patterns if not is_pattern(pattern))
