"""Go's text/tabwriter, as far as upstream's programs use it.

Cells end with a tab; a column is a run of consecutive lines that all have a cell there; its width
is that of the widest cell plus the padding. With tabs as padding (fleetctl 1.0, etcdctl 2.3) the
width is rounded up to a multiple of the tab width and tabs are written. The last, unterminated cell
of a line belongs to no column. Width counts characters, not bytes. Imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def tabulate(
    text: str, *, min_width: int = 0, tab_width: int = 8, padding: int = 1, pad: str = "\t"
) -> str:
    """Align text whose cells are terminated by tabs and lines by newlines."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _block(lines, 0, 0, out, widths=[], rule=(min_width, tab_width, padding, pad))
    return "\n".join(out)


def columns(rows: Iterable[Iterable[str]], *, padding: int = 1) -> str:
    """Rows of cells in fleetctl's shape: tabs between, none at the end; ends in a newline."""
    body = "".join("\t".join(row) + "\n" for row in rows)
    return tabulate(body, padding=padding)


_Rule = tuple[int, int, int, str]


def _block(
    lines: list[list[str]],
    start: int,
    end: int,
    out: list[str],
    *,
    widths: list[int],
    rule: _Rule,
) -> None:
    """Lay out lines[start:end] (all of them at depth 0); `widths` are the columns to the left."""
    end = end or len(lines)
    depth = len(widths)
    at = start
    while at < end:
        if depth >= len(lines[at]) - 1:
            out.append(_line(lines[at], widths, rule))
            at += 1
            continue
        stop = at
        while stop < end and depth < len(lines[stop]) - 1:
            stop += 1
        cells = [lines[i][depth] for i in range(at, stop)]
        _block(lines, at, stop, out, widths=[*widths, _column_width(cells, rule)], rule=rule)
        at = stop


def _column_width(cells: list[str], rule: _Rule) -> int:
    min_width, tab_width, padding, pad = rule
    width = max([min_width, *(len(cell) + padding for cell in cells)])
    if pad == "\t" and tab_width:
        width = -(-width // tab_width) * tab_width
    return width


def _line(cells: list[str], widths: list[int], rule: _Rule) -> str:
    tab_width, pad = rule[1], rule[3]
    parts = []
    for cell, width in zip(cells, widths, strict=False):
        parts.append(cell)
        gap = width - len(cell)
        parts.append("\t" * -(-gap // tab_width) if pad == "\t" else pad * gap)
    parts += cells[len(widths) :]
    return "".join(parts)
