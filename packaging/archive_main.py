"""The archive's `__main__`: where its compiled modules are, then the command.

Between the archive's first line and its zip lies a block that build.py writes: MAGIC_NUMBER of the
interpreter it is for, the length of an index, the index {module: (offset, length, path)}, and the
modules' code. To load from there needs neither the zip's directory, which zipimport reads entry by
entry, nor a look at four names per module. Any other interpreter, and whatever the block lacks,
takes the sources in the zip. Python 3 before 3.11 gets as far as the version check.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts the archive may have an older one
    sys.exit(
        "coreos: needs Python 3.11 or newer, and %s is %d.%d"  # noqa: UP031
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )

import marshal
import os
from importlib.util import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from zipimport import zipimporter

    Index = dict[str, tuple[int, int, str]]


class Block:
    """Finder and loader of the modules in the block; for anything but code it asks zipimport."""

    def __init__(self, archive: str, fd: int, start: int, index: "Index") -> None:
        self.archive = archive
        self._fd = fd
        self._start = start
        self._index = index
        self._zip: zipimporter | None = None

    def find_spec(
        self, name: str, _path: "Sequence[str] | None" = None, _target: object = None
    ) -> "ModuleSpec | None":
        """The spec of a module that is in the block."""
        place = self._index.get(name)
        if place is None:
            return None
        origin = self.archive + "/" + place[2]
        is_package = place[2].endswith("/__init__.py")
        # mypy: it has what a loader needs.
        spec = Spec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [origin[: -len("/__init__.py")]]
        return spec

    def create_module(self, _spec: "ModuleSpec") -> None:
        """Any module will do."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run a module's code in it."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - that is a loader's job

    def get_code(self, name: str) -> "CodeType":
        """The code of a module."""
        offset, size, _ = self._index[name]
        code: CodeType = marshal.loads(os.pread(self._fd, size, self._start + offset))  # noqa: S302
        return code

    def is_package(self, name: str) -> bool:
        """Whether a module is a package."""
        return self._index[name][2].endswith("/__init__.py")

    def get_filename(self, name: str) -> str:
        """Where a module's source is."""
        return self.archive + "/" + self._index[name][2]

    def get_source(self, name: str) -> str:
        """A module's source, for tracebacks."""
        return self.get_data(self.get_filename(name)).decode()

    def get_data(self, path: str) -> bytes:
        """Any file of the archive."""
        if self._zip is None:
            from zipimport import zipimporter

            self._zip = zipimporter(self.archive)
        return self._zip.get_data(path)


def block(archive: str) -> "Block | None":
    """The block of an archive, None if it has none for this interpreter."""
    fd = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    if fd < 3:  # a standard one that is closed: others count on finding it so
        from fcntl import F_DUPFD_CLOEXEC, fcntl

        low, fd = fd, fcntl(fd, F_DUPFD_CLOEXEC, 3)
        os.close(low)
    head = os.pread(fd, 65536, 0)
    begin = head.find(b"\n") + 1
    if head[:2] == b"#!" and head[begin : begin + 4] == MAGIC_NUMBER:
        start = begin + 8 + int.from_bytes(head[begin + 4 : begin + 8], "little")
        index = head[begin + 8 : start] if start <= len(head) else os.pread(fd, start, begin + 8)
        return Block(archive, fd, start, marshal.loads(index))  # noqa: S302
    os.close(fd)
    return None


here = os.path.realpath(sys.path.pop(0))
found = block(here)
if found is not None:
    Spec = type(sys.__spec__)
    sys.meta_path.insert(0, found)
# Behind the standard library, whose modules nobody shall look for in the zip.
sys.path += [here, here + "/site-packages"]

from coreos_py.multicall import main  # noqa: E402 - there is nothing to import before

main()
