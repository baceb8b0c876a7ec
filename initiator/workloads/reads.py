"""The reading of a run of messages where it has a bandwidth of its own: a piece of each session's input in its turn."""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from common.reactor import READ
from initiator.workloads.line import Line, Task
from initiator.workloads.send_stream import SendStream
from initiator.workloads.stream import NOWHERE, SLOW_READ, Streams
from initiator.workloads.turns import LARGEST_PIECE, Turns, turns_at

if TYPE_CHECKING:
    from initiator.session import Session

# Sessions that are read in one step.
_READ_AT_ONCE: Final = 16


class Reads:
    """Turns at a bandwidth in bytes a second, and those in line; for None or 0 there are none.

    `leaving` are the sessions that are being closed: what is under way to them is still read. Of what is `told_apart`
    little is read at once.
    """

    def __init__(
        self, read: "Callable[[Session, int], bool]", bandwidth: float | None, told_apart: bool, now: float
    ) -> None:
        self.leaving: Streams[SendStream] = Streams()
        self.line = Line()
        self._read = read
        self._most = SLOW_READ if told_apart else LARGEST_PIECE
        self._piece = 0
        self._turns: Turns | None = None
        if bandwidth:
            self._piece, self._turns = turns_at(bandwidth, now)

    @property
    def paced(self) -> bool:
        """Whether anything is read here."""
        return self._turns is not None

    @property
    def next_due(self) -> float:
        """When there will be something to read, infinite for never."""
        return self._turns.next_due if self._turns else float("inf")

    def plan(self, streams: Streams[SendStream], now: float) -> None:
        """Line up the sessions whose turn it is and that have input, unless some are still in line."""
        if self.line or not self._turns:
            return
        slots, piece = self._turns.slots, self._piece
        for due in self._turns.take(now):
            task = Task(due.messages * piece, due.since, self._turns.period / piece)
            for items in (streams.items, self.leaving.items):
                self.line.add(task, [stream for stream in items[due.slot :: slots] if stream.input])

    def go_on(self, until: float) -> None:
        """Read a few of those in line, or as many as can be until then (monotonic seconds)."""
        for _ in range(min(_READ_AT_ONCE, len(self.line))):
            self._take_turn(*self.line.take())
            if monotonic() >= until:
                return

    def _take_turn(self, stream: SendStream, task: Task) -> None:
        if stream.place == NOWHERE:
            return
        stream.input = 0
        piece = min(task.amount, self._most)
        if self._read(stream.session, piece):
            stream.input = READ
            if piece < task.amount:
                self.line.add(task.rest(piece), (stream,))
