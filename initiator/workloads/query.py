"""The query workload: DNS queries on an absolute schedule, each on a session drawn at random, answers matched by id."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import repeat
from time import monotonic
from typing import TYPE_CHECKING, Final

from common.addresses import Address
from common.deadlines import Deadlines
from common.rate import Rate
from common.reactor import Job, Reactor
from common.timer import Timer
from initiator.latencies import Latencies
from initiator.session import State
from initiator.snapshot import QueryFigures
from initiator.traffic import Traffic
from initiator.workloads.arrivals import Arrivals, Choice
from initiator.workloads.query_answers import KEPT, Answers
from initiator.workloads.query_csv import QueryCsv
from initiator.workloads.query_stream import LATE, PING, QueryStream
from initiator.workloads.questions import IDENTIFIERS, Draw, Question
from initiator.workloads.schedule import Schedule
from initiator.workloads.stream import NOWHERE, Streams

if TYPE_CHECKING:
    from initiator.session import Session
    from initiator.target import Due

TIMEOUT: Final = 5.0

_HELD: Final = State.HELD

# Queries taken from the schedule in one step: two milliseconds. Who finds so many due is late, and joins up to so many
# for each session and in all: what is sent on one together costs less, but what is taken waits for all taken with it.
_TAKEN_AT_ONCE: Final = 2048
_JOINED_EACH: Final = 8
_JOINED_AT_MOST: Final = 16_384

# Sessions sent on in one step: a quarter of a millisecond. The reactor takes all answers there are before the next one:
# who sends more than it hears measures how long its own answers lie.
_SENT_AT_ONCE: Final = 32

# Sessions let go of in one step at the end: a fifth of a millisecond.
_RELEASED_AT_ONCE: Final = 256

# Seconds between two wakes of the sender, at least: a wake costs as much as two queries.
_GATHER: Final = 0.00003


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What a run is: repeated with the same seed, the same queries are due at the same times.

    `schedule` gives queries a second over all sessions, `seconds` ends it earlier, `timeout` is in seconds. `asking` is
    what the questions were made from, in words, and `csv` where a row for each is written. `phase` is where the first
    of evenly spaced queries is due: from 0 to 1 between the begin and what would be the second one's distance. `worker`
    is the number of the one of several processes that sends a part of them, and adds its rows to those of the others.
    """

    schedule: Schedule
    seed: int
    questions: tuple[Question, ...]
    arrivals: str = "poisson"
    seconds: float | None = None
    timeout: float = TIMEOUT
    target: Address | None = None
    asking: str = ""
    csv: str | None = None
    phase: float = 0.5
    worker: int | None = None


