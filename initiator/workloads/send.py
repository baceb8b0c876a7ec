"""The message workload: the same messages on every session, at a rate, at a bandwidth, or as fast as it takes them."""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from select import EPOLLRDHUP
from time import monotonic, time_ns
from typing import TYPE_CHECKING, ClassVar, Final

from common import reasons
from common.addresses import Address
from common.deadlines import Deadlines
from common.rate import Rate
from common.reactor import FAILED, READ, WRITE, Reactor
from common.sockets import error_of
from common.timer import Timer
from initiator.latencies import Latencies
from initiator.snapshot import SendFigures
from initiator.traffic import Traffic
from initiator.workloads.expressions import Moment, Template
from initiator.workloads.frames import Checker, Frame
from initiator.workloads.markers import Marker, find_markers
from initiator.workloads.stream import Stream, Streams
from initiator.workloads.turns import Turns

if TYPE_CHECKING:
    import re

    from initiator.session import Session
    from initiator.target import Due

# Bytes given to one write, and writes of one session in a row before the others have their turn.
BLOCK: Final = 1 << 16
_WRITES: Final = 4

# Sessions that are sent on in one step: a fraction of a millisecond.
_SENT_AT_ONCE: Final = 16

# Seconds that a piece of a bandwidth stands for at least, and its bytes where that is less than a segment's.
_PIECE_SECONDS: Final = 0.01
_SEGMENT: Final = 1460

# Messages of one session that may wait for an answer; older ones are given up.
_MOST_PENDING: Final = 65_536

# Seconds that answers and unsent bytes are waited for at the end.
_DRAINING: Final = 5.0

# Times kept before they are counted in the histograms, which is cheaper for many at once.
_KEPT: Final = 1024

# Sightings of wrong echoes that are told of, and bytes shown around what a run was stopped on.
_TOLD: Final = 10
_AROUND: Final = 64


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What a run is: the messages, in sequence, and when they are sent; `asking` tells it in words.

    `rate` is in messages a second and session, `up` and `down` in bytes a second and session; a run has `rate`, `up` or
    neither. `check` is the size of the messages whose echoes are verified, and then there are no others.
    """

    seed: int
    messages: tuple[Template, ...] = ()
    first: tuple[Template, ...] = ()
    rate: float | None = None
    up: float | None = None
    down: float | None = None
    delay: float = 0.0
    seconds: float | None = None
    marker: Template | None = None
    skip: int = 0
    stop_on: bytes = b""
    combine: bool = True
    check: int = 0
    target: Address | None = None
    asking: str = ""


class SendStream(Stream):
    """One session's part.

    `number` is that of the next message, `offset` the place in the sequence's bytes. `waiting` holds (due, sent) in
    monotonic seconds of the messages that wait for an answer, in their order, `numbered` by their number.
    """

    __slots__ = (
        "begun", "checker", "drawn", "input", "number", "numbered", "offset", "pattern", "run", "skip", "tail",
        "tail_stop", "uid", "waiting",
    )  # fmt: skip

    def __init__(self, session: "Session", run: "Send", uid: int) -> None:
        super().__init__(session, run.traffic)
        self.run = run
        self.uid = uid
        self.begun = False
        self.number = 1
        self.offset = 0
        self.input = 0
        self.skip = run.settings.skip
        self.tail = self.tail_stop = b""
        self.pattern: re.Pattern[bytes] | bytes | None = None
        self.checker: Checker | None = None
        self.drawn: dict[int, bytes] | None = None
        self.waiting: deque[tuple[float, float]] | None = None
        self.numbered: dict[int, tuple[float, float]] | None = None

    def heard(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Look for answers in the first `size` bytes."""
        if self.run.listening:
            self.run.heard(self, bytes(data[:size]), now)

    def writable(self) -> None:
        """Go on sending."""
        if self.run.endless:
            self.run.write_on(self)
        else:
            super().writable()

    def leave(self) -> None:
        """Send no more, and take the answers under way."""
        self.unsent = b""
        self.run.leave(self)

    def left(self) -> None:
        """Take note that the session is not held any more."""
        self.run.left(self)

    def expired(self) -> None:
        """Begin: the delay is over."""
        try:
            self.run.begin(self)
        except OSError as failure:
            self.session.lost(failure)


