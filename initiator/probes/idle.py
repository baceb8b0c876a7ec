"""The search for how long the path remembers an idle session: groups silent for growing times, side by side."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from socket import SO_KEEPALIVE, SOL_SOCKET
from time import monotonic
from typing import Final

from common.keepalive import Keepalive
from common.sockets import Option, keepalive_options
from initiator.probes.figures import FIND, IdleFigures, IdleSettings, KeepaliveFigures, Progress
from initiator.probes.idleness import Spoken, idle_times, is_forgotten, keepalive_times, memory
from initiator.probes.own import OwnSession, OwnSessions, State

# Sessions of a group: one alone may be lost for another reason.
_GROUP: Final = 3

# Groups that must be forgotten before the longer times need not be waited for.
_ENOUGH: Final = 3

# Seconds that an echo is waited for at least, and how many times as long as the slowest of the first ones took.
_PATIENCE: Final = 1.0
_TIMES_SLOWEST: Final = 5.0

# Probes without an answer before the kernel gives a session up: its own default (tcp(7), tcp_keepalive_probes).
_PROBES: Final = 9

_SILENT: Final[Sequence[Option]] = ((SOL_SOCKET, SO_KEEPALIVE, 0),)


class FindIdle:
    """One search."""

    name = FIND

    def __init__(self, own: OwnSessions, settings: IdleSettings) -> None:
        self._own = own
        self._settings = settings
        self._groups: list[tuple[float, list[OwnSession]]] = []
        self._kept: dict[int, list[OwnSession]] = {}
        self._spoken: list[list[Spoken]] = []
        self._keepalive: list[KeepaliveFigures] = []
        self._failures: Counter[str] = Counter()
        self._sessions = 0
        self._begun = monotonic()
        self._until = self._begun + settings.up_to
        self._seconds = 0.0
        self._done = False
        self._trying = "opening"

    async def run(self) -> None:
        """Open all groups, speak on each after its time, and on those with keepalive at the end."""
        try:
            await self._open(idle_times(self._settings.up_to))
            await self._speak_in_turn()
            if memory(self._spoken).forgotten is not None:
                await self._speak_on_kept()
            self._done = True
        finally:
            self._seconds = monotonic() - self._begun
            await self._own.close(reset=True)

    def progress(self) -> Progress:
        """Return what is tried now."""
        return Progress(self.name, self._trying, self._until - monotonic())

    async def figures(self, running: bool) -> IdleFigures:
        """Return what is known so far."""
        return IdleFigures(
            settings=self._settings,
            running=running,
            done=self._done,
            seconds=self._seconds or monotonic() - self._begun,
            sessions=self._sessions,
            failures=dict(self._failures),
            groups=len(self._spoken),
            memory=memory(self._spoken),
            keepalive=list(self._keepalive),
        )

    async def _open(self, times: Sequence[float]) -> None:
        """Open the sessions of all groups, and have each confirmed by an echo: from then on it is silent.

        A group of which none could be had is left out, whether it was to be silent or to be kept alive.
        """
        own = self._own
        silent = await own.establish(len(times) * _GROUP, options=_SILENT)
        for idle in keepalive_times(self._settings.up_to):
            self._kept[idle] = await own.establish(_GROUP, options=_keepalive(idle))
        everything = [*silent, *(session for group in self._kept.values() for session in group)]
        await own.ask(everything, _message)
        self._failures.update(session.failure for session in everything if session.failure)
        groups = [(idle, _ready(silent[at :: len(times)])) for at, idle in enumerate(times)]
        self._groups = [(idle, ready) for idle, ready in groups if ready]
        self._kept = {idle: ready for idle, group in self._kept.items() if (ready := _ready(group))}
        self._sessions = len(own.open)
        own.patience = min(own.patience, max(_PATIENCE, _TIMES_SLOWEST * own.slowest))

    async def _speak_in_turn(self) -> None:
        """Speak on each group when its time has come, until it is known that the path forgets."""
        speaking: set[asyncio.Task[None]] = set()
        begun = monotonic()
        self._until = begun + self._settings.up_to + self._own.patience
        try:
            for idle, group in self._groups:
                self._trying = f"{len(self._groups) - len(self._spoken)} groups still silent, the next for {idle:.1f} s"
                while (left := begun + idle - monotonic()) > 0 and not self._is_known():
                    await _wait(speaking, left)
                if self._is_known():
                    break
                speaking.add(asyncio.create_task(self._speak(group)))
            while speaking and not self._is_known():
                await _wait(speaking, None)
        finally:
            for task in speaking:
                task.cancel()

    async def _speak(self, group: list[OwnSession]) -> None:
        """Say something on a group, and take note of what came of it."""
        begun = monotonic()
        before = [(session, session.since, session.silent) for session in group]
        await self._own.ask(group, _message)
        self._spoken.append([_spoken(session, begun, since, silent) for session, since, silent in before])

    def _is_known(self) -> bool:
        return sum(map(is_forgotten, self._spoken)) >= _ENOUGH

    async def _speak_on_kept(self) -> None:
        """Speak on the sessions with keepalive, which have been idle for longer than the path remembers."""
        self._trying = "sessions with keepalive"
        self._until = monotonic() + self._own.patience
        kept = [session for group in self._kept.values() for session in group]
        silent = {idle: monotonic() - session.silent for idle, group in self._kept.items() for session in group}
        await self._own.ask(kept, _message)
        for idle, group in self._kept.items():
            failures = Counter(session.failure for session in group if session.failure)
            answered = len(group) - failures.total()
            self._keepalive.append(KeepaliveFigures(idle, silent[idle], answered, dict(failures)))


async def _wait(tasks: set["asyncio.Task[None]"], seconds: float | None) -> None:
    """Return when one of the tasks has ended, which is taken out, or after so many seconds."""
    if not tasks:
        await asyncio.sleep(seconds or 0)
        return
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    tasks -= done


def _spoken(session: OwnSession, begun: float, since: float, silent: float) -> Spoken:
    """Return what became of a session that was to be spoken on from `begun` on.

    Before that it had been spoken on at `since`, and had its echo at `silent`: somewhere between these two the path has
    seen its last segment.
    """
    if not session.failure:
        return Spoken(begun - silent, "")
    if session.since == since:
        return Spoken(session.ended - since, session.failure, unasked=True)
    return Spoken(session.since - since, session.failure)


def _keepalive(seconds: int) -> tuple[Option, ...]:
    """Return the options for a probe every so many seconds; without the interval only the first would come then."""
    return tuple(keepalive_options(Keepalive(seconds, seconds, _PROBES)))


def _ready(sessions: Sequence[OwnSession]) -> list[OwnSession]:
    return [session for session in sessions if session.state is State.READY]


def _message(number: int) -> bytes:
    return b"session %06d\n" % number
