"""The rows of a run of queries: one for each that was sent and each answer, written beside the run."""

import asyncio
import contextlib
import logging
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from operator import sub
from struct import Struct
from time import monotonic, monotonic_ns, sleep, time_ns
from typing import Final

from common.errors import UsageError

log = logging.getLogger("sessioner.initiator")

# tcpscaler's columns; `due` is ours.
HEADER: Final = "type,timestamp,connection_id,query_id,poisson_id,poisson_interval_us,rtt_us,due\n"

# Rows that may wait to be written: 25 MB, and a second at a hundred thousand queries a second with their answers.
_MOST: Final = 1 << 18

# Rows made and written at once: a tenth of a millisecond, for which the sender may have to wait for the interpreter.
# Of many that wait it is so large a part, but never more than is made in a millisecond.
_AT_ONCE: Final = 32
_PART: Final = 64
_MOST_AT_ONCE: Final = 256

# Seconds for which the sender is left alone after that, and those between two looks for rows: it wakes nobody.
_REST: Final = 0.001
_PAUSE: Final = 0.02

# Seconds for which, at the end, no row may be taken before the rest is given up.
_PATIENCE: Final = 1.0

# The length of a DNS message and its identifier: RFC 1035, 4.1.1 and 4.2.2. A header has 12 bytes.
_unpack_head: Final = Struct(">HH").unpack_from
_HEAD_SIZE: Final = 4
_SHORTEST: Final = 12

_WRITE: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = _WRITE | os.O_CREAT | os.O_TRUNC
_ADD: Final = _WRITE | os.O_APPEND

_SECOND: Final = 1_000_000_000
_MICROSECONDS: Final = 1_000_000

Times = tuple[float, float]
_Sent = tuple[int, float, Sequence[int], list[float], dict[float, float]]
_Answered = tuple[int, float, dict[int, Times]]


