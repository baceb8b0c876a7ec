"""One epoll for every session, nested in the asyncio loop.

Its descriptor is a reader of the loop. A wake handles what is ready and steps the jobs for a bounded time, then
returns so that the prompt, timers and everything else get their turn; when more is left the loop calls again.
Nothing of a session goes through the loop itself: no task, transport, protocol, timer or closure.
"""

import asyncio
import logging
import select
from collections import deque
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, Final, Protocol

log = logging.getLogger("sessioner")

_BUG: Final = "This is a bug, and the daemon goes on:"

# Seconds a wake may take. A count would not do: one connect takes from 30 µs to 900 µs. A line typed passes a dozen
# turns of the loop until its answer is on the screen, 57 ms at 4 ms each and 17 ms at half a millisecond.
SLICE: Final = 0.0005

# Events taken at once: few, for the time is looked at only between batches.
_BATCH: Final = 16

# Places for descriptors to come that are made at once.
_SPARE: Final = 256

# Handlers visited in one step of a walk: closing as many takes under a millisecond.
_WALK: Final = 64

# Seconds between two beats of the pulse, which expires deadlines and takes samples. A pause of the loop is noticed
# by the lateness of a beat, so to within so much.
BEAT: Final = 0.05

READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = select.EPOLLOUT
EDGE: Final = select.EPOLLET
FAILED: Final = select.EPOLLERR | select.EPOLLHUP

# Yields None, or seconds (float).
Job = Generator[Any, None, None]


class Handler(Protocol):
    """What a descriptor is registered with."""

    def ready(self, events: int) -> None:
        """Handle what epoll reported, without blocking."""


