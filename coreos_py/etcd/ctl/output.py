"""How etcdctl shows a reply: simple, extended, json; as etcdctl 2.3.8 prints it."""

from __future__ import annotations

import sys

from coreos_py.base.gojson import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcdclient.model import Node, Result


def show(result: Result, output: str) -> None:
    """Print a reply about one key.

    An unknown format is reported and nothing else (exit stays 0).
    """
    formatter = _FORMATS.get(output)
    if formatter is None:
        print("Unsupported output format:", output, file=sys.stderr)
    else:
        print(formatter(result))


def _simple(result: Result) -> str:
    if result.action != "delete":
        return result.node.value
    return f"PrevNode.Value: {result.prev_node.value if result.prev_node else ''}"


def _extended(result: Result) -> str:
    node = result.node
    lines = [
        f"Key: {node.key}",
        f"Created-Index: {node.created_index}",
        f"Modified-Index: {node.modified_index}",
    ]
    if result.prev_node is not None:
        lines.append(f"PrevNode.Value: {result.prev_node.value}")
    lines += [f"TTL: {node.ttl}", f"Index: {result.etcd_index}"]
    if result.action != "delete":
        lines += ["", node.value]
    return "\n".join(lines)


def _json(result: Result) -> str:
    prev = "null" if result.prev_node is None else _json_node(result.prev_node)
    node = _json_node(result.node)
    return f'{{"action":{quote(result.action)},"node":{node},"prevNode":{prev}}}'


def _json_node(node: Node) -> str:
    nodes = f"[{','.join([_json_node(n) for n in node.nodes])}]" if node.nodes else "null"
    parts = [f'"key":{quote(node.key)}']
    if node.dir:
        parts.append('"dir":true')
    parts.append(f'"value":{quote(node.value)}')
    parts.append(f'"nodes":{nodes}')
    parts.append(f'"createdIndex":{node.created_index}')
    parts.append(f'"modifiedIndex":{node.modified_index}')
    if node.expiration:
        parts.append(f'"expiration":{quote(node.expiration)}')
    if node.ttl:
        parts.append(f'"ttl":{node.ttl}')
    return f"{{{','.join(parts)}}}"


_FORMATS = {"simple": _simple, "extended": _extended, "json": _json}
