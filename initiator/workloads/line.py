"""Sessions in line for what is due on them, in turn."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from initiator.workloads.send_stream import SendStream


class Task(NamedTuple):
    """What is due on each session behind it in line: so many messages or bytes, the first at `since` (monotonic).

    The others are `period` seconds apart, whatever becomes of the rate meanwhile. Where it is `begun`, it is what was
    left when the session had its turn.
    """

    amount: int
    since: float
    period: float
    begun: bool = False

    def rest(self, done: int) -> "Task":
        """Return what is left when so much of it is done."""
        return self._replace(amount=self.amount - done, since=self.since + done * self.period)


class Line:
    """Tasks, each with the sessions behind it that are to do it; it is empty when no session is left in it."""

    __slots__ = ("_items", "_task", "_waiting")

    def __init__(self) -> None:
        self._items: deque[Task | SendStream] = deque()
        self._task = Task(0, 0.0, 0.0)
        self._waiting = 0

    def __len__(self) -> int:
        """Return how many turns are waited for."""
        return self._waiting

    def add(self, task: Task, streams: "Iterable[SendStream]") -> None:
        """Line up sessions behind all others."""
        items = self._items
        items.append(task)
        before = len(items)
        items.extend(streams)
        self._waiting += len(items) - before

    def take(self) -> "tuple[SendStream, Task]":
        """Take out the first session with its task; raises IndexError when there is none."""
        while isinstance(item := self._items.popleft(), Task):
            self._task = item
        self._waiting -= 1
        return item, self._task

    def clear(self) -> None:
        """Take all out."""
        self._items.clear()
        self._waiting = 0
