"""The creation step of submit, load, start and restart: which text a name stands for.

Order of looking, as in fleetctl 1.0.0: the registry, a file of that name, the template in the
registry, the template beside the file.
"""

from __future__ import annotations

import os

from coreos_py.base import unitfile
from coreos_py.base.unitfile import UnitFileError, UnitNameError, name_info, validate_name
from coreos_py.fleet import lint, requirements
from coreos_py.fleet.ctl.client import APIError, Change
from coreos_py.fleet.ctl.session import base_name, complain, out, unit_name, with_type
from coreos_py.fleet.ctl.waiting import FOREVER, wait_for_state
from coreos_py.fleet.requirements import RequirementsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.base.unitfile import NameInfo, UnitFile
    from coreos_py.fleet.ctl.client import Unit
    from coreos_py.fleet.ctl.session import Session

INACTIVE, LOADED, LAUNCHED = "inactive", "loaded", "launched"
_REPLACEABLE = {
    "submit": (INACTIVE,),
    "load": (INACTIVE, LOADED),
    "start": (INACTIVE, LOADED, LAUNCHED),
}


class CreationError(Exception):
    """A unit cannot be created; str() is what follows "Error creating units: "."""


def create_units(session: Session) -> bool:
    """Create what is missing and wait until it is there; False, with a message, on failure."""
    created: list[str] = []
    try:
        _create_missing(session, _known_units(session), created)
    except CreationError as err:
        complain(f"Error creating units: {err}")
        return False
    attempts = session.flag("block-attempts") or FOREVER
    failures = wait_for_state(session, created, INACTIVE, attempts=attempts)
    for problem in failures:
        complain(f"Error waiting on unit creation: {problem}")
    if failures:
        complain("Error creating units: One or more errors creating units")
    return not failures


def _create_missing(session: Session, known: dict[str, Unit], created: list[str]) -> None:
    """Create, and tell in `created`, what is not there; all texts are looked at first."""
    found: dict[str, UnitFile] = {}
    try:
        for argument in map(with_type, session.args):
            name = unit_name(argument)
            if name in found or not _must_create(session, argument, known.get(name)):
                continue
            file = _find_and_check(session, argument, name)
            found[name] = file
            info = name_info(name)
            if info is not None and info.is_template:  # the next may be an instance of it
                _create(session, found, created)
    finally:
        _create(session, found, created)
    _tell_cycles(session, found)


def _known_units(session: Session) -> dict[str, Unit]:
    names = [unit_name(with_type(argument)) for argument in session.args]
    try:
        return session.lookup(names)
    except APIError as err:
        raise CreationError(f"error retrieving Unit({names[0]}) from Registry: {err}") from None


def _must_create(session: Session, argument: str, known: Unit | None) -> bool:
    if known is None:
        return True
    name = known.name
    is_replacing = bool(session.flag("replace"))
    try:
        differs = _differs_locally(session, argument, known, is_replacing=is_replacing)
    except CreationError:
        if is_replacing:
            raise
        return False
    if not is_replacing:
        if not differs:
            session.debug(f"Found same Unit({name}) in Registry, no need to recreate it")
        return False
    if not differs:
        out(f"Found same Unit({name}) in Registry, nothing to do")
        return False
    if known.desired_state in _REPLACEABLE.get(session.command, ()):
        return True
    state = known.desired_state
    complain(
        f"Warning: can not replace Unit({name}) in state '{state}', use the appropriate command"
    )
    return False


def _differs_locally(session: Session, path: str, known: Unit, *, is_replacing: bool) -> bool:
    """Compare with the file of that path, or else with the template beside it."""
    try:
        differs = read_unit_file(path) != known.file
    except CreationError:
        info = name_info(base_name(path))
        if info is None:
            text = f"error extracting information from unit name {path}"
            raise CreationError(text) from None
        if not info.is_instance:
            text = f"error Unit {path} does not seem to be a template unit"
            raise CreationError(text) from None
        differs = read_unit_file(beside(path, info.template)) != known.file
        kind = "local template unit file"
    else:
        kind = "local unit file"
    if differs and not is_replacing:
        complain(
            f"WARNING: Unit {known.name} in registry differs from {kind} {path}."
            " Add --replace to override."
        )
    return differs