class Reactor:
    """Descriptors and their handlers, jobs done in slices, and the pulse.

    `handlers` is indexed by descriptor. `now` is the monotonic time, taken once for each batch of events or step
    of jobs. A job is a generator that yields after each step of well under a millisecond: None to go on, or the seconds
    until it is to go on.
    """

    def __init__(self) -> None:
        self.handlers: list[Handler | None] = []
        self.now = monotonic()
        self.longest_pause = 0.0
        self._stood_still = 0.0
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._register = self._epoll.register
        self._jobs: deque[Job] = deque()
        self._pausing: set[Job] = set()
        self._again: deque[tuple[Handler, int]] = deque()
        self._soon: asyncio.Handle | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._after_batch: list[Callable[[], None]] = []
        self._on_beat: list[Callable[[], None]] = []
        self._waking = False
        self._loop.add_reader(self._epoll.fileno(), self._wake)
        self._beat_again()

    def add(self, descriptor: int, handler: Handler, events: int) -> None:
        """Call the handler whenever one of `events` (an epoll mask) is reported for the descriptor.

        Raises OSError where the kernel grants no more, and knows nothing of the handler then.
        """
        try:
            self.handlers[descriptor] = handler
        except IndexError:
            self.handlers.extend([None] * (descriptor + _SPARE - len(self.handlers)))
            self.handlers[descriptor] = handler
        try:
            self._register(descriptor, events)
        except OSError:
            self.handlers[descriptor] = None
            raise

    def modify(self, descriptor: int, events: int) -> None:
        """Report these events from now on; those that are pending already are reported again."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Drop the handler of a descriptor that is closed next: the kernel then drops it from the epoll."""
        self.handlers[descriptor] = None

    def again(self, handler: Handler, events: int) -> None:
        """Call a handler that had to leave something undone with the same events, after the others had their turn.

        That is when no full batch of events is waiting, or once in a wake.
        """
        self._again.append((handler, events))
        self._call_soon()

    def start(self, job: Job) -> None:
        """Step a job in the slices to come until it ends."""
        self._jobs.append(job)
        self._call_soon()

    def run(self, job: Job) -> "asyncio.Future[None]":
        """Step a job as `start` does; the future is done when the job has ended, with what it raised.

        A job that is ended by `close` has ended as well. What one raises that nobody awaits any more is logged.
        """
        done: asyncio.Future[None] = self._loop.create_future()

        def tell_end() -> Job:
            try:
                yield
                yield from job
            except Exception as error:
                if done.done():
                    raise
                done.set_exception(error)
            finally:
                if not done.done():
                    done.set_result(None)

        ending = tell_end()
        next(ending)  # one that has not begun would be closed without a word
        self.start(ending)
        return done

    def walk(self, visit: Callable[[Handler], bool | None]) -> Job:
        """Visit every handler, by descriptor, until a visit returns True."""
        at = 0
        while at < len(self.handlers):
            for handler in self.handlers[at : at + _WALK]:
                if handler is not None and visit(handler):
                    return
            at += _WALK
            yield

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, after so many seconds, unless closed by then."""

        def call() -> None:
            if not self._epoll.closed:
                self._call_back([callback])

        self._loop.call_later(seconds, call)

    def after_batch(self, callback: Callable[[], None]) -> None:
        """Call back once, when the batch of events at hand has been handled."""
        self._after_batch.append(callback)

    def on_beat(self, callback: Callable[[], None]) -> None:
        """Call back at every beat of the pulse."""
        self._on_beat.append(callback)

    def noticed_pause(self, seconds: float) -> None:
        """Take note of a time in which nothing else could run."""
        if seconds > self.longest_pause:
            self.longest_pause = seconds

    def watched(self) -> float:
        """Return monotonic seconds that do not count while the loop stands still.

        For what a peer is given time for: an answer that came in such a time lies there unread.
        """
        return min(monotonic(), self._due + BEAT) - self._stood_still

    def close(self) -> None:
        """Stop calling handlers and jobs; the descriptors stay open."""
        self._loop.remove_reader(self._epoll.fileno())
        for handle in (self._soon, self._pulse):
            if handle:
                handle.cancel()
        for job in (*self._jobs, *self._pausing):
            job.close()
        self._jobs.clear()
        self._pausing.clear()
        self._epoll.close()

    def _call_soon(self) -> None:
        if self._soon is None and not self._waking:
            self._soon = self._loop.call_soon(self._wake_again)

    def _wake_again(self) -> None:
        self._soon = None
        self._wake()

    def _wake(self) -> None:
        begin = monotonic()
        end = begin + SLICE
        self._waking = True
        poll = self._epoll.poll
        while True:
            batch = poll(0, _BATCH)
            self.now = monotonic()
            if batch:
                self._dispatch(batch)
            over = monotonic() >= end
            if self._again and (len(batch) < _BATCH or over):
                self._repeat(end)
            if self._jobs:
                self._step()
            elif not batch and not self._again:
                break
            if over or monotonic() >= end:
                break
        self.now = monotonic()
        self.noticed_pause(self.now - begin)
        self._waking = False
        if self._jobs or self._again:
            self._call_soon()

    def _dispatch(self, batch: list[tuple[int, int]]) -> None:
        handlers = self.handlers
        for descriptor, events in batch:
            handler = handlers[descriptor]
            if handler is not None:
                try:
                    handler.ready(events)
                except Exception:
                    log.exception(_BUG)
        if self._after_batch:
            callbacks, self._after_batch = self._after_batch, []
            self._call_back(callbacks)

    def _repeat(self, end: float) -> None:
        """Call those again that have to be, each once, until the time is over."""
        again = self._again
        for _ in range(len(again)):
            handler, events = again.popleft()
            try:
                handler.ready(events)
            except Exception:
                log.exception(_BUG)
            self.now = monotonic()
            if self.now >= end:
                return

    def _step(self) -> None:
        """Step the first job once, and let the next one be first."""
        job = self._jobs[0]
        try:
            pause = next(job)
        except StopIteration:
            self._jobs.popleft()
        except Exception:
            self._jobs.popleft()
            log.exception(_BUG)
        else:
            if pause:
                self._jobs.popleft()
                self._pausing.add(job)
                self.call_later(pause, lambda: self._resume(job))
            else:
                self._jobs.rotate(-1)

    def _resume(self, job: Job) -> None:
        self._pausing.discard(job)
        self.start(job)

    def _beat_again(self) -> None:
        self._due = monotonic() + BEAT
        self._pulse = self._loop.call_later(BEAT, self._beat)

    def _beat(self) -> None:
        self.now = begin = monotonic()
        self.noticed_pause(begin - self._due)
        self._stood_still += max(0.0, begin - self._due - BEAT)
        self._due = begin
        self._call_back(self._on_beat)
        self.noticed_pause(monotonic() - begin)
        self._beat_again()

    def _call_back(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception(_BUG)
