"""A worker of the responder: an engine in a process of its own."""

import pickle
from dataclasses import dataclass
from typing import Final

from common.workers.serving import Worker
from responder.engine import Engine
from responder.snapshot import Snapshot

# The load from which on a worker is relieved: what comes until that is done has room.
NEARLY_FULL: Final = 0.85


@dataclass(frozen=True, slots=True)
class State:
    """How a worker is: its figures, and the markers' latencies as a pickle, for they are looked at seldom."""

    snapshot: Snapshot
    marker_latency: bytes


async def state_of(engine: Engine) -> State:
    """Return how a worker is now."""
    return State(await engine.snapshot(), pickle.dumps(await engine.marker_latency(), pickle.HIGHEST_PROTOCOL))


def _is_nearly_full(engine: Engine) -> bool:
    return engine.load >= NEARLY_FULL


WORKER: Final = Worker(Engine, state_of, _is_nearly_full)
