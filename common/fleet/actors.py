"""The engines of a fleet: an actor of Ray on every node, or several, begun anew where one was lost."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import create_connection
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.errors import SessionerError
from common.fleet.calls import ActorCaller, result_of
from common.fleet.hosted import Hosted
from common.workers.serving import Birth

# Seconds after which an engine that hears nothing of its keeper ends itself: what it holds is held by others by then.
_ALONE: Final = 8.0

# Seconds that an actor may take to begin, and a node to take a connection.
_BEGIN: Final = 30.0
_REACH: Final = 1.0

# Seconds between two looks for a node that is missing, and those that engines have to close their sessions at the end.
_LOOK: Final = 0.5
_PATIENCE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the cluster: its address, its host's name, its number to Ray, the port that Ray listens on."""

    address: str
    host: str
    node: str
    port: int


def all_places() -> list[Place]:
    """Return the nodes that Ray takes for alive, by address. It goes on doing so for up to half a minute.

    There is none while Ray itself does not answer.
    """
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    except (RayError, OSError, RuntimeError):
        return []
    found = [
        Place(node["NodeManagerAddress"], node["NodeManagerHostname"], node["NodeID"], node["NodeManagerPort"])
        for node in nodes
    ]
    return sorted(found, key=lambda place: place.address)


def actor_at(node: str, **options: Any) -> Any:
    """Return what makes an actor on one node, and on no other."""
    affinity = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(Hosted).options(num_cpus=0, max_restarts=0, scheduling_strategy=affinity, **options)


class Actors:
    """Where the engines are, which NODE in `module` describes: `places` by their numbers.

    Raises SessionerError where there is none. One that is lost comes back where its address is, or on a node that had
    none before.
    """

    covers: Final = True
    back: Final = "is back"

    def __init__(self, module: str, per_node: int, ended: str) -> None:
        self.ended = ended
        self._module = module
        self._per_node = per_node
        self.places = [place for place in all_places() if _is_there(place) for _ in range(per_node)]
        if not self.places:
            raise SessionerError("Ray does not tell which nodes there are")
        self._begun: set[int] = set()
        self._callers: dict[int, ActorCaller | None] = {}

    def name_of(self, number: int) -> str:
        """Return the node's address, with the number of its engine where it has several."""
        address = self.places[number].address
        return f"{address} ({number % self._per_node + 1})" if self._per_node > 1 else address

    async def begin(self, number: int, birth: Birth, told: Callable[[Any], None]) -> ActorCaller:
        """Begin an engine as soon as its node is there, and return what calls it; raises SessionerError."""
        patience = _BEGIN if number not in self._begun else None
        self._begun.add(number)
        self._callers.pop(number, None)
        try:
            place = self.places[number] = await asyncio.wait_for(self._find(number), patience)
        except TimeoutError:
            raise SessionerError(f"no engine can be begun on {self.places[number].address}: it is gone") from None
        self._callers[number] = None
        actor = actor_at(place.node).remote(self._module, "NODE", _ALONE)
        caller = ActorCaller(actor, told)
        refusal: str | None = "it takes too long"
        try:
            with suppress(TimeoutError):
                refusal = await asyncio.wait_for(result_of(actor.begin.remote(birth)), _BEGIN)
        except RayError as error:
            refusal = str(error).partition("\n")[0]
        finally:
            if refusal:
                caller.kill()
                del self._callers[number]
        if refusal:
            raise SessionerError(f"no engine can be begun on {place.address}: {refusal}")
        self._callers[number] = caller
        return caller

    async def new_places(self) -> list[Place]:
        """Return the nodes whose addresses no engine has had so far."""
        known = {place.address for place in self.places}
        return [
            place
            for place in await asyncio.to_thread(all_places)
            if place.address not in known and await asyncio.to_thread(_is_there, place)
        ]

    def add(self, place: Place) -> None:
        """Make room for engines on one more node."""
        self.places += [place] * self._per_node

    def remove_last(self) -> None:
        """Take away the node that was added last, where no engine could be begun."""
        del self.places[-self._per_node :]

    async def close(self) -> None:
        """End all engines, which have been told to close their sessions."""
        callers = [caller for caller in self._callers.values() if caller]
        ending = [caller.ending for caller in callers if caller.ending]
        if ending:
            await asyncio.wait(ending, timeout=_PATIENCE)
        for caller in callers:
            caller.kill()

    async def _find(self, number: int) -> Place:
        """Return the node that an engine is to be on, when it is there."""
        lost = self.places[number].node
        while True:
            # Those that are being begun are None here, and take their place as well.
            live = {other for other, caller in self._callers.items() if caller is None or not caller.gone}
            used = Counter(self.places[other].node for other in live)
            wanted, others = self.places[number].address, {place.address for place in self.places}
            free = [place for place in await asyncio.to_thread(all_places) if used[place.node] < self._per_node]
            # Of two at one address, the one that was lost is the dead one.
            own = [place for place in free if place.address == wanted]
            own.sort(key=lambda place: place.node == lost)
            for place in own or [place for place in free if place.address not in others]:
                if await asyncio.to_thread(_is_there, place):
                    return place
            await asyncio.sleep(_LOOK)


def _is_there(place: Place) -> bool:
    """Return whether a node takes connections."""
    try:
        create_connection((place.address, place.port), _REACH).close()
    except OSError:
        return False
    return True