class Query:
    """A run of queries over the sessions that have joined; `done` is done when it is over and all rows are written.

    `guard` has the kernel end a session that does not acknowledge what was sent.
    """

    def __init__(
        self,
        reactor: Reactor,
        deadlines: "Deadlines[Due]",
        settings: QuerySettings,
        latencies: Latencies,
        traffic: Traffic,
        reserved: dict["Session", dict[int, str]],
        guard: "Callable[[Session], None]",
        csv: QueryCsv | None = None,
    ) -> None:
        self.settings = settings
        self._reserved = reserved
        self._guard = guard
        self.begun = monotonic()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reactor = reactor
        self._deadlines = deadlines
        self.answers = Answers(latencies.query, csv)
        self._late_histogram = latencies.late.raw
        self.traffic = traffic
        self._traffic_before = replace(traffic)
        self._traffic_then: Traffic | None = None
        self._schedule = settings.schedule
        self._schedule_since = self.begun
        self._asked_before = 0.0
        self._arrivals = Arrivals(settings.schedule, settings.arrivals, settings.seed, self.begun, settings.phase)
        self._choice = Choice(settings.seed)
        self._draw = Draw(list(settings.questions), settings.seed)
        self._messages = settings.questions[0].every_message() if len(settings.questions) == 1 else None
        self._size = settings.questions[0].size
        self._ends = self.begun + (settings.seconds if settings.seconds is not None else settings.schedule.seconds)
        self._timer = Timer(reactor, self.ready)
        self._streams: Streams[QueryStream] = Streams()
        self._unshared: list[float] = []
        self._joined: dict[QueryStream, list[float]] = {}
        self._joined_count = 0
        self._shared: deque[tuple[QueryStream, list[float]]] = deque()
        self._draining = False
        self._ended_at = 0.0
        self._sent_at = self.begun
        self._answered_rate = Rate()
        self._due = self._sent = self._unsent = self._timeouts = self._lost = 0
        self._sent_late: list[float] = []
        self._csv = csv
        self._number = 0
        self.ready()

    def join(self, session: "Session") -> None:
        """Send on a held session too, if it is one of those wanted; raises OSError when it is lost."""
        wanted = self.settings.target
        if session.stream is None and not self._ended_at and (wanted is None or session.target.address == wanted):
            self._guard(session)
            session.stream = stream = QueryStream(session, self, self._number)
            self._number += 1
            stream.reserved = self._reserved.pop(session, None)
            self._streams.add(stream)
            if len(self._streams.items) == 1:
                self.ready()

    def leave(self, stream: QueryStream) -> None:
        """Send no more on a session: what it was to send others will, what it was to answer is waited for."""
        self._streams.remove(stream)

    def left(self, stream: QueryStream) -> None:
        """Take out a session that is not held any more: what it was to answer is lost."""
        self._streams.remove(stream)
        stream.session.stream = None
        self._deadlines.cancel(stream)
        self._lost += len(stream.pending)

    @property
    def ended(self) -> bool:
        """Whether nothing is sent or waited for any more; rows may still be written."""
        return bool(self._ended_at)

    def is_sending(self) -> bool:
        """Whether more queries will be sent."""
        return not self._ended_at and monotonic() < self._ends

    def stop(self) -> None:
        """Send no more; it is over when nothing is waited for."""
        self._ends = min(self._ends, monotonic())
        self.ready()

    def change(self, schedule: Schedule) -> None:
        """Follow another schedule from now on; of what was due and could not be sent yet all but a few are given up."""
        now = monotonic()
        if self._streams.items:
            self._unshared += self._take(now, _SENT_AT_ONCE)
        dropped = self._arrivals.restart(schedule, now)
        self._asked_before += self._schedule.expected(now - self._schedule_since)
        self._schedule, self._schedule_since = schedule, now
        self._due += dropped
        self._unsent += dropped
        self.ready()

    def schedule_left(self) -> Schedule:
        """Return what is left of the schedule from now on."""
        return self._schedule.after(monotonic() - self._schedule_since)

    def expired(self, stream: QueryStream) -> None:
        """Give up the queries of a session that have waited for too long."""
        now, pending = self._reactor.now, stream.pending
        oldest = now - self.settings.timeout
        overdue = []
        for identifier, (_, sent) in pending.items():
            if sent > oldest:
                self._deadlines.file(stream, sent + self.settings.timeout)
                break
            overdue.append(identifier)
        for identifier in overdue:
            del pending[identifier]
            stream.reserve(identifier, LATE)
        self._timeouts += len(overdue)

    def ping(self, stream: QueryStream) -> bytes:
        """Return a query that does not count."""
        (identifier,) = stream.free_ids(1) or [stream.next_id]
        stream.next_id = (identifier + 1) % IDENTIFIERS
        stream.reserve(identifier, PING)
        stream.pinged = identifier
        return self.settings.questions[0].message(identifier)

    def figures(self) -> QueryFigures:
        """Return what has become of the queries so far."""
        self._count()
        answers = self.answers
        now = max(min(monotonic(), self._ends), self._sent_at)
        return QueryFigures(
            asked_rate=self._asked_rate(),
            answered_rate=self._answered_rate.per_second,
            seconds=now - self.begun,
            running=not self._ended_at,
            sending=self.is_sending(),
            sessions=len(self._streams.items),
            due=self._due,
            sent=self._sent,
            answered=answers.count,
            outstanding=self._outstanding,
            unsent=self._unsent,
            timeouts=self._timeouts,
            lost=self._lost,
            late=answers.late,
            unknown=answers.unknown,
            malformed=answers.malformed,
            truncated=answers.truncated,
            rcodes=answers.rcodes(),
            traffic=self._traffic_then or self.traffic.since(self._traffic_before),
            csv_not_written=self._csv.not_written if self._csv else None,
        ).with_rates()

    def beat(self) -> None:
        """Count what was kept, and notice the end."""
        self._count()
        self._answered_rate.sample(self._reactor.now, self.answers.count)
        if not self._draining and self._has_all_sent:
            self._draining = True
            self._give_up_unsent()
        if self._draining and not self._outstanding and not self._ended_at:
            self._end()
        all_written = not self._csv or self._csv.beat()
        if self._ended_at and all_written and not self._streams.items and not self.done.done():
            self.done.set_result(None)

    async def aclose(self) -> None:
        """End at once; rows are still written and sessions let go of, and the beat tells when that is done."""
        if not self._ended_at:
            self._end()
        if not self.done.done():
            await self.done
            if self._csv:
                await self._csv.aclose()

    @property
    def _has_unsent(self) -> bool:
        """Whether some that have been taken from the schedule can be sent now."""
        return bool(self._shared or self._joined or (self._unshared and self._streams.items))

    @property
    def _has_all_sent(self) -> bool:
        """Whether all that was due within the time has been sent, or cannot be."""
        all_taken = not self._streams.items or self._arrivals.next_due > self._ends
        return self._reactor.now >= self._ends and all_taken and not self._has_unsent

    @property
    def _outstanding(self) -> int:
        return self._sent - self.answers.heard - self._timeouts - self._lost

    def _asked_rate(self) -> float:
        """Return the rate asked for at this moment, or over the whole run once its time is over."""
        if self.is_sending():
            return self._schedule.rate_at(monotonic() - self._schedule_since)
        over = min(self._ends, monotonic())
        asked = self._asked_before + self._schedule.expected(over - self._schedule_since)
        return asked / (over - self.begun) if over > self.begun else 0.0

    def _give_up_unsent(self) -> None:
        """Count what was due while there was no session to send it on, as there is none now."""
        left = 0 if self._streams.items else self._arrivals.left(self._ends)
        self._due += left
        self._unsent += left + len(self._unshared)
        self._unshared = []

    def _end(self) -> None:
        self._ended_at = monotonic()
        self._traffic_then = self.traffic.since(self._traffic_before)
        self._timer.close()
        if self._csv:
            self._csv.finish()
        self._reactor.start(self._release())

    def _release(self) -> Job:
        """Let go of all sessions."""
        streams = self._streams
        while streams.items:
            for stream in streams.items[-_RELEASED_AT_ONCE:]:
                streams.remove(stream)
                stream.session.stream = None
                self._deadlines.cancel(stream)
                if stream.reserved:
                    self._reserved[stream.session] = stream.reserved
            yield

    def ready(self, _events: int = 0) -> None:
        """Send what is due on a few sessions; the rest after others had their turn, what is due later then."""
        if self._draining or self._ended_at:
            return
        if len(self._sent_late) > KEPT:
            # Not behind the sending, where answers begin to wait.
            self._count_late()
        shared, streams = self._shared, self._streams.items
        if not shared and (streams or self._joined):
            self._line_up()
        for _ in range(min(_SENT_AT_ONCE, len(shared))):
            self._send(*shared.popleft())
        if self._has_unsent:
            self._reactor.again(self, 0)
        elif streams and self._arrivals.next_due <= self._ends:
            self._timer.arm(max(self._arrivals.next_due, monotonic() + _GATHER))

    def _line_up(self) -> None:
        """Send what is due if it is less than there are sessions, or let what is due on each be sent together."""
        streams = self._streams.items
        due = self._take_due() if streams else []
        late = len(due) == _TAKEN_AT_ONCE
        if len(due) < len(streams) and not (late or self._joined or self._csv) and self._messages:
            self._unshared = due[_SENT_AT_ONCE:]
            self._send_each(due[:_SENT_AT_ONCE])
            return
        self._share_out(due)
        self._joined_count += len(due)
        if not late or self._joined_count >= min(_JOINED_EACH * len(streams), _JOINED_AT_MOST):
            self._shared.extend(self._joined.items())
            self._joined = {}
            self._joined_count = 0

    def _take_due(self) -> list[float]:
        """Return when the queries were due that are to be sent now."""
        due, self._unshared = self._unshared, []
        return due or self._take(monotonic(), _TAKEN_AT_ONCE)

    def _take(self, now: float, most: int) -> list[float]:
        """Take some that are due by now from the schedule, and count them."""
        due = self._arrivals.take(min(now, self._ends), most)
        self._due += len(due)
        if self._csv:
            self._csv.due(due, bool(self._joined or self._shared or self._unshared))
        return due

    def _send_each(self, dues: list[float]) -> None:
        """Send queries that are fewer than the sessions, each in a write of its own: joining a few would cost more."""
        assert self._messages
        size, messages, late = self._size, self._messages, self._sent_late
        for due, stream in zip(dues, self._choice.take(self._streams.items, len(dues)), strict=True):
            identifier, pending = stream.next_id, stream.pending
            if identifier in pending or stream.reserved or stream.place == NOWHERE:
                self._send(stream, [due])
                continue
            stream.next_id = (identifier + 1) % IDENTIFIERS
            now = monotonic()
            pending[identifier] = (due, now)
            late.append(now - due)
            self._sent += 1
            self._write(stream, messages[identifier * size : (identifier + 1) * size], now)

    def _share_out(self, dues: list[float]) -> None:
        """Let what is due on one session be sent together."""
        shares = self._joined
        for due, stream in zip(dues, self._choice.take(self._streams.items, len(dues)), strict=True):
            if stream in shares:
                shares[stream].append(due)
            else:
                shares[stream] = [due]

    def _send(self, stream: QueryStream, dues: list[float]) -> None:
        """Send all that is due on a session in one write."""
        pending = stream.pending
        if stream.place == NOWHERE:
            self._unshared += dues
            return
        count, first = len(dues), stream.next_id
        identifiers: range | list[int] = range(first, first + count)
        if first + count > IDENTIFIERS or stream.reserved or not pending.keys().isdisjoint(identifiers):
            identifiers = stream.free_ids(count)
            self._unsent += count - len(identifiers)
            if not identifiers:
                return
            dues = dues[: len(identifiers)]
        stream.next_id = (identifiers[-1] + 1) % IDENTIFIERS
        now = monotonic()
        pending.update(zip(identifiers, zip(dues, repeat(now), strict=False), strict=False))
        self._sent_late += [now - due for due in dues]
        self._sent += len(identifiers)
        if self._csv:
            self._csv.sent(stream.number, identifiers, dues, now)
        self._write(stream, self._wire(identifiers), now)

    def _write(self, stream: QueryStream, wire: bytes, now: float) -> None:
        """Send queries on a session; a ping that waits for its answer is timed by when that was sent."""
        session = stream.session
        self._sent_at = now
        if session.state is _HELD:
            session.sent = now
        if not stream.due:
            self._deadlines.file(stream, now + self.settings.timeout)
        try:
            stream.write(wire)
        except OSError as failure:
            session.lost(failure)

    def _wire(self, identifiers: range | list[int]) -> bytes:
        """Return queries with these identifiers as they go over TCP."""
        messages, size = self._messages, self._size
        if messages is None:
            questions = self._draw.take(len(identifiers))
            return b"".join([question.message(at) for question, at in zip(questions, identifiers, strict=True)])
        if isinstance(identifiers, range):
            return messages[identifiers.start * size : identifiers.stop * size]
        return b"".join([messages[at * size : (at + 1) * size] for at in identifiers])

    def _count(self) -> None:
        """Count what was kept since the last time."""
        self.answers.settle()
        self._count_late()

    def _count_late(self) -> None:
        self._late_histogram.record_many(self._sent_late)
        self._sent_late.clear()
