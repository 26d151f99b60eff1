"""One file, many commands: from argv[0] to a row of the table, and the error boundary around it.

Resolution, in order: the base name of argv[0] (without `.pyz`) is a row; or it starts with
`coreos`, and then argv[1] names the row or one of the suite's own verbs; or argv[0] is a symlink,
whose target is tried next, at most 8 hops; or the second rule applies anyway. Every process of the
suite starts here, so this module imports nothing that the interpreter has not loaded already.
"""

from __future__ import annotations

import io
import os
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.commands import CLI, DAEMON, TABLE, VERBS, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, NoReturn

EXIT_SOFTWARE = 70
EXIT_CANNOT_LOAD = 126
EXIT_NOT_FOUND = 127
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
_MAX_HOPS = 8


class UnknownCommand(Exception):
    """A name that is neither a row nor a verb."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def main() -> NoReturn:
    """Run the command this process was started as, and end the process."""
    argv = _utf8_argv(sys.argv)
    _utf8_streams()
    row = None
    try:
        row, argv = resolve(argv)
    except UnknownCommand as err:
        code = _unknown(err.name)
    else:
        code = run(row, argv)
    code = _flush(row.name if row else "coreos", code)
    if row is None or row.kind != DAEMON:
        os._exit(code)
    sys.exit(code)


def resolve(argv: list[str]) -> tuple[Row, list[str]]:
    """The row to run and the argv it shall see; raises UnknownCommand."""
    path = argv[0] if argv else ""
    for _ in range(_MAX_HOPS + 1):
        name = _basename(path)
        if name in TABLE and name != "coreos":
            return TABLE[name], argv
        if name.startswith("coreos") or name == "__main__.py":
            break
        try:
            target = os.readlink(path)
        except (OSError, ValueError):
            break
        path = os.path.join(os.path.dirname(path), target)
    return _multiplex(argv)


def run(row: Row, argv: list[str]) -> int:
    """Load and call one command; every failure becomes one line and an exit code here."""
    try:
        try:
            if row.kind == DAEMON:
                argv = _accelerate(argv)
            entry = _load(row)
        except Exception as err:  # noqa: BLE001 - a broken module of any kind must end as 126
            return _cannot_load(row, err)
        return entry(argv)
    except CoreosError as err:
        return _report(row, err)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as err:
        if isinstance(err.code, str):
            _complain(err.code)
        return err.code if isinstance(err.code, int) else int(err.code is not None)
    except BrokenPipeError as err:
        # Unbuffered output: the write itself failed. A daemon's other pipes are another matter.
        stdout = row.kind != DAEMON or Stdout.failure is err
        return EXIT_BROKEN_PIPE if stdout else _crash(row, err)
    except OSError as err:
        # _flush says what became of the output.
        return 0 if Stdout.failure is err else _crash(row, err)
    except Exception as err:  # noqa: BLE001 - this is the boundary
        return _crash(row, err)


def _multiplex(argv: list[str]) -> tuple[Row, list[str]]:
    while True:
        own = ["coreos", *argv[1:]]
        if len(argv) < 2 or argv[1].startswith("-") or argv[1] in VERBS:
            return TABLE["coreos"], own
        name = _basename(argv[1])
        argv = argv[1:]
        if name == "coreos":
            continue
        if name in TABLE:
            return TABLE[name], argv
        raise UnknownCommand(own[1])


def _basename(path: str) -> str:
    return path[path.rfind("/") + 1 :].removesuffix(".pyz")


def _load(row: Row) -> Callable[[list[str]], int]:
    if row.kind == CLI:
        import gc

        gc.disable()
    module_name, _, attribute = row.target.partition(":")
    __import__(module_name)
    entry: Callable[[list[str]], int] = getattr(sys.modules[module_name], attribute)
    return entry


def _accelerate(argv: list[str]) -> list[str]:
    """Unpack the compiled libraries before a daemon imports its modules.

    `--cache-dir DIR` is common to all daemons and taken out here, because it has to be known before
    the module that would parse it is loaded.
    """
    from coreos_py.base import accelerators

    cache_dir = None
    rest = argv[:1]
    words = iter(argv[1:])
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif flag in ("-cache-dir", "--cache-dir"):
            cache_dir = value if equals else next(words, "")
        else:
            rest.append(word)
    accelerators.activate(cache_dir)
    return rest


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, [*TABLE, *VERBS], n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    _complain(f'coreos: unknown command "{name}"{hint}')
    return EXIT_NOT_FOUND


def _cannot_load(row: Row, err: Exception) -> int:
    _debug_traceback()
    module_name = row.target.partition(":")[0]
    _complain(f"coreos: cannot load {row.name} ({module_name}): {type(err).__name__}: {err}")
    return EXIT_CANNOT_LOAD


def _report(row: Row, err: CoreosError) -> int:
    _debug_traceback()
    hint = f" ({err.hint})" if err.hint else ""
    _complain(f"{row.name}: {err}{hint}")
    return err.exit_code


def _crash(row: Row, err: Exception) -> int:
    import traceback

    _complain("".join(traceback.format_exception(err)).rstrip("\n"))
    return EXIT_SOFTWARE if row.kind != DAEMON else 1


def _debug_traceback() -> None:
    if os.environ.get("COREOS_PY_DEBUG") == "1":
        import traceback

        _complain(traceback.format_exc().rstrip("\n"))


def _complain(text: str) -> None:
    try:
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return  # there is nobody left to tell


def _flush(name: str, code: int) -> int:
    """Output that did not arrive is a failure, whatever the command thought."""
    if Stdout.is_interrupted:  # a second flush might print the same bytes again
        return code
    failure: OSError | ValueError | None = None
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as err:
        failure = err
    failure = failure or Stdout.failure
    if failure is None:
        return code
    if isinstance(failure, BrokenPipeError):
        code = EXIT_BROKEN_PIPE
    else:
        _complain(f"{name}: write: {getattr(failure, 'strerror', None) or failure}")
        code = code or 1
    # Bytes may stay in the buffer; the interpreter would complain about them on its way out.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


class Stdout(io.FileIO):
    """Standard output, which remembers that a write failed: buffers above it may forget.

    A signal that breaks a write off leaves the bytes in the buffers whether they went out or not.
    """

    failure: ClassVar[OSError | None] = None
    is_interrupted: ClassVar[bool] = False

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except KeyboardInterrupt:
            Stdout.is_interrupted = True
            raise
        except OSError as err:
            Stdout.failure = err
            raise


class _ClosedStdout:
    """Stands in for a stdout that was closed before we started: remembers that output was lost."""

    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self) -> None:
        self.lost = False
        self.buffer = self

    def write(self, data: object) -> int:
        self.lost = True
        return len(data) if isinstance(data, (str, bytes)) else 0

    def flush(self) -> None:
        if self.lost:
            self.lost = False
            raise OSError(9, "Bad file descriptor")

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError(9, "Bad file descriptor")


def _utf8_streams() -> None:
    """Keys are bytes upstream: no locale may refuse or change them on the way through."""
    for fd, stream in ((0, sys.stdin), (1, sys.stdout), (2, sys.stderr)):
        if stream is None:
            _occupy(fd)
        elif fd == 0:
            # `set key < file` stores the file as it is.
            _as_utf8(stream, newline="")
        elif fd == 2:
            _as_utf8(stream)
    if sys.stderr is None:
        # Nobody reads it, but commands write there without asking.
        sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    sys.stdout = _ClosedStdout() if sys.stdout is None else _stdout(sys.stdout)


def _stdout(stream: Any) -> io.TextIOWrapper:
    raw = Stdout(1, "wb", closefd=False)
    buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        encoding="utf-8",
        errors="surrogateescape",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _as_utf8(stream: Any, **options: str) -> None:
    stream.reconfigure(encoding="utf-8", errors="surrogateescape", **options)


def _occupy(fd: int) -> None:
    """Keep a closed standard descriptor from being reused by the next socket or file."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != fd:
        os.dup2(null, fd)
        os.close(null)


def _utf8_argv(argv: list[str]) -> list[str]:
    if sys.getfilesystemencoding() == "utf-8":
        return argv
    return [os.fsencode(word).decode("utf-8", "surrogateescape") for word in argv]
