"""What runs behind the prompt, by name: told when it ends, stopped, waited for."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from common.errors import SessionerError, UsageError
from common.shell import Shell
from common.standard import in_time
from initiator.load_render import run_text
from initiator.reports.history import FinishedRun, Table
from initiator.snapshot import Snapshot

log = logging.getLogger("sessioner.initiator")

# Finished runs that a report tells of, the latest ones.
_FINISHED: Final = 100

_STOP: Final = "stop"

# What goes over the held sessions, one at a time.
_OVER_HELD: Final = ("query", "send")

# Seconds for which nothing is said to whoever typed a line that waits, and what is said then.
_SOON: Final = 0.2
_AWAITED: Final = "Waiting for the last answers of the `{}` before this one; Ctrl-C waits no more, and begins nothing\n"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a run: all its figures, a dataclass or None, the lines that tell of it, what a report shows."""

    figures: object
    lines: list[str]
    table: Table


def outcome_of(figures: T | None, text: Callable[[T], Iterable[str]], table: Callable[[T], Table]) -> Outcome:
    """Return figures with what is said and shown of them, which is nothing where there are none."""
    if figures is None:
        return Outcome(None, [], Table([]))
    return Outcome(figures, list(text(figures)), table(figures))


@dataclass(frozen=True, slots=True)
class Run:
    """One of them, with what repeats it in one line.

    `ended` returns when it is over; it may raise SessionerError, which is told as the error of a command is. `outcome`
    gives what is known of it by now, `stop` ends it sooner.
    """

    name: str
    settings: str
    ended: Callable[[], Coroutine[Any, Any, None]]
    outcome: Callable[[], Awaitable[Outcome]]
    stop: Callable[[], Awaitable[None]]


class Runs:
    """Those that run now, at most one of each name; `settings` are how the one of each was set that began last."""

    def __init__(self, shell: Shell) -> None:
        self.finished: deque[FinishedRun] = deque(maxlen=_FINISHED)
        self.settings: dict[str, str] = {}
        self._shell = shell
        self._begun: set[str] = set()
        self._stopping: set[str] = set()
        self._tasks: dict[str, tuple[Run, asyncio.Task[None]]] = {}

    def begin(self, run: Run) -> None:
        """Tell what is known of a run when it has ended."""
        self._begun.add(run.name)
        self.settings[run.name] = run.settings
        self._stopping.discard(run.name)
        self._tasks[run.name] = run, asyncio.create_task(self._follow(run))

    async def refuse(self, name: str, *alike: str) -> None:
        """Raise UsageError when one of these names runs, or is not told yet; one that is stopped is waited for.

        To be called before another begins, whose figures would be told for those of the one before.
        """
        for other in (name, *alike):
            if other in self._stopping and other in self._tasks:
                await _end(self._tasks[other][1])
            if other in self._tasks:
                what = other if alike else "one"
                raise UsageError(f"{name}: {what} runs already; `stop {other}` ends it")

    async def stop(self, name: str | None, typed: str = _STOP) -> None:
        """End one, or the only one there is; raises UsageError, which begins with what was typed.

        Return when it is told, which may take as long as answers do, for lines behind may be about its figures; at once
        where it was typed, and none are behind.
        """
        run, task = self._find(name, typed)
        await run.stop()
        if self._shell.typed and not self._shell.further_line.is_set():
            self._stopping.add(run.name)
        else:
            await _end(task)

    async def settle(self, now: Snapshot) -> None:
        """Return when what went over the held sessions, and is stopped or sends no more by these figures, is told.

        The next hides it. Whoever typed is told what is waited for, unless it is over soon.
        """
        ended = not any(figures and figures.sending for figures in (now.query, now.send))
        for name in _OVER_HELD:
            if name in self._tasks and (ended or name in self._stopping):
                _, task = self._tasks[name]
                done, _ = await asyncio.wait([task], timeout=_SOON)
                if not done and self._shell.typed:
                    await self._shell.sink.show(_AWAITED.format(name))
                await _end(task)

    async def wait(self, name: str, timeout: float | None) -> None:
        """Return when one has ended and is told; raises NotMetError, and UsageError when none has ever begun."""
        if name not in self._begun:
            raise UsageError(f"wait: no {name} has begun yet")
        if name in self._tasks:
            _, task = self._tasks[name]
            await in_time(_end(task), timeout, self._still_running)

    async def close(self) -> None:
        """Show what is known of all that still run, at the end."""
        for run, task in list(self._tasks.values()):
            task.cancel()
            await asyncio.wait((task,))
            try:
                await self._shell.sink.show(_told(run, await run.outcome()))
            except SessionerError:
                pass  # What has ended before us cannot tell any more.
            except Exception:
                log.exception("This is a bug, and nothing is told of what ran:")

    async def _still_running(self) -> str:
        return f"{' and '.join(self._tasks)} still running"

    async def _follow(self, run: Run) -> None:
        failures: list[Exception] = []
        try:
            try:
                await run.ended()
            except Exception as error:
                failures.append(error)
            try:
                outcome = await run.outcome()
            except Exception as error:
                failures.append(error)
            else:
                self.finished.append(FinishedRun(run.name, run.settings, outcome.table, outcome.figures))
                self._shell.sink.note(_told(run, outcome))
            if failures:
                self._shell.note_failure(failures[0])
        finally:
            if self._tasks[run.name][0] is run:
                del self._tasks[run.name]

    def _find(self, name: str | None, typed: str) -> tuple[Run, asyncio.Task[None]]:
        if not self._tasks:
            raise UsageError(f"{typed}: nothing runs that could be stopped")
        if name is None and len(self._tasks) == 1:
            name = next(iter(self._tasks))
        if name not in self._tasks:
            raise UsageError(f"{typed}: what runs is {' and '.join(self._tasks)}; `stop NAME` ends one")
        return self._tasks[name]


async def _end(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


def _told(run: Run, outcome: Outcome) -> str:
    return "".join(f"{line}\n" for line in run_text(run.name, run.settings, outcome.lines))
