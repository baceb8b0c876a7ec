"""A worker of the initiator: an engine in a process of its own."""

import pickle
from dataclasses import dataclass, replace
from typing import Any, Final

from common.errors import SessionerError
from common.workers.serving import Worker
from initiator.churn_figures import Tally, counts_of
from initiator.engine import Engine
from initiator.latencies import Latencies, Latency
from initiator.settings import Settings
from initiator.snapshot import Snapshot
from initiator.sources import check_sources, own_sources
from initiator.totals import Totals

# The names of all latencies, and what the tally goes by.
LATENCIES: Final = Latencies.__slots__
CHURN: Final = "churn"

# Source addresses that are named where none can be used.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class State:
    """How a worker is: its figures and, by name, its counts as pickles, which are large and looked at seldom.

    `counts` are those of the latencies and, as CHURN, the tally of the rate that is tried, or was last. Those that are
    as in the state told before are left out; the `marks` of all tell which these are.
    """

    snapshot: Snapshot
    totals: Totals
    counts: dict[str, bytes]
    marks: dict[str, object]

    def after(self, before: "State") -> "State":
        """Return the whole of it, from the state told before."""
        return replace(self, counts=before.counts | self.counts)

    def latency(self, name: str) -> Latency:
        """Return the counts of a latency; of a whole state alone."""
        found: Latency = pickle.loads(self.counts[name])  # noqa: S301 - our own process wrote it
        return found

    @property
    def churn(self) -> Tally | None:
        """The tally; of a whole state alone."""
        found: Tally | None = pickle.loads(self.counts[CHURN])  # noqa: S301 - as above
        return found


async def state_of(engine: Engine, before: State | None) -> State:
    """Return how a worker is now, without the counts that were the same before."""
    snapshot, totals = await engine.snapshot(), await engine.totals()
    tally = engine.tally()
    items: dict[str, Any] = {name: getattr(engine.measured, name) for name in LATENCIES}
    marks: dict[str, object] = {name: (each.corrected.count, each.raw.count) for name, each in items.items()}
    items[CHURN] = tally
    marks[CHURN] = tally and tally_mark(tally)
    known = before.marks if before else {}
    changed = [name for name, mark in marks.items() if name not in known or known[name] != mark]
    counts = {name: pickle.dumps(items[name], pickle.HIGHEST_PROTOCOL) for name in changed}
    return State(snapshot, totals, counts, marks)


def tally_mark(tally: Tally) -> object:
    """Return what differs when anything has come to a tally, but for how busy the process is."""
    return tally.number, tally.asked, tally.seconds, tally.sent, tally.received, tally.time_wait, counts_of(tally)


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
