"""The churn workload: sessions of its own, begun on an absolute schedule, each asked once and closed."""

import asyncio
import errno
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import monotonic, process_time
from typing import Final

from common import reasons, shortages
from common.addresses import HIGHEST_PORT, Address
from common.histogram import Histogram
from common.reactor import EDGE, READ, WRITE, Job, Reactor
from common.shortages import Shortages
from common.sockets import reset_at_close
from common.system import closing_sessions
from common.timer import Timer
from initiator.churn_figures import OUT_OF_PORTS, Tally
from initiator.dialer import Dialer
from initiator.latencies import Latency
from initiator.workloads.arrivals import CONSTANT, Arrivals
from initiator.workloads.goals import Goal
from initiator.workloads.schedule import constant
from initiator.workloads.transaction import ALONE, BUFFER, WITH_FIN, Transaction

TIMEOUT: Final = 30.0
SECONDS: Final = 10.0

# Transactions begun in one step, and given up in one: under a millisecond. Where ports are short, the kernel's search
# for one takes a millisecond by itself.
_BEGUN_AT_ONCE: Final = 16
_GIVEN_UP_AT_ONCE: Final = 16
_UNBEGUN_AT_ONCE: Final = 4096

# Seconds after the end of its time in which what is due by then is still begun: a pause of the loop is no backlog, and
# does not count.
GRACE: Final = 0.5

# Transactions kept before they are counted in the histograms, which is cheaper for many at once.
_KEPT: Final = 1024

_SENDING: Final = READ | WRITE | EDGE
_SENT: Final = READ | EDGE
_UNDER_WAY: Final = errno.EINPROGRESS

# What it is counted under that no more could be had of something on this host, beside OUT_OF_PORTS.
OUT_OF_DESCRIPTORS: Final = "out of descriptors"
OUT_OF_MEMORY: Final = "out of memory"


@dataclass(frozen=True, slots=True)
class ChurnSettings:
    """What is done at each rate: for `seconds`, then nothing for `cooldown` seconds; `timeout` in seconds as well.

    With `resets` nothing is half-closed, and the first of the answer is followed by our RST; where nothing is sent
    either, that comes as soon as the session is established. The `phase` is that of Arrivals.
    """

    seconds: float = SECONDS
    cooldown: float = 0.0
    request: bytes = b""
    timeout: float = TIMEOUT
    resets: bool = False
    seed: int = 0
    arrivals: str = CONSTANT
    target: Address | None = None
    phase: float = 0.5


