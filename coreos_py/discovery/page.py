"""The status page of a token, for people who open it in a browser.

Pure. One document without scripts or outside references; everything that others wrote is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coreos_py.discovery.standing import Member, Standing

HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_REFRESH_S = 5
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:50rem;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}"
    "code{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}td,th{border-color:#444}}"
)


def render(url: str, standing: Standing) -> str:
    """The page of the token behind `url`."""
    missing = standing.size - len(standing.members)
    if missing > 0:
        refresh = f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
        state = f"{len(standing.members)} of {standing.size} members have registered"
    else:
        refresh = ""
        state = f"complete: all {standing.size} members have registered"
    rows = "\n".join(_row(at, member, standing.size) for at, member in enumerate(standing.members))
    table = (
        "<table><thead><tr><th>#</th><th>Name</th><th>Peer URLs</th><th>Member ID</th></tr></thead>"
        f"<tbody>\n{rows}\n</tbody></table>"
        if rows
        else "<p>Nobody has registered yet.</p>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{refresh}<title>{escape(state)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Cluster discovery</h1>\n<p>Token <code>{escape(url)}</code></p>\n"
        f"<p><strong>{escape(state)}</strong></p>\n{table}\n{_advice(missing)}\n</body></html>\n"
    )


def _row(at: int, member: Member, size: int) -> str:
    names = [part.partition("=") for part in member.value.split(",")]
    name = names[0][0]
    urls = " ".join(url or text for text, _, url in names)
    note = " (too late: the cluster was full)" if at >= size else ""
    cells = (str(at + 1), name + note, urls, member.id)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _advice(missing: int) -> str:
    if missing > 0:
        return (
            "<p>Start the members that are missing with this URL as <code>--discovery</code>. "
            "A member that was started by mistake can be removed by a DELETE of its line's URL as "
            "long as the cluster is incomplete.</p>"
        )
    return (
        "<p>A token founds one cluster and cannot be used for another. If the start has failed, "
        "ask <code>/new?size=N</code> for a new token and start all members anew with empty data "
        "directories. To add a member to a running cluster use <code>etcdctl member add</code>.</p>"
    )
