"""The session table alone, with entries that stand for sessions: what one costs when there are few, and many."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

from common.table import DEFAULT_HASHSIZE, SessionTable
from tests.benchmarks.harness import Figure, resident

SIZES = (20_000, 100_000, 500_000, 1_000_000)
RUNS = 3

# Entries taken in at once, as a batch of events brings them.
AT_ONCE = 16

# Addresses of our end in turn through the ports of the local range, as an initiator takes them.
PORTS = 64_000


class Entry:
    """An entry with what the table needs of it."""

    __slots__ = ("chain", "key")

    def __init__(self, key: int) -> None:
        self.key = key
        self.chain: Entry | None = None


def measure() -> Iterator[Figure]:
    """Yield what an entry costs among a million over what it costs among twenty thousand, and the longest operation."""
    times, memory = {}, {}
    for size in SIZES:
        runs = [_fill_and_empty(size) for _ in range(RUNS)]
        times[size] = min(seconds for seconds, _ in runs) / size
        memory[size] = _memory(size)
        yield Figure(f"table: {size:,} entries, insertion and removal of one", times[size] * 1e6, "us")
        yield Figure(f"table: {size:,} entries, memory of one", memory[size], "bytes")
        # A machine that does something else meanwhile is no operation of ours.
        yield Figure(f"table: {size:,} entries, longest operation", min(longest for _, longest in runs) * 1e3, "ms", 1)
    few, many = SIZES[0], SIZES[-1]
    yield Figure("table: time of an entry, a million / 20,000", times[many] / times[few], "", 5)
    yield Figure("table: memory of an entry, a million / 20,000", memory[many] / memory[few], "", 1.2)


def _entries(size: int) -> list[Entry]:
    return [Entry((10 << 24) + number // PORTS << 16 | 1024 + number % PORTS) for number in range(size)]


def _fill_and_empty(size: int) -> tuple[float, float]:
    """Return the seconds it took, and those of the longest operation."""
    entries, table = _entries(size), SessionTable[Entry](DEFAULT_HASHSIZE)
    gc.collect()
    gc.disable()
    try:
        longest = 0.0
        begun = before = perf_counter()
        for start in range(0, size, AT_ONCE):
            table.add(entries[start : start + AT_ONCE])
            now = perf_counter()
            longest, before = max(longest, now - before), now
        for entry in entries:
            table.remove(entry)
            now = perf_counter()
            longest, before = max(longest, now - before), now
    finally:
        gc.enable()
    return before - begun, longest


def _memory(size: int) -> float:
    """Return the bytes that a table and its entries take for each entry, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, str(size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _print_memory(size: int) -> None:
    before = resident(os.getpid())
    entries, table = _entries(size), SessionTable[Entry](DEFAULT_HASHSIZE)
    for start in range(0, size, AT_ONCE):
        table.add(entries[start : start + AT_ONCE])
    print((resident(os.getpid()) - before) / size)


if __name__ == "__main__":
    _print_memory(int(sys.argv[1]))