def _find_text(session: Session, path: str, name: str) -> UnitFile:
    if os.path.exists(path):
        session.debug(f"Unit({name}) found in local filesystem")
        try:
            return read_unit_file(path)
        except CreationError as err:
            raise CreationError(f"failed getting Unit({path}) from file: {err}") from None
    session.debug(f"Looking for Unit({name}) or its corresponding template")
    info = name_info(name)
    if info is None or not info.is_instance:
        raise CreationError(f"unable to find Unit({name}) in Registry or on filesystem")
    try:
        return _find_template(session, path, info)
    except CreationError as err:
        raise CreationError(f"failed getting Unit({path}) from template: {err}") from None


def _find_template(session: Session, path: str, info: NameInfo) -> UnitFile:
    template = info.template
    try:
        known = session.template(template)
    except APIError as err:
        text = f"error retrieving template Unit({template}) from Registry: {err}"
        raise CreationError(text) from None
    if known is not None:
        session.debug(f"Template Unit({template}) found in registry")
        try:
            _differs_locally(session, path, known, is_replacing=bool(session.flag("replace")))
        except CreationError as err:
            session.debug(f"template {template} is not compared: {err}")
        return known.file
    neighbour = beside(path, template)
    if not os.path.exists(neighbour):
        text = f"unable to find template Unit({template}) in Registry or on filesystem"
        raise CreationError(text)
    try:
        return read_unit_file(neighbour)
    except CreationError as err:
        text = f"unable to load template Unit({template}) from file: {err}"
        raise CreationError(text) from None


def _create(session: Session, found: dict[str, UnitFile], created: list[str]) -> None:
    """Create those of the units that are not in `created` yet."""
    changes = [Change(name, file=file) for name, file in found.items() if name not in created]
    for change, problem in zip(changes, session.client.change(changes), strict=True):
        if problem is not None:
            raise CreationError(f"failed creating unit {change.name}: {problem}")
        session.debug(f"Created Unit({change.name}) in Registry")
        created.append(change.name)


def _check(session: Session, name: str, file: UnitFile) -> None:
    try:
        validate_name(name)
        requirements.check(file.options)
    except (UnitNameError, RequirementsError) as err:
        raise CreationError(str(err)) from None
    for key in requirements.parse(name, file.options).unknown:
        session.warn(f'Unit {name}: unrecognized requirement in [X-Fleet] section: "{key}"')


def _find_and_check(session: Session, argument: str, name: str) -> UnitFile:
    """Return the text for a name, or say where it is wrong; say what is odd about it."""
    try:
        file = _find_text(session, argument, name)
        _check(session, name, file)
    except CreationError:
        path, data = _source(argument, name)
        for finding in lint.faults(data):
            complain(f"{path}:{finding}")
        raise
    path, data = _source(argument, name)
    if not data or unitfile.parse(data) != file:
        path, data = name, file.serialise().encode("utf-8", "surrogateescape")
    if session.is_news(f"{path} {file.hash}"):
        for finding in lint.oddities(name, data):
            complain(f"{path}:{finding}")
    return file


def _source(argument: str, name: str) -> tuple[str, bytes]:
    """Return the file a name stands for here, with its bytes; nothing when there is none."""
    info = name_info(name)
    paths = [argument, beside(argument, info.template)] if info and info.template else [argument]
    for path in paths:
        try:
            with open(path, "rb") as file:
                return path, file.read()
        except OSError:
            continue
    return "", b""


def _tell_cycles(session: Session, created: dict[str, UnitFile]) -> None:
    """Say which of the units have tied themselves to each other in a circle."""
    if not any(requirements.parse(name, file.options).peers for name, file in created.items()):
        return
    try:
        files = {unit.name: unit.file for unit in session.client.units()} | created
    except APIError as err:
        session.debug(f"circles of units are not looked for: {err}")
        return
    for circle in lint.cycles(files):
        if len(set(circle)) > 1 and created.keys() & set(circle):
            text = "MachineOf goes round in a circle, none of these will find a machine"
            complain(f"{circle[0]}: {text}: {' -> '.join(circle)}")


def beside(path: str, name: str) -> str:
    """Return the path of another file in the same folder."""
    folder = path.rpartition("/")[0]
    return f"{folder}/{name}" if folder else ("/" + name if path.startswith("/") else name)


def read_unit_file(path: str) -> UnitFile:
    """Read a unit file; CreationError says why it cannot be."""
    try:
        with open(path, "rb") as file:
            return unitfile.parse(file.read())
    except OSError as err:
        problem = (err.strerror or str(err)).lower()
        what = "read" if isinstance(err, IsADirectoryError) else "open"
        raise CreationError(f"{what} {path}: {problem}") from None
    except UnitFileError as err:
        raise CreationError(str(err)) from None
