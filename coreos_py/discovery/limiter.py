"""How often one client may ask for new tokens: a token bucket per address.

Pure: the time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

import ipaddress

WINDOW_S = 60.0
CLIENTS_MAX = 10_000
_TOLERANCE_S = 1e-6


class Limiter:
    """Allows `per_minute` requests a minute and address, all at once if need be; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._empty_until: dict[str, float] = {}

    def wait_s(self, client: str, now_s: float) -> float:
        """0.0 if the client may go on, which counts; else the seconds until it may."""
        if not self._per_minute:
            return 0.0
        cost_s = WINDOW_S / self._per_minute
        # The bucket as a point in time: when all that was taken will have been refilled.
        full_at = max(self._empty_until.get(client, now_s), now_s) + cost_s
        over_s = full_at - now_s - WINDOW_S
        if over_s > _TOLERANCE_S:
            return over_s
        self._empty_until.pop(client, None)
        self._empty_until[client] = full_at
        if len(self._empty_until) > CLIENTS_MAX:
            self._forget(now_s)
        return 0.0

    def _forget(self, now_s: float) -> None:
        """Drop who has a full bucket, and then, oldest first, who is too many."""
        kept = {client: at for client, at in self._empty_until.items() if at > now_s}
        for client in list(kept)[: max(0, len(kept) - CLIENTS_MAX)]:
            del kept[client]
        self._empty_until = kept


def client_of(peer: str, *, forwarded_for: str = "") -> str:
    """Who asks: an IPv4 address or an IPv6 network of 64 bits, which one host may own whole.

    `peer` is ip:port; `forwarded_for` the X-Forwarded-For of a proxy that is trusted, whose last
    entry is the address the proxy saw.
    """
    host = forwarded_for.rpartition(",")[2].strip() or peer.rpartition(":")[0]
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
