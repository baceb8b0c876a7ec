"""A worker of the initiator: an engine in a process of its own."""

import pickle
from dataclasses import dataclass, replace
from typing import Final

from common.errors import SessionerError
from common.workers.serving import Worker
from initiator.churn_figures import Tally
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.snapshot import Snapshot
from initiator.sources import check_sources, own_sources
from initiator.totals import Totals

# Source addresses that are named where none can be used.
_SHOWN: Final = 5


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
    measured = engine.measured
    pickled = {name: pickle.dumps(getattr(measured, name), pickle.HIGHEST_PROTOCOL) for name in measured.__slots__}
    return State(await engine.snapshot(), await engine.totals(), pickled, engine.tally())


def _at_node(settings: Settings) -> Engine:
    """Return an engine with those source addresses that its node has; raises SessionerError when it has none."""
    if settings.source_ips:
        own = own_sources(settings.source_ips)
        if not own:
            named = ", ".join(settings.source_ips[:_SHOWN])
            raise SessionerError(f"it has none of the source addresses: {named}")
        settings = replace(settings, source_ips=own)
    check_sources((), settings.interface)
    return Engine(settings)


WORKER: Final = Worker(Engine, state_of)
NODE: Final = Worker(_at_node, state_of)