class Churn:
    """Transactions at one rate; it is over when its time is and none is under way any more."""

    def __init__(
        self,
        reactor: Reactor,
        dialer: Dialer,
        goals: Iterator[Goal],
        settings: ChurnSettings,
        rate: float,
        number: int,
    ) -> None:
        self.reactor = reactor
        self.buffer = bytearray(BUFFER)
        self.request = settings.request
        self.view = memoryview(settings.request)
        self.size = len(settings.request)
        self.resets = settings.resets
        self.asks = bool(settings.request) or not settings.resets
        self.flags = ALONE if settings.resets else WITH_FIN
        self.sent = self.received = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rate = rate
        self._number = number
        self._timeout = settings.timeout
        self._goals = goals
        self._dial = dialer.dial
        self._forget = reactor.forget
        self._shortages = Shortages("those transactions have failed")
        self._begun_at = monotonic()
        self._cpu_before = process_time()
        self._ends = self._begun_at + settings.seconds
        self._last_at = self._begun_at
        self._grace_ends = math.inf  # as the reactor's `watched` counts
        self._arrivals = Arrivals(constant(rate), settings.arrivals, settings.seed, self._begun_at, settings.phase)
        self._at_once = _BEGUN_AT_ONCE
        self._stopping = False
        self._tally: Tally | None = None
        self._due = self._begun = self._completed = self._empty = self._stopped = self._unbegun = 0
        self._failed: Counter[str] = Counter()
        self._under_way: dict[Transaction, None] = {}
        self._giving_up = False
        self._kept: list[Transaction] = []
        self._late: list[float] = []
        self._late_histogram = Histogram()
        self._connect, self._first_byte, self._whole = Latency(), Latency(), Latency()
        # A socket that is opened within a batch of events may have the descriptor of one that the batch has closed, and
        # would be told what is reported for that.
        self._timer = Timer(reactor, partial(reactor.after_batch, self.ready))
        self.ready()

    def ready(self, _events: int = 0) -> None:
        """Begin a few of those that are due; the rest after others had their turn, what is due later then."""
        if self._tally:
            return
        now, arrivals = monotonic(), self._arrivals
        if now > self._ends and self._grace_ends == math.inf:
            self._grace_ends = self.reactor.watched() + GRACE
        if self._stopping or self.reactor.watched() > self._grace_ends:
            given_up = len(arrivals.take(self._ends, _UNBEGUN_AT_ONCE))
            self._due += given_up
            self._unbegun += given_up
        else:
            due = arrivals.take(min(now, self._ends), self._at_once)
            self._due += len(due)
            self._begin(due)
        following = arrivals.next_due
        if following <= min(now, self._ends):
            self.reactor.again(self, 0)
        elif following <= self._ends:
            self._timer.arm(following)

    def complete(self, transaction: Transaction, now: float) -> None:
        """Take note that all of the answer is there; a peer that ends it before it has got the request gave none."""
        if transaction.place >= 0:
            self.fail(transaction, reasons.FIN)
            return
        transaction.ended = now
        if self.resets:
            reset_at_close(transaction.descriptor)
        del self._under_way[transaction]
        self._forget(transaction.descriptor)
        transaction.sock.close()
        kept = self._kept
        kept.append(transaction)
        if len(kept) > _KEPT:
            self._count()

    def fail(self, transaction: Transaction, reason: str) -> None:
        """Count a transaction that came to nothing."""
        self._failed[reason] += 1
        self._abandon(transaction)

    def beat(self) -> None:
        """Give up what takes too long, and notice the end."""
        if not self._giving_up and self._any_overdue():
            self._giving_up = True
            self.reactor.start(self._give_up())
        if not self._under_way and self._arrivals.next_due > self._ends < self.reactor.now and not self._tally:
            self._end()

    def stop(self) -> None:
        """Begin no more, and give up what is under way; it is over when that is done."""
        if not self._stopping:
            self._stopping = True
            self._ends = min(self._ends, monotonic())
            self.ready()
            self.reactor.start(self._give_all_up())

    def tally(self) -> Tally:
        """Return what has become of the transactions so far; its latencies go on counting until it is over."""
        return self._tally or self._counted(None)

    def _begin(self, dues: list[float]) -> None:
        """Begin transactions, and try to send at once: on a short path the session is established by then."""
        under_way, late, dial, add = self._under_way, self._late, self._dial, self.reactor.add
        for due, goal in zip(dues, self._goals, strict=False):
            begun = monotonic()
            late.append(begun - due)
            try:
                sock, error, key = dial(goal, goal.host)
            except OSError as failure:
                self._lacking(failure.errno)
                continue
            if error != _UNDER_WAY:
                sock.close()
                self._refused_at_once(error)
                continue
            goal.host = key & ~HIGHEST_PORT
            self._last_at = begun
            self._begun += 1
            transaction = Transaction(self, sock, due, begun)
            try:
                sent = transaction.send()
                add(transaction.descriptor, transaction, _SENT if sent else _SENDING)
            except OSError as failure:
                self._failed[transaction.reason(failure)] += 1
                reset_at_close(transaction.descriptor)
                sock.close()
                continue
            under_way[transaction] = None
            if sent and not self.asks:
                self.complete(transaction, transaction.connected)

    def _abandon(self, transaction: Transaction) -> None:
        """Reset a transaction: on a silent path a FIN would be repeated, and would hold the port, for long."""
        transaction.ended = monotonic()
        del self._under_way[transaction]
        self._forget(transaction.descriptor)
        reset_at_close(transaction.descriptor)
        transaction.sock.close()

    def _refused_at_once(self, error: int) -> None:
        if error == errno.EADDRNOTAVAIL or error in reasons.NO_MEMORY:
            self._lacking(error)
        else:
            self._failed[reasons.reason_of(error)] += 1

    def _lacking(self, error: int | None) -> None:
        """Count a transaction that this host had no room for."""
        if error == errno.EADDRNOTAVAIL:
            self._failed[OUT_OF_PORTS] += 1
            self._at_once = 1
            self._shortages.begin(shortages.PORTS)
        elif error in reasons.NO_DESCRIPTORS:
            self._failed[OUT_OF_DESCRIPTORS] += 1
            self._shortages.begin(shortages.DESCRIPTORS)
        else:
            self._failed[OUT_OF_MEMORY] += 1
            self._shortages.begin(shortages.MEMORY)

    def _any_overdue(self) -> bool:
        """Return whether the oldest transaction under way takes too long."""
        oldest = next(iter(self._under_way), None)
        return oldest is not None and oldest.begun <= self.reactor.now - self._timeout

    def _give_up(self) -> Job:
        """Fail every transaction that takes too long, in slices."""
        try:
            while self._any_overdue():
                for _ in range(_GIVEN_UP_AT_ONCE):
                    if self._any_overdue():
                        self.fail(next(iter(self._under_way)), reasons.TIMEOUT)
                yield
        finally:
            self._giving_up = False

    def _give_all_up(self) -> Job:
        """Give up all that is under way, in slices, for somebody wants it."""
        while self._under_way:
            for transaction in list(islice(self._under_way, _GIVEN_UP_AT_ONCE)):
                self._stopped += 1
                self._abandon(transaction)
            yield

    def _count(self) -> None:
        """Count what was kept since the last time."""
        kept = self._kept
        heard = [transaction for transaction in kept if transaction.heard]
        self._completed += len(kept)
        self._empty += len(kept) - len(heard)
        self._connect.corrected.record_many([item.connected - item.due for item in kept])
        self._connect.raw.record_many([item.connected - item.begun for item in kept])
        self._first_byte.corrected.record_many([item.heard - item.due for item in heard])
        self._first_byte.raw.record_many([item.heard - item.begun for item in heard])
        self._whole.corrected.record_many([item.ended - item.due for item in kept])
        self._whole.raw.record_many([item.ended - item.begun for item in kept])
        self._late_histogram.record_many(self._late)
        self._late.clear()
        kept.clear()

    def _end(self) -> None:
        self._timer.close()
        lacking = self._failed[OUT_OF_PORTS]
        self._tally = self._counted(closing_sessions().time_wait if lacking else None)
        self.done.set_result(None)

    def _counted(self, waiting: int | None) -> Tally:
        self._count()
        now = monotonic()
        elapsed = now - self._begun_at
        seconds = max(min(now, self._ends), self._last_at) - self._begun_at
        return Tally(
            number=self._number,
            asked=self._rate,
            seconds=seconds,
            due=self._due,
            begun=self._begun,
            completed=self._completed,
            empty=self._empty,
            failed=dict(self._failed),
            under_way=len(self._under_way),
            unbegun=self._unbegun,
            stopped=self._stopped,
            sent=self.sent,
            received=self.received,
            busy=(process_time() - self._cpu_before) / elapsed if elapsed else 0.0,
            late=self._late_histogram,
            connect=self._connect,
            first_byte=self._first_byte,
            whole=self._whole,
            time_wait=waiting,
        )
