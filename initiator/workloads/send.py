"""The message workload: the same messages on every session, at a rate, at a bandwidth, or as fast as it takes them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from select import EPOLLRDHUP
from time import monotonic
from typing import TYPE_CHECKING, Final

from common import reasons
from common.addresses import Address
from common.coarse import STEP, Coarse
from common.deadlines import Deadlines
from common.rate import Rate
from common.reactor import BEAT, FAILED, READ, WRITE, Job, Reactor
from common.sockets import error_of
from common.timer import Timer
from initiator.latencies import Latencies
from initiator.session import State
from initiator.snapshot import SendFigures
from initiator.traffic import Traffic
from initiator.workloads.expressions import Template
from initiator.workloads.line import Line, Task
from initiator.workloads.message_answers import Answers
from initiator.workloads.messages import BLOCK, Messages
from initiator.workloads.reads import Reads
from initiator.workloads.send_stream import ListeningStream, SendStream, ThrottledStream
from initiator.workloads.stream import NOWHERE, SLOW_READ, Streams
from initiator.workloads.turns import LARGEST_PIECE, TOLERANCE, Turns, turns_at

if TYPE_CHECKING:
    from initiator.session import Session
    from initiator.target import Due

# Writes of one session in a row before the others have their turn, where messages need not be made.
_WRITES: Final = 4

# Sessions that are sent on in one step, a fraction of a millisecond, and the seconds after which it ends anyway.
_SENT_AT_ONCE: Final = 16
_STEP: Final = 0.0003

# Messages of one session that are written one by one in a step.
_WRITTEN_AT_ONCE: Final = 32

# Seconds that answers and unsent bytes are waited for at the end, and sessions looked at or let go of in one step.
_DRAINING: Final = 5.0
_LET_GO: Final = 64

# Why what was due was not sent.
_LATE: Final = "late"
_FULL: Final = "session full"
_GONE: Final = "session gone"


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


class Send:
    """A run of messages over the sessions that have joined, which have `received` so many bytes since then.

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
        self.received = 0
        self.endless = settings.rate is None and settings.up is None
        self.listening = bool(settings.marker or settings.stop_on or settings.check)
        self._reactor = reactor
        self._deadlines = deadlines
        self._late = latencies.late.raw
        self._guard = guard
        self._traffic_before = replace(traffic)
        self._traffic_then: Traffic | None = None
        self._received_in_time: int | None = None
        self._spoken = Coarse()
        self._messages = Messages(settings)
        self._answers = Answers(settings, latencies.message, self.stop)
        told_apart = bool(settings.marker) or 0 < settings.check <= SLOW_READ
        self._stream: type[SendStream] = ListeningStream if told_apart else SendStream
        if settings.down is not None:
            self._stream = ThrottledStream
        self._writes = _WRITES if self._messages.plain else 1
        self._streams: Streams[SendStream] = Streams()
        self._going_on = False
        self._sends = Line()
        self._piece, self._turns = self._paces(settings.rate, settings.up, self.begun)
        self._reads = Reads(read, settings.down, told_apart, self.begun)
        self._timer = Timer(reactor, self.send_due)
        self._ends = self.begun + settings.seconds if settings.seconds is not None else float("inf")
        self._ended_at = 0.0
        self._ending = self._let_all_go = False
        self._joined = 0
        self._sent = self._due = 0
        self._missed = dict.fromkeys((_LATE, _FULL, _GONE), 0)
        self._sent_rate = Rate()
        self._answered_rate = Rate()
        self._sent_late: list[float] = []

    def join(self, session: "Session") -> None:
        """Send on a held session too, if it is one of those wanted; raises OSError when it is lost."""
        wanted = self.settings.target
        if session.stream is not None or (wanted is not None and session.target.address != wanted):
            return
        if not self.is_sending():
            return
        if self._turns and not self._streams.items:
            self._turns.skip(session.since)
        self._guard(session)
        self._joined += 1
        stream = self._stream(session, self, self._joined)
        session.stream = stream
        self._streams.add(stream)
        self._answers.join(stream)
        if self.settings.delay:
            self._deadlines.file(stream, self._reactor.now + self.settings.delay)
        else:
            self.begin(stream)
        if len(self._streams.items) == 1:
            self._go_on()

    def begin(self, stream: SendStream) -> None:
        """Send the first messages on a session, and then the others; raises OSError when the session is lost."""
        if not self.is_sending():
            return
        stream.begun = True
        first = self.settings.first
        if self.settings.rate:
            self._due += len(first)
        for number, template in enumerate(first):
            data = self._messages.render(template, stream)
            try:
                stream.write(data)
            except OSError:
                if self.settings.rate:
                    self._missed[_GONE] += len(first) - number
                raise
            self._sent += 1
            if self.settings.up:
                stream.ahead += len(data)
            self._speak(stream)
        if self.endless:
            self._fill(stream, 0.0)
            self._reactor.again(stream.session, WRITE)

    def leave(self, stream: SendStream) -> None:
        """Send no more on a session: what it was to answer is waited for."""
        self._streams.remove(stream)
        self._deadlines.cancel(stream)
        stream.leaving = True
        self._miss_unsent(stream, _GONE)
        if self._reads.paced and not self._ended_at:
            self._reads.leaving.add(stream)

    def left(self, stream: SendStream) -> None:
        """Take out a session that is not held any more: what it was to answer is lost."""
        (self._reads.leaving if stream.leaving else self._streams).remove(stream)
        stream.session.stream = None
        self._deadlines.cancel(stream)
        if not self._ended_at:
            self._answers.left(stream)
        self._miss_unsent(stream, _GONE)

    def is_sending(self) -> bool:
        """Whether more messages will be sent."""
        return not self._ended_at and monotonic() < self._ends

    def stop(self) -> None:
        """Send no more; it is over when nothing is waited for."""
        self._ends = min(self._ends, monotonic())
        self._go_on()

    def change(self, rate: float) -> None:
        """Send so many messages a second and session from now on."""
        self._plan_sends(monotonic())
        self.settings = replace(self.settings, rate=rate)
        self._piece, self._turns = self._paces(rate, None, monotonic())
        self.send_due()

    def reported(self, stream: SendStream) -> None:
        """Take note of the end of a session that is never read."""
        if not self._reads.paced and stream.input & (EPOLLRDHUP | FAILED):
            session = stream.session
            failed = stream.input & FAILED
            reason = reasons.reason_of(error_of(session.descriptor)) if failed else reasons.FIN
            session.target.holder.lost(session, reason)

    def ready(self, _events: int) -> None:
        """Go on after others had their turn."""
        self._going_on = False
        self.send_due()

    def send_due(self) -> None:
        """Send what is due on a few sessions, and read; the rest after others had their turn, what is due later then.

        Reading goes on when all is sent: what was sent is still answered.
        """
        if self._ended_at:
            return
        now = monotonic()
        if now >= self._ends and self._received_in_time is None:
            self._received_in_time = self.received
        if not self._sends:
            self._plan_sends(now)
        self._reads.plan(self._streams, now)
        until = now + _STEP
        for _ in range(min(_SENT_AT_ONCE, len(self._sends))):
            self._send_on(*self._sends.take(), until)
            if monotonic() >= until:
                break
        self._reads.go_on(until)
        if self._sends or self._reads.line:
            self._go_on()
        elif self._streams.items or self._reads.leaving.items:
            self._arm(now)

    def _go_on(self) -> None:
        if not self._going_on:
            self._going_on = True
            self._reactor.again(self, 0)

    def write_on(self, stream: SendStream) -> None:
        """Send as fast as the session takes it, until it is others' turn; raises OSError when the session is lost."""
        self._speak(stream)
        for _ in range(self._writes):
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
            self._fill(stream, monotonic() + _STEP)
        self._reactor.again(stream.session, WRITE)

    def heard(self, stream: SendStream, data: bytes, now: float) -> None:
        """Look for answers in what a session hears."""
        self._answers.heard(stream, data, now)

    def figures(self) -> SendFigures:
        """Return what has become of the messages so far."""
        self._count()
        now = min(monotonic(), self._ends)
        answers, rate, sessions = self._answers, self.settings.rate, len(self._streams.items)
        return SendFigures(
            asked_rate=self._asked_rate(now - self.begun),
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
            missed=dict(self._missed),
            awaiting=answers.awaited,
            answered=answers.answered,
            lost=answers.lost,
            unanswered=answers.unanswered,
            unexpected=answers.unexpected,
            wrong=dict(answers.wrong),
            told=tuple(answers.told),
            stopped_on=answers.stopped_on,
            traffic=self._traffic_then or self._traffic(),
        ).with_rates()

    def beat(self) -> None:
        """Count what was kept, and notice the end."""
        self._count()
        now = self._reactor.now
        self._sent_rate.sample(now, self._sent)
        self._answered_rate.sample(now, self._answers.answered)
        if now >= self._ends and not self._ending:
            self.send_due()
            if not self._sends:
                # What it sent last may have been lined up before the end, and more have been due since.
                self._plan_sends(now)
            if self._sends:
                self._go_on()
            else:
                self._ending = True
                self._reactor.start(self._end())
        if self._let_all_go:
            self._tell_done()

    def close(self) -> None:
        """End at once, with all sessions."""
        self._finish()
        self._tell_done()

    def _paces(self, rate: float | None, bandwidth: float | None, now: float) -> tuple[int, Turns | None]:
        """Return how much one turn of a session is, in messages or bytes, and the turns."""
        if rate:
            return 1, Turns(rate, now)
        return turns_at(bandwidth, now) if bandwidth else (0, None)

    def _plan_sends(self, now: float) -> None:
        """Line up the sessions whose turn it is; what was due before the end is due behind it too."""
        streams, piece = self._streams.items, self._piece
        if not self._turns or not streams:
            return
        period = self._turns.period / piece
        for due in self._turns.take(now, self._ends):
            chosen = streams[due.slot :: self._turns.slots]
            if self.settings.delay:
                chosen = [stream for stream in chosen if stream.begun]
            self._due += (due.messages + due.missed) * piece * len(chosen)
            self._missed[_LATE] += due.missed * piece * len(chosen)
            if due.messages:
                self._sends.add(Task(due.messages * piece, due.since, period), chosen)

    def _arm(self, now: float) -> None:
        """Wake when something is due next, or at the end."""
        next_due = self._reads.next_due
        if self._turns and now < self._ends:
            next_due = min(next_due, self._turns.next_due, self._ends)
        if next_due < float("inf"):
            self._timer.arm(next_due)

    def _send_on(self, stream: SendStream, task: Task, until: float) -> None:
        if stream.leaving or stream.place == NOWHERE:
            self._missed[_GONE] += task.amount
            return
        if stream.ahead:
            sent_before = min(stream.ahead, task.amount)
            stream.ahead -= sent_before
            task = task.rest(sent_before)
            if not task.amount:
                return
        if len(stream.unsent) > (LARGEST_PIECE if task.begun else 0):
            self._missed[_FULL] += task.amount
            return
        try:
            send = self._send_bytes if self.settings.up else self._send
            done = send(stream, task, until)
            self._speak(stream)
        except OSError as failure:
            self._missed[_GONE] += task.amount
            stream.session.lost(failure)
        else:
            if done < task.amount:
                self._put_back(stream, task, done)

    def _put_back(self, stream: SendStream, task: Task, done: int) -> None:
        """Line up what is left of a task, but for what is too late by now."""
        rest = task.rest(done)
        late = min(rest.amount, max(0, int((monotonic() - TOLERANCE - rest.since) / rest.period)))
        self._missed[_LATE] += late
        if rest.amount > late:
            self._sends.add(rest.rest(late)._replace(begun=True), (stream,))

    def _speak(self, stream: SendStream) -> None:
        """Take note that something is sent on a session, but for one whose ping is timed by when that was sent."""
        session, now = stream.session, self._reactor.now
        if stream.at_once is None:
            stream.at_once = not session.sent and now - session.since < STEP
        if session.state is not State.ASKED:
            session.sent = self._spoken.of(now)

    def _send(self, stream: SendStream, task: Task, until: float) -> int:
        """Send the messages of a task, or as many as can be made until then; return how many.

        Raises OSError when none could be sent, for the session is lost.
        """
        combine = self.settings.combine
        data = self._messages.take(stream, task.amount if combine else min(task.amount, _WRITTEN_AT_ONCE), until)
        count, sent = len(data), monotonic()
        if combine:
            stream.write(b"".join(data))
        else:
            count = _write_each(stream, data)
        self._sent += count
        dues = [task.since + number * task.period for number in range(count)]
        self._sent_late += [sent - due for due in dues]
        self._answers.wait(stream, dues, sent)
        return count

    def _fill(self, stream: SendStream, until: float) -> None:
        """Give a session its next block to send, behind what waits: what of it can be made until then."""
        block, count = self._messages.take_bytes(stream, BLOCK, until)
        self._took(stream, count)
        stream.unsent = bytes(stream.unsent) + block if stream.unsent else block

    def _send_bytes(self, stream: SendStream, task: Task, until: float) -> int:
        """Send the bytes of a task, or as many as can be made until then; return how many of them.

        The last message is sent to its end where it is made: what of it is not due yet is sent ahead.
        """
        left = most = min(task.amount, LARGEST_PIECE)
        blocks, messages = [], 0
        while left > 0:
            block, count = self._messages.take_bytes(stream, min(left, BLOCK), until)
            blocks.append(block)
            messages += count
            left -= len(block)
            if not self._messages.plain and monotonic() >= until:
                break
        stream.write(blocks[0] if len(blocks) == 1 else b"".join(blocks))
        self._took(stream, messages)
        stream.ahead = max(0, -left)
        return most - max(0, left)

    def _took(self, stream: SendStream, count: int) -> None:
        """Count messages that a session has taken now, as soon as they were due."""
        self._sent += count
        if stream.waiting is not None or stream.numbered is not None:
            now = monotonic()
            self._answers.wait(stream, [now] * count, now)

    def _miss_unsent(self, stream: SendStream, reason: str) -> None:
        """Count bytes that were due and that the kernel has not taken: a session takes no more of them."""
        if self.settings.up:
            self._missed[reason] += max(0, len(stream.unsent) - stream.ahead)

    def _count(self) -> None:
        """Count what was kept."""
        late, self._sent_late = self._sent_late, []
        self._late.record_many(late)
        self._answers.count()

    def _traffic(self) -> Traffic:
        """Return what has gone over the sessions; what they hear behind the end belongs to no second of the run."""
        received = self.received if self._received_in_time is None else self._received_in_time
        return replace(self.traffic.since(self._traffic_before), received=received)

    def _asked_rate(self, seconds: float) -> float | None:
        """Return the rate asked for: that of the moment, or of all of a run that has ended after so many seconds."""
        rate = self.settings.rate
        if rate is None:
            return None
        if self._ended_at:
            return self._due / seconds if seconds else 0.0
        return rate * len(self._streams.items)

    def _end(self) -> Job:
        """Wait for what is still to come and to go, but not for long, and let go of all sessions.

        Those that take no more bytes stay at their places or leave: none joins, and none is given more to send.
        """
        until, items = self._reactor.now + _DRAINING, self._streams.items
        for place in range(len(items) - 1, -1, -1):
            while place < len(items) and items[place].unsent and self._reactor.now < until:
                yield BEAT
            if place % _LET_GO == 0:
                yield
        while self._answers.outstanding and self._reactor.now < until:
            yield BEAT
        self._finish()
        for streams in (self._streams, self._reads.leaving):
            while streams.items:
                for stream in streams.items[-_LET_GO:]:
                    streams.remove(stream)
                    self._let_go(stream)
                yield
        self._let_all_go = True

    def _finish(self) -> None:
        """Take note of what has become of all; nothing that happens afterwards changes that."""
        if self._ended_at:
            return
        self._ended_at = monotonic()
        self._ends = min(self._ends, self._ended_at)
        self._count()
        self._answers.give_up()
        self._traffic_then = self._traffic()
        self._timer.close()
        self.listening = False
        self._sends.clear()
        self._reads.line.clear()

    def _let_go(self, stream: SendStream) -> None:
        stream.session.stream = None
        self._deadlines.cancel(stream)
        self._miss_unsent(stream, _FULL)
        if stream.throttled:
            self._reactor.again(stream.session, READ)

    def _tell_done(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _write_each(stream: SendStream, messages: list[bytes]) -> int:
    """Send messages one by one until the session is lost; return how many, or raise OSError for none."""
    for number, message in enumerate(messages):
        try:
            stream.write(message)
        except OSError:
            if not number:
                raise
            return number
    return len(messages)
