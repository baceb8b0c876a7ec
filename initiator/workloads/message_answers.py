"""The answers to the messages of a run: which have come and when, and which are wrong."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from initiator.latencies import Latency
from initiator.workloads.frames import Checker, Verdict
from initiator.workloads.markers import Marker, find_markers

if TYPE_CHECKING:
    from initiator.workloads.send import SendSettings
    from initiator.workloads.send_stream import SendStream

# Messages of one session that may wait for an answer, the latest ones by number where they have one; older ones are
# given up.
_MOST_PENDING: Final = 65_536

# Times kept before they are counted in the histograms, which is cheaper for many at once.
_KEPT: Final = 1024

# Sightings of wrong echoes that are told of, and bytes shown around what a run was stopped on.
_TOLD: Final = 10
_AROUND: Final = 64


class Answers:
    """What is heard on the sessions of a run, by message; `stop` is called once when the run is to be stopped on it.

    `lost` are messages whose session has ended before the answer, `unanswered` those given up, `wrong` those whose echo
    is, by what is wrong with it: each message that waited is in one of them at most. `unexpected` is all else that was
    heard. The first echoes that are wrong or unexpected are `told`.
    """

    def __init__(self, settings: "SendSettings", latency: Latency, stop: Callable[[], None]) -> None:
        self.awaited = bool(settings.marker or settings.check)
        self.answered = self.lost = self.unanswered = self.unexpected = 0
        self.wrong = dict.fromkeys(("foreign", "altered", "missing", "repeated"), 0)
        self.told: list[str] = []
        self.stopped_on = ""
        self._waited = self._spoilt = 0
        self._marker = Marker(settings.marker) if settings.marker else None
        self._run = settings.seed & 0xFFFFFFFF
        self._check = settings.check
        self._checked: dict[int, SendStream] = {}
        self._stop_on = settings.stop_on
        self._stop = stop
        self._latency = latency
        self._corrected: list[float] = []
        self._raw: list[float] = []

    @property
    def outstanding(self) -> int:
        """How many messages of all sessions wait for an answer."""
        return self._waited - self.answered - self.lost - self.unanswered - self._spoilt

    def give_up(self) -> None:
        """Wait for nothing any more."""
        self.unanswered += self.outstanding

    def join(self, stream: "SendStream") -> None:
        """Look for answers on a session from its first message on."""
        if self._marker:
            stream.pattern = self._marker.pattern(stream.uid)
            if self._marker.numbered:
                stream.numbered = {}
            else:
                stream.waiting = deque()
        if self._check:
            stream.checker = Checker(self._run, stream.uid, self._check)
            stream.numbered = {}
            self._checked[stream.uid] = stream

    def left(self, stream: "SendStream") -> None:
        """Wait no more for the answers on a session that has ended."""
        self.lost += stream.pending()
        self._checked.pop(stream.uid, None)

    def wait(self, stream: "SendStream", dues: list[float], sent: float) -> None:
        """Wait for the answers to the last messages of a session, where there are to be any."""
        waiting, numbered = stream.waiting, stream.numbered
        if waiting is None and numbered is None:
            return
        self._waited += len(dues)
        if waiting is not None:
            waiting.extend([(due, sent) for due in dues])
            while len(waiting) > _MOST_PENDING:
                waiting.popleft()
                self.unanswered += 1
        elif numbered is not None:
            for number, due in enumerate(dues, stream.number - len(dues)):
                numbered[number] = (due, sent)
                if numbered.pop(number - _MOST_PENDING, None):
                    self.unanswered += 1

    def heard(self, stream: "SendStream", data: bytes, now: float) -> None:
        """Look for answers in what a session hears."""
        if self._stop_on:
            self._look_for_stop(stream, data)
        if stream.checker:
            self._verify(stream, stream.checker, data, now)
        elif stream.pattern is not None and self._marker:
            data = stream.tail + data
            numbers, end = find_markers(stream.pattern, data)
            if self._marker.numbered:
                for number in numbers:
                    self._answer(stream, number, now)
            else:
                self._answer_next(stream, len(numbers), now)
            stream.tail = data[max(end, len(data) - self._marker.longest) :]
        if len(self._raw) > _KEPT:
            self.count()

    def count(self) -> None:
        """Count what was kept."""
        corrected, self._corrected = self._corrected, []
        raw, self._raw = self._raw, []
        self._latency.corrected.record_many(corrected)
        self._latency.raw.record_many(raw)

    def _look_for_stop(self, stream: "SendStream", data: bytes) -> None:
        stop_on = self._stop_on
        seen = stream.tail_stop + data
        at = seen.find(stop_on)
        if at >= 0 and not self.stopped_on:
            around = seen[max(0, at - _AROUND) : at + len(stop_on) + _AROUND]
            self.stopped_on = f"{stream.session} heard {around!r}"
            self._stop()
        stream.tail_stop = seen[max(0, len(seen) - len(stop_on) + 1) :]

    def _answer_next(self, stream: "SendStream", count: int, now: float) -> None:
        """Take so many answers to the messages that have waited for the longest."""
        skipped = min(stream.skip, count)
        stream.skip -= skipped
        count -= skipped
        waiting = stream.waiting
        found = [waiting.popleft() for _ in range(min(count, len(waiting)))] if waiting else []
        self.unexpected += count - len(found)
        self.answered += len(found)
        self._corrected += [now - due for due, _ in found]
        self._raw += [now - sent for _, sent in found]

    def _answer(self, stream: "SendStream", number: int, now: float) -> None:
        """Take the answer to the message with this number."""
        if stream.skip:
            stream.skip -= 1
            return
        found = stream.numbered.pop(number, None) if stream.numbered else None
        if found is None:
            self.unexpected += 1
            return
        due, sent = found
        self._corrected.append(now - due)
        self._raw.append(now - sent)
        self.answered += 1

    def _verify(self, stream: "SendStream", checker: Checker, data: bytes, now: float) -> None:
        for verdict in checker.heard(data, stream.number - 1):
            if verdict.kind == "echoed":
                self._answer(stream, verdict.number, now)
                continue
            self._count_wrong(stream, verdict)
            if len(self.told) < _TOLD:
                self.told.append(f"{stream.session} (session {stream.uid}): {verdict.text}")

    def _count_wrong(self, stream: "SendStream", verdict: Verdict) -> None:
        """Count a failure for each message that waited and does so no more, and what is none as unexpected."""
        kind = verdict.kind
        if kind == "unexpected":
            failed = 0
        elif kind == "repeated":
            # Not more often than there were good answers, to which these failures belong.
            failed = int(self.wrong[kind] < self.answered)
        else:
            whose = self._checked.get(verdict.session) if kind == "foreign" else stream
            failed = _take_out(whose, verdict) if whose else 0
            self._spoilt += failed
        if failed:
            self.wrong[kind] += failed
        elif kind != "missing":
            self.unexpected += 1


def _take_out(stream: "SendStream", verdict: Verdict) -> int:
    """Have a session wait no more for the messages of a verdict; return how many waited."""
    numbered = stream.numbered or {}
    numbers = range(verdict.number, verdict.number + verdict.how_many)[-_MOST_PENDING:]
    return sum(numbered.pop(number, None) is not None for number in numbers)
