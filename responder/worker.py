"""A worker of the responder: an engine in a process of its own."""

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.addresses import Address
from common.errors import SessionerError
from common.histogram import Histogram
from common.resolver import SocketAddress
from common.workers.serving import Worker
from responder.engine import SOCKETS, Engine
from responder.listening import listen_on
from responder.merging import AllCounts
from responder.snapshot import Snapshot

# The load from which on a worker is relieved: what comes until that is done has room. And how many steps there are up
# to the highest: with each one the console is told at once.
NEARLY_FULL: Final = 0.85
_STEPS: Final = 20

# Why addresses cannot be listened on.
Refusals = dict[Address, str]


@dataclass(frozen=True, slots=True)
class State:
    """How a worker is: its figures, the markers' latencies as a pickle, for they are looked at seldom, its listeners.

    None is for latencies that are as in the state told before. Of the listeners there are the counts of those that are
    not as in it, and which of them are `gone`.
    """

    snapshot: Snapshot
    pickled: bytes | None
    counts: AllCounts
    gone: Sequence[tuple[str, int]] = ()

    def after(self, before: "State") -> "State":
        """Return the whole of it, from the state told before."""
        pickled = before.pickled if self.pickled is None else self.pickled
        counts = {**before.counts, **self.counts}
        for address in self.gone:
            counts.pop(address, None)
        return replace(self, pickled=pickled, counts=counts, gone=())

    @property
    def marker_latency(self) -> Histogram | None:
        """The latencies that the markers tell, None while no markers are looked for; of a whole state alone."""
        assert self.pickled
        found: Histogram | None = pickle.loads(self.pickled)  # noqa: S301 - our own process wrote it
        return found


async def state_of(engine: Engine, before: State | None) -> State:
    """Return how a worker is now, without the latencies where no marker has come since."""
    snapshot = await engine.snapshot()
    same = before and _markers(before.snapshot) == _markers(snapshot)
    pickled = None if same else pickle.dumps(await engine.marker_latency(), pickle.HIGHEST_PROTOCOL)
    counts, gone = await engine.changed_counts(before.counts if before else {})
    return State(snapshot, pickled, counts, gone)


def _markers(snapshot: Snapshot) -> int | None:
    return snapshot.marker.messages if snapshot.marker else None


def _steps(engine: Engine) -> int | None:
    """Return how many steps full a worker is, None for one that accepts nothing."""
    return None if engine.fullness is None else int(engine.fullness * _STEPS)


class NodeEngine(Engine):
    """An engine on a node of a fleet, which listens on those addresses that the node has."""

    async def listen_where_possible(self, mode: str, items: Sequence[SocketAddress], shared: bool) -> Refusals:
        """Listen in a mode on what can be listened on, together with others on this node if `shared`.

        Return why the others cannot be.
        """
        refusals: Refusals = {}
        async with self._changing:
            for number, item in enumerate(items, 1):
                try:
                    await self._take(mode, [item], [listen_on(item, self._settings, shared=shared)])
                except SessionerError as error:
                    refusals[item.address] = str(error)
                if number % SOCKETS == 0:
                    await asyncio.sleep(0)
        return refusals


WORKER: Final = Worker(Engine, state_of, _steps)
NODE: Final = Worker(NodeEngine, state_of)
