"""What the store costs by itself: one JSON line per measurement, best of several rounds.

Run: python tests/bench/store_micro.py [name...]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from coreos_py.store.store import Store

NOW_NS = 1_784_948_000_000_000_000
VALUE = "x" * 256
KEYS = 100_000
ROUNDS = 5
OPERATIONS = 50_000


def filled(keys: int) -> Store:
    """A store with `keys` files of 256 bytes in one directory."""
    store = Store()
    for number in range(keys):
        store.set(f"/1/bench/k{number:06}", value=f"{number:06}{VALUE[6:]}", now_ns=NOW_NS)
    return store


def best_us(run: Callable[[int], None], operations: int = OPERATIONS) -> float:
    """Microseconds of CPU per operation in the best round; other load matters less that way."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        run(operations)
        best = min(best, time.process_time() - start)
    return round(best / operations * 1e6, 3)


def once_ms(run: Callable[[], object]) -> float:
    """Milliseconds of CPU of the best of a few single runs."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return round(best * 1000, 2)


def rss_kib() -> int:
    """Resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def bench_set() -> Iterator[tuple[str, float, str]]:
    """A write to a file that exists, without and with its wire line."""
    store = filled(1000)
    key = "/1/bench/k000500"

    def plain(count: int) -> None:
        for _ in range(count):
            store.set(key, value=VALUE, now_ns=NOW_NS)

    def with_line(count: int) -> None:
        for _ in range(count):
            store.set(key, value=VALUE, now_ns=NOW_NS).to_line("/1")

    def with_ttl(count: int) -> None:
        for number in range(count):
            store.set(key, value=VALUE, expire_ns=NOW_NS + 10**12 + number, now_ns=NOW_NS).to_line(
                "/1"
            )

    yield "set", best_us(plain), "us"
    yield "set_json", best_us(with_line), "us"
    yield "set_ttl_json", best_us(with_ttl), "us"


def bench_create() -> Iterator[tuple[str, float, str]]:
    """A write that makes a new file in an existing directory."""
    store = Store()
    names = iter(range(1 << 60))

    def run(count: int) -> None:
        for _ in range(count):
            store.set(f"/1/bench/{next(names)}", value=VALUE, now_ns=NOW_NS).to_line("/1")

    yield "set_new_json", best_us(run), "us"


def bench_get() -> Iterator[tuple[str, float, str]]:
    """A read of one file, without and with its wire line."""
    store = filled(1000)
    key = "/1/bench/k000500"

    def plain(count: int) -> None:
        for _ in range(count):
            store.get(key, now_ns=NOW_NS)

    def with_line(count: int) -> None:
        for _ in range(count):
            store.get(key, now_ns=NOW_NS).to_line("/1")

    yield "get", best_us(plain), "us"
    yield "get_json", best_us(with_line), "us"


def bench_watch() -> Iterator[tuple[str, float, str]]:
    """One write that wakes a thousand watchers, each of which takes the line."""
    store = filled(1)
    key = "/1/bench/k000000"
    lines: list[bytes] = []

    def once(count: int) -> None:
        for _ in range(count):
            lines.clear()
            for _ in range(1000):
                store.watch(key, notify=lambda event: lines.append(event.to_line("/1")))
            store.set(key, value=VALUE, now_ns=NOW_NS)
            assert len(lines) == 1000

    def stream(count: int) -> None:
        for _ in range(count):
            lines.clear()
            store.set(key, value=VALUE, now_ns=NOW_NS)
            assert len(lines) == 1000

    yield "watch_and_wake_1000", best_us(once, 20), "us"
    for _ in range(1000):
        store.watch(key, stream=True, notify=lambda event: lines.append(event.to_line("/1")))
    yield "wake_1000_streams", best_us(stream, 20), "us"

    bystander = filled(1)
    for number in range(1000):
        bystander.watch(f"/1/other/{number}", stream=True)

    def unconcerned(count: int) -> None:
        for _ in range(count):
            bystander.set(key, value=VALUE, now_ns=NOW_NS)

    yield "set_beside_1000_watchers", best_us(unconcerned), "us"


def bench_big() -> Iterator[tuple[str, float, str]]:
    """A hundred thousand keys: memory, listing, snapshot and recovery."""
    before = rss_kib()
    store = filled(KEYS)
    yield "rss_100k_x_256", round((rss_kib() - before) / 1024, 1), "MiB"

    def listing() -> int:
        event = store.get("/1", recursive=True, sort=True, now_ns=NOW_NS)
        return len(event.to_line("/1"))

    yield "list_100k_json", once_ms(listing), "ms"
    yield "freeze_100k", once_ms(store.freeze), "ms"
    before = rss_kib()
    total = sum(len(chunk) for chunk in store.save_chunks())
    yield "save_chunks_100k_extra_rss", round((rss_kib() - before) / 1024, 1), "MiB"
    yield "snapshot_100k", round(total / 1024 / 1024, 1), "MiB"
    yield "save_chunks_100k", once_ms(lambda: sum(map(len, store.save_chunks()))), "ms"
    document = store.save()
    yield "recover_100k", once_ms(lambda: Store().recover(document)), "ms"


BENCHES = {
    "set": bench_set,
    "create": bench_create,
    "get": bench_get,
    "watch": bench_watch,
    "big": bench_big,
}


def main(argv: list[str]) -> int:
    """Run the named benches, or all."""
    for name in argv[1:] or BENCHES:
        for what, value, unit in BENCHES[name]():
            print(json.dumps({"bench": f"store_{what}", "value": value, "unit": unit}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