class ThrottledStream(SendStream):
    """One session's part where reading is paced."""

    throttled: ClassVar[bool] = True

    __slots__ = ()

    def readable(self, events: int) -> None:
        """Keep what epoll reported for the session's next turn."""
        self.input |= events
        self.run.reported(self)


class Send:
    """A run of messages over the sessions that have joined.

    `read` takes at most so many bytes of a session, and returns whether there may be more. `guard` has the kernel end a
    session that does not acknowledge what was sent.
    """

    def __init__(
        self,
        reactor: Reactor,
        deadlines: "Deadlines[Due]",
        settings: SendSettings,
        latencies: Latencies,
        traffic: Traffic,
        read: "Callable[[Session, int], bool]",
        guard: "Callable[[Session], None]",
    ) -> None:
        self.settings = settings
        self.begun = monotonic()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.traffic = traffic
        self.endless = settings.rate is None and settings.up is None
        self.listening = bool(settings.marker or settings.stop_on or settings.check)
        self._reactor = reactor
        self._deadlines = deadlines
        self._latency = latencies.message
        self._late = latencies.late.raw
        self._read = read
        self._guard = guard
        self._traffic_before = replace(traffic)
        self._traffic_then: Traffic | None = None
        self._sequence = _Sequence(settings)
        self._marker = Marker(settings.marker) if settings.marker else None
        self._random = Random(f"{settings.seed}/text")
        self._stream = SendStream if settings.down is None else ThrottledStream
        self._streams: Streams[SendStream] = Streams()
        self._work: deque[SendStream | tuple[int, float]] = deque()
        self._task = (0, 0.0)
        self._piece, self._turns = self._paces(settings.rate, settings.up)
        self._read_piece, self._read_turns = self._paces(None, settings.down or None)
        self._timer = Timer(reactor, self.ready)
        self._ends = self.begun + settings.seconds if settings.seconds is not None else float("inf")
        self._drained_at = self._ended_at = 0.0
        self._joined = 0
        self._sent = self._due = self._late_missed = self._full_missed = 0
        self._answered = self._lost = self._unanswered = self._unexpected = 0
        self._wrong = dict.fromkeys(("foreign", "altered", "missing", "repeated"), 0)
        self._told: list[str] = []
        self._stopped_on = ""
        self._sent_rate = Rate()
        self._answered_rate = Rate()
        self._sent_late: list[float] = []
        self._corrected: list[float] = []
        self._raw: list[float] = []
        self.ready()

    def join(self, session: "Session") -> None:
        """Send on a held session too, if it is one of those wanted; raises OSError when it is lost."""
        wanted = self.settings.target
        if session.stream is not None or (wanted is not None and session.target.address != wanted):
            return
        self._guard(session)
        self._joined += 1
        stream = self._stream(session, self, self._joined)
        session.stream = stream
        self._streams.add(stream)
        if self._marker:
            stream.pattern = self._marker.pattern(stream.uid)
            if self._marker.numbered:
                stream.numbered = {}
            else:
                stream.waiting = deque()
        if self.settings.check:
            stream.checker = Checker(self.settings.seed & 0xFFFFFFFF, stream.uid, self.settings.check)
            stream.numbered = {}
        if self.settings.delay:
            self._deadlines.file(stream, self._reactor.now + self.settings.delay)
        else:
            self.begin(stream)
        if len(self._streams.items) == 1:
            self.ready()

    def begin(self, stream: SendStream) -> None:
        """Send the first messages on a session, and then the others; raises OSError when the session is lost."""
        if not self.is_sending():
            return
        stream.begun = True
        for template in self.settings.first:
            stream.write(template.render(self._moment(stream)))
            self._sent += 1
        if self.endless:
            self._fill(stream)
            self._reactor.again(stream.session, WRITE)

    def leave(self, stream: SendStream) -> None:
        """Send no more on a session: what it was to answer is waited for."""
        self._streams.remove(stream)

    def left(self, stream: SendStream) -> None:
        """Take out a session that is not held any more: what it was to answer is lost."""
        self._streams.remove(stream)
        stream.session.stream = None
        self._deadlines.cancel(stream)
        self._lost += _pending(stream)

    def is_sending(self) -> bool:
        """Whether more messages will be sent."""
        return not self._ended_at and monotonic() < self._ends

    def stop(self) -> None:
        """Send no more; it is over when nothing is waited for."""
        self._ends = min(self._ends, monotonic())
        self.ready()

    def change(self, rate: float) -> None:
        """Send so many messages a second and session from now on."""
        self.settings = replace(self.settings, rate=rate)
        self._piece, self._turns = self._paces(rate, None)
        self.ready()

    def reported(self, stream: SendStream) -> None:
        """Take note of the end of a session that is never read."""
        if self._read_turns is None and stream.input & (EPOLLRDHUP | FAILED):
            session = stream.session
            failed = stream.input & FAILED
            reason = reasons.reason_of(error_of(session.descriptor)) if failed else reasons.FIN
            session.target.holder.lost(session, reason)

    def ready(self, _events: int = 0) -> None:
        """Send what is due on a few sessions; the rest after others had their turn, what is due later then."""
        if self._ended_at or self._drained_at:
            return
        work = self._work
        if not work:
            self._plan()
        for _ in range(min(_SENT_AT_ONCE, len(work))):
            item = work.popleft()
            if isinstance(item, tuple):
                self._task = item
            elif item.begun and item.place >= 0:
                self._serve(item, *self._task)
        if work:
            self._reactor.again(self, 0)
        elif self._streams.items:
            turns = [turns.next_due for turns in (self._turns, self._read_turns) if turns]
            if turns:
                self._timer.arm(min(*turns, self._ends))

    def write_on(self, stream: SendStream) -> None:
        """Send as fast as the session takes it, until it is others' turn; raises OSError when the session is lost."""
        for _ in range(_WRITES):
            data = stream.unsent
            try:
                taken = stream.session.send(data)
            except BlockingIOError:
                return
            self.traffic.sent += taken
            self.traffic.writes += 1
            if taken < len(data):
                stream.unsent = data[taken:]
                return
            stream.unsent = b""
            if not self.is_sending():
                return
            self._fill(stream)
        self._reactor.again(stream.session, WRITE)

    def heard(self, stream: SendStream, data: bytes, now: float) -> None:
        """Look for answers in what a session hears."""
        stop_on = self.settings.stop_on
        if stop_on:
            seen = stream.tail_stop + data
            at = seen.find(stop_on)
            if at >= 0 and not self._stopped_on:
                around = seen[max(0, at - _AROUND) : at + len(stop_on) + _AROUND]
                self._stopped_on = f"{stream.session} heard {around!r}"
                self.stop()
            stream.tail_stop = seen[max(0, len(seen) - len(stop_on) + 1) :]
        if stream.checker:
            self._verify(stream, stream.checker, data, now)
        elif stream.pattern is not None and self._marker:
            data = stream.tail + data
            numbers, end = find_markers(stream.pattern, data)
            for number in numbers:
                self._answer(stream, number, now)
            stream.tail = data[max(end, len(data) - self._marker.longest) :]
        if len(self._raw) > _KEPT:
            self._count()

    def figures(self) -> SendFigures:
        """Return what has become of the messages so far."""
        self._count()
        now = min(monotonic(), self._ends)
        rate, sessions = self.settings.rate, len(self._streams.items)
        return SendFigures(
            asked_rate=rate * sessions if rate else None,
            rate=rate,
            sent_rate=self._sent_rate.per_second,
            answered_rate=self._answered_rate.per_second,
            seconds=now - self.begun,
            running=not self._ended_at,
            sending=self.is_sending(),
            sessions=sessions,
            unit="messages" if rate else "bytes",
            due=self._due,
            sent=self._sent,
            missed={"late": self._late_missed, "session full": self._full_missed},
            awaiting=bool(self._marker or self.settings.check),
            answered=self._answered,
            lost=self._lost,
            unanswered=self._unanswered,
            unexpected=self._unexpected,
            wrong=dict(self._wrong),
            told=tuple(self._told),
            stopped_on=self._stopped_on,
            traffic=self._traffic_then or self.traffic.since(self._traffic_before),
        )

    def beat(self) -> None:
        """Count what was kept, and notice the end."""
        self._count()
        now = self._reactor.now
        self._sent_rate.sample(now, self._sent)
        self._answered_rate.sample(now, self._answered)
        if not self._drained_at and now >= self._ends and not self._work:
            self._drain(now)
        if self._drained_at and (now >= self._drained_at or not any(map(_busy, self._streams.items))):
            self._end()

    def close(self) -> None:
        """End at once."""
        if not self._ended_at:
            self._end()

    def _paces(self, rate: float | None, bandwidth: float | None) -> tuple[int, Turns | None]:
        """Return how much one turn of a session is, in messages or bytes, and the turns."""
        if rate:
            return 1, Turns(rate, monotonic())
        if bandwidth:
            piece = max(1, int(max(min(_SEGMENT, bandwidth), bandwidth * _PIECE_SECONDS)))
            return piece, Turns(bandwidth / piece, monotonic())
        return 0, None

    def _plan(self) -> None:
        """Line up the sessions whose turn it is, behind what they are to do: (pieces, since), below 0 to read."""
        now, work, streams = monotonic(), self._work, self._streams.items
        if now >= self._ends or not streams:
            return
        if self._turns:
            slots, piece = self._turns.slots, self._piece
            for due in self._turns.take(now):
                chosen = streams[due.slot :: slots]
                if self.settings.delay:
                    chosen = [stream for stream in chosen if stream.begun]
                self._due += (due.messages + due.missed) * piece * len(chosen)
                self._late_missed += due.missed * piece * len(chosen)
                work.append((due.messages, due.since))
                work.extend(chosen)
        if self._read_turns:
            for due in self._read_turns.take(now):
                work.append((-due.messages, due.since))
                work.extend(stream for stream in streams[due.slot :: self._read_turns.slots] if stream.input)

    def _serve(self, stream: SendStream, count: int, since: float) -> None:
        if count < 0:
            stream.input = 0
            if self._read(stream.session, -count * self._read_piece):
                stream.input = READ
        elif stream.unsent:
            self._full_missed += count * self._piece
        else:
            try:
                if self.settings.up:
                    self._send_bytes(stream, count * self._piece)
                else:
                    self._send(stream, count, since)
            except OSError as failure:
                stream.session.lost(failure)

    def _send(self, stream: SendStream, count: int, since: float) -> None:
        """Send so many messages, the first of which was due at `since`."""
        assert self._turns
        data = self._messages(stream, count)
        sent, period = monotonic(), self._turns.period
        if self.settings.combine:
            stream.write(b"".join(data))
        else:
            for message in data:
                stream.write(message)
        self._sent += count
        dues = [since + number * period for number in range(count)]
        self._sent_late += [sent - due for due in dues]
        self._await(stream, dues, sent)

    def _await(self, stream: SendStream, dues: list[float], sent: float) -> None:
        """Wait for the answers to the last messages of a session, where there are to be any."""
        if stream.waiting is not None:
            stream.waiting.extend([(due, sent) for due in dues])
            while len(stream.waiting) > _MOST_PENDING:
                stream.waiting.popleft()
                self._unanswered += 1
        elif stream.numbered is not None:
            for number, due in enumerate(dues, stream.number - len(dues)):
                stream.numbered[number] = (due, sent)

    def _messages(self, stream: SendStream, count: int) -> list[bytes]:
        """Return the next messages of a session."""
        if self.settings.check:
            run, first = self.settings.seed & 0xFFFFFFFF, stream.number
            stream.number += count
            return [
                Frame(run, stream.uid, number).encode(self.settings.check) for number in range(first, first + count)
            ]
        templates = self.settings.messages
        data = []
        for number in range(stream.number, stream.number + count):
            template = templates[(number - 1) % len(templates)]
            data.append(template.constant or template.render(self._moment(stream)))
            stream.number += 1
        return data

    def _moment(self, stream: SendStream) -> Moment:
        if stream.drawn is None:
            stream.drawn = {}
        return Moment(stream.uid, stream.number, time_ns() // 1000, self._random, stream.drawn)

    def _fill(self, stream: SendStream) -> None:
        """Give a session its next block to send, behind what waits."""
        block = self._next_bytes(stream, BLOCK)
        stream.unsent = bytes(stream.unsent) + block if stream.unsent else block

    def _send_bytes(self, stream: SendStream, size: int) -> None:
        while size > 0:
            data = self._next_bytes(stream, min(size, BLOCK))
            stream.write(data)
            size -= len(data)

    def _next_bytes(self, stream: SendStream, size: int) -> bytes | memoryview:
        """Return the next bytes of a session's messages, so many where they are constant, whole messages otherwise."""
        data: bytes | memoryview
        if self._sequence.ring:
            data = self._sequence.ring[stream.offset : stream.offset + size]
            stream.offset, count = self._sequence.after(stream.offset, size)
            stream.number += count
        else:
            messages: list[bytes] = []
            while size > 0:
                messages += self._messages(stream, 1)
                size -= len(messages[-1])
            data, count = b"".join(messages), len(messages)
        self._sent += count
        if stream.waiting is not None or stream.numbered is not None:
            now = monotonic()
            self._await(stream, [now] * count, now)
        return data

    def _answer(self, stream: SendStream, number: int, now: float) -> None:
        if stream.skip:
            stream.skip -= 1
            return
        if stream.waiting is not None:
            found = stream.waiting.popleft() if stream.waiting else None
        else:
            found = stream.numbered.pop(number, None) if stream.numbered else None
        if found is None:
            self._unexpected += 1
            return
        due, sent = found
        self._corrected.append(now - due)
        self._raw.append(now - sent)
        self._answered += 1

    def _verify(self, stream: SendStream, checker: Checker, data: bytes, now: float) -> None:
        for verdict in checker.heard(data, stream.number - 1):
            if verdict.kind == "echoed":
                self._answer(stream, verdict.number, now)
                continue
            self._wrong[verdict.kind] += 1
            if verdict.kind != "foreign" and stream.numbered:
                stream.numbered.pop(verdict.number, None)
            if len(self._told) < _TOLD:
                self._told.append(f"{stream.session} (session {stream.uid}): {verdict.text}")

    def _count(self) -> None:
        corrected, self._corrected = self._corrected, []
        raw, self._raw = self._raw, []
        late, self._sent_late = self._sent_late, []
        self._latency.corrected.record_many(corrected)
        self._latency.raw.record_many(raw)
        self._late.record_many(late)

    def _drain(self, now: float) -> None:
        """Begin to wait for what is still to come: whole messages are sent to their end."""
        self._drained_at = now + _DRAINING
        for stream in self._streams.items:
            self._deadlines.cancel(stream)

    def _end(self) -> None:
        self._ended_at = monotonic()
        self._ends = min(self._ends, self._ended_at)
        self._count()
        self._traffic_then = self.traffic.since(self._traffic_before)
        self._timer.close()
        for stream in self._streams.take_all():
            stream.session.stream = None
            self._deadlines.cancel(stream)
            self._unanswered += _pending(stream)
            if stream.throttled:
                self._reactor.again(stream.session, READ)
        self._work.clear()
        if not self.done.done():
            self.done.set_result(None)


class _Sequence:
    """The bytes of the messages one after the other, again and again, where they are always the same."""

    def __init__(self, settings: SendSettings) -> None:
        constants = [template.constant for template in settings.messages]
        known = [constant for constant in constants if constant is not None]
        self.ring = memoryview(b"")
        self._ends: list[int] = []
        if known and len(known) == len(constants):
            whole = b"".join(known)
            self._ends = list(accumulate(map(len, known)))
            self.ring = memoryview(whole * (BLOCK // len(whole) + 2))

    def after(self, offset: int, size: int) -> tuple[int, int]:
        """Return the place after so many bytes from an offset, and how many messages end in between."""
        length, ends = self._ends[-1], self._ends
        wraps, place = divmod(offset + size, length)
        return place, wraps * len(ends) + bisect_right(ends, place) - bisect_right(ends, offset)


def _pending(stream: SendStream) -> int:
    """Return how many messages wait for an answer."""
    return len(stream.waiting or ()) + len(stream.numbered or ())


def _busy(stream: SendStream) -> bool:
    """Whether something is still to come or to go."""
    return bool(stream.unsent or stream.waiting or stream.numbered)
