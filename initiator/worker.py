"""A worker of the initiator: an engine in a process of its own."""

import pickle
from dataclasses import dataclass
from typing import Final

from common.workers.serving import Worker
from initiator.churn_figures import Tally
from initiator.engine import Engine
from initiator.snapshot import Snapshot
from initiator.totals import Totals


@dataclass(frozen=True, slots=True)
class State:
    """How a worker is: its figures, and its latencies by name as pickles, for few are looked at every second.

    `churn` is of the rate that is tried, or was last.
    """

    snapshot: Snapshot
    totals: Totals
    latencies: dict[str, bytes]
    churn: Tally | None


async def state_of(engine: Engine) -> State:
    """Return how a worker is now."""
    latencies = await engine.latencies()
    pickled = {name: pickle.dumps(getattr(latencies, name), pickle.HIGHEST_PROTOCOL) for name in latencies.__slots__}
    return State(await engine.snapshot(), await engine.totals(), pickled, engine.tally())


WORKER: Final = Worker(Engine, state_of)
