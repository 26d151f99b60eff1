"""fleetctl events: what happened in the cluster, and what happens."""

from __future__ import annotations

import json
import sys
from time import localtime, strftime

from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.fleetview import NOT_OFFERED
from coreos_py.fleet.ctl.session import Fatal, Session, command, complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EXIT_INTERRUPTED = 130


@command
def events(session: Session) -> int:
    """Print events."""
    if session.args:
        raise Fatal("events takes no arguments; --unit and --machine choose")
    follow: bool = session.flags["follow"]
    unit = session.flags["unit"]
    if unit and "." not in unit:
        unit += ".service"
    try:
        found = session.client.events(unit=unit, machine=session.flags["machine"], follow=follow)
        if found is None:
            raise Fatal(NOT_OFFERED)
        try:
            for event in found:
                text = json.dumps(event) if session.flags["json"] else _line(session, event)
                sys.stdout.write(text + "\n")
                if follow:
                    sys.stdout.flush()
        finally:
            found.close()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except APIError as err:
        complain(f"Error retrieving events: {err}")
        return 1
    return 0


def _line(session: Session, event: Mapping[str, Any]) -> str:
    stamp = strftime("%b %d %H:%M:%S", localtime(event["t"] // 1000))
    words = [stamp, event["kind"]]
    if "unit" in event:
        words.append(event["unit"])
    if "machine" in event:
        words += ["on"] if "unit" in event else []
        words.append(session.legend(event["machine"], full=session.flags["full"]))
    text = " ".join(words)
    if "text" in event:
        text += f": {event['text']}"
    return f"{text} ({event['times']} times)" if "times" in event else text
