"""What a process runs on: its event loop and its collector."""

import asyncio
import gc
from typing import Final

import uvloop

LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}

# Net new objects between two collections of the young, and how many of those the older ones wait for. Collecting
# 10,000 objects takes half a millisecond. Sessions are in no cycle, so a full collection, which takes 113 ms for a
# million of them, is put off until 2.5 million more objects have come.
_COLLECT: Final = (10_000, 5, 50)


def settle_collector() -> None:
    """Leave what was imported out of every collection to come, and make those rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