class QueryCsv:
    """Rows in a bounded queue; whoever writes them takes them out of it. What finds no room is counted.

    Times of the run are monotonic seconds, those of the rows seconds since the epoch. `_rows` and `_written` belong to
    whoever writes, all else to the loop's thread. `process` is the number of the arrival process where there are
    several: sessions are numbered in each of them, so answers tell it, too.
    """

    def __init__(self, name: str, process: int | None = None) -> None:
        self._name = name
        self._asker = process or 0
        self._answered = "" if process is None else str(process)
        self._finished = False
        self._failure: str | None = None
        self._told = False
        self._queue: deque[_Sent | _Answered] = deque()
        self._put = 0
        self._written = 0
        self._refused = 0
        self._ending = False
        self._given_up = False
        self._moved = (0, 0.0)
        self._epoch = time_ns() - monotonic_ns()
        self._second = -_SECOND
        self._seconds = ""
        self._last_due = monotonic()
        self._intervals: dict[float, float] = {}

    @property
    def not_written(self) -> int:
        """How many rows found no room, or were still to be written when writing ended."""
        return self._refused + (self._put - self._written if self._finished else 0)

    def begin(self) -> None:
        """Begin to write; raises UsageError."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is queued, and no more."""
        self._ending = True
        self._moved = (self._written, monotonic())

    def beat(self) -> bool:
        """Tell of a failure; return whether all is written, or given up after `finish` because nobody takes it."""
        finished = self._finished  # looked at first: what has failed is told before its end is
        if self._failure and not self._told:
            self._told = True
            log.warning("csv %s ends, the queries go on: %s", self._name, self._failure)
        if self._ending and not finished:
            written, since = self._moved
            if written != self._written:
                self._moved = (self._written, monotonic())
            elif monotonic() - since > _PATIENCE and not self._given_up:
                self._given_up = True
                self._give_up()
            elif monotonic() - since > 2 * _PATIENCE:
                self._finished = True
        return finished

    async def aclose(self) -> None:
        """Tell, at the end of the process, how much was not written; all else is finished."""
        if self.not_written:
            log.warning("csv %s: %d rows were not written", self._name, self.not_written)

    def _give_up(self) -> None:
        """Let whoever writes end."""

    def due(self, dues: list[float], further: bool) -> None:
        """Take note of the queries that are to be sent next: `further` to those before, of which some still wait."""
        if dues:
            intervals = zip(dues, map(sub, dues, [self._last_due, *dues]), strict=False)
            if further:
                self._intervals.update(intervals)
            else:
                self._intervals = dict(intervals)
            self._last_due = dues[-1]

    def sent(self, number: int, identifiers: Sequence[int], dues: list[float], now: float) -> None:
        """Add the queries that were sent together on the session with this number."""
        if self._room(len(identifiers)):
            self._queue.append((number, now, identifiers, dues, self._intervals))

    def heard(self, number: int, pending: Mapping[int, Times], data: bytes | bytearray, size: int, now: float) -> None:
        """Add the answers among the first `size` bytes, each to one of the queries that wait by identifier."""
        found: dict[int, Times] = {}
        at = 0
        while size - at >= _HEAD_SIZE:
            length, identifier = _unpack_head(data, at)
            at += 2 + length
            if at > size:
                break
            if length >= _SHORTEST and identifier in pending:
                found[identifier] = pending[identifier]
        if found and self._room(len(found)):
            self._queue.append((number, now, found))

    def _room(self, count: int) -> bool:
        """Return whether there is room for so many rows, and count them in or out."""
        if self._finished or self._put - self._written > _MOST:
            self._refused += count
            return False
        self._put += count
        return True

    def _chunks(self) -> Iterator[str]:
        """Take out all that is queued, as rows in chunks that suit how many wait."""
        rows = self._rows()
        while chunk := "".join(islice(rows, min(max(_AT_ONCE, len(self._queue) // _PART), _MOST_AT_ONCE))):
            yield chunk

    def _rows(self) -> Iterator[str]:
        """Take out all that is queued, a row each."""
        while self._queue:
            entry = self._queue.popleft()
            if len(entry) == 3:
                number, now, answers = entry
                when = self._time(now)
                for identifier, (due, sent) in answers.items():
                    trip = round((now - sent) * _MICROSECONDS)
                    yield f"A,{when},{number},{identifier},{self._answered},,{trip},{self._time(due)}\n"
            else:
                number, now, identifiers, dues, intervals = entry
                when = self._time(now)
                for identifier, due in zip(identifiers, dues, strict=False):
                    gap = round(intervals[due] * _MICROSECONDS)
                    yield f"Q,{when},{number},{identifier},{self._asker},{gap},,{self._time(due)}\n"

    def _time(self, moment: float) -> str:
        """Return a monotonic time as one since the epoch; most are in the same second as the last, which saves time."""
        rest = int(moment * _SECOND) - self._second
        if not 0 <= rest < _SECOND:
            seconds, rest = divmod(rest + self._second + self._epoch, _SECOND)
            self._second = seconds * _SECOND - self._epoch
            self._seconds = f"{seconds}."
        return f"{self._seconds}{rest:09d}"


class ShownCsv(QueryCsv):
    """Rows handed to a function that shows text, and returns when there is room for more."""

    def __init__(self, show: Callable[[str], Awaitable[None]]) -> None:
        super().__init__("-")
        self._show = show
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to show."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Leave no task."""
        await super().aclose()
        if self._task:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _give_up(self) -> None:
        self._finished = True
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        """The task: show rows until the end, or until that fails."""
        try:
            await self._show(HEADER)
            await self._show_rows()
        except Exception as failure:
            self._failure = _told(failure)
        finally:
            self._finished = True

    async def _show_rows(self) -> None:
        while True:
            ending = self._ending
            for chunk in self._chunks():
                await self._show(chunk)
                self._written += chunk.count("\n")
                await asyncio.sleep(_REST)
            if ending:
                return
            await asyncio.sleep(_PAUSE)


class FileCsv(QueryCsv):
    """Rows written by a thread to a file, or to a pipe that has a reader.

    Where there are several arrival processes, of which this is the one with the number `process`, they are added to the
    file that `begin_rows` has begun.
    """

    def __init__(self, path: str, process: int | None = None) -> None:
        super().__init__(path, process)
        self._alone = process is None
        self._thread = threading.Thread(target=self._run, name="csv", daemon=True)
        self._woken = threading.Event()
        self._descriptor = -1

    def begin(self) -> None:
        """Create the file, and begin to write; raises UsageError."""
        self._descriptor = _open(self._name, _CREATE if self._alone else _ADD)
        self._thread.start()

    def finish(self) -> None:
        """Write what is queued, and close the file."""
        super().finish()
        self._woken.set()

    def _run(self) -> None:
        """The thread: write rows until the end, or until that fails."""
        try:
            if not self._alone or self._write(HEADER.encode()):
                self._written = 0
                self._write_rows()
        except Exception as failure:
            self._failure = _told(failure)
        finally:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._finished = True

    def _write_rows(self) -> None:
        while True:
            ending = self._ending
            for chunk in self._chunks():
                if not self._write(chunk.encode()):
                    return
                sleep(_REST)
            if ending:
                return
            self._woken.wait(_PAUSE)

    def _write(self, data: bytes) -> bool:
        """Write all of it; return False when that was given up. Raises OSError."""
        left = data
        while left and not self._given_up:
            try:
                count = os.write(self._descriptor, left)
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(round(_PAUSE * 1000))
            else:
                self._written += left.count(b"\n", 0, count)
                left = left[count:]
        return not left


def begin_rows(path: str) -> None:
    """Begin a file that several processes add rows to, each a whole write; raises UsageError."""
    descriptor = _open(path, _CREATE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"query: csv {path} is no file, and workers cannot share it; start without --workers")
        os.write(descriptor, HEADER.encode())
    except OSError as failure:
        raise _refused(path, failure) from None
    finally:
        os.close(descriptor)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags, 0o644)
    except OSError as failure:
        raise _refused(path, failure) from None


def _told(failure: Exception) -> str:
    """Return why no more rows are written."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    return f"{type(failure).__name__}: {failure}"


def _refused(path: str, failure: OSError) -> UsageError:
    return UsageError(f"query: csv {path} cannot be written: {failure.strerror}")
