"""The workers of a console: begun, called, listened to, and replaced when one ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from socket import SocketType
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar

from common.errors import SessionerError, UsageError
from common.logs import ROOT
from common.workers.calls import GoneError, forget
from common.workers.merge import WorkerFigures
from common.workers.serving import REFRESH, SET_LOG_LEVEL, Birth, Logged, Part, Told

log = logging.getLogger("sessioner.workers")

# Seconds that an answer may take before its worker is left out of it, and without news before it counts as silent.
_ANSWER: Final = 2.0
SILENT: Final = 3.0

# Seconds between an end that came soon after the begin, or a begin that failed, and the replacement.
_PAUSE: Final = 1.0

# Seconds within which a warning that several workers give is shown once.
_ALIKE: Final = 5.0

# Seconds between two looks at the log's level.
_BEAT: Final = 0.2

S = TypeVar("S", bound=Part)


class Calls(Protocol):
    """What calls a worker; `gone` says that it has ended."""

    gone: bool

    async def call(
        self, method: str, arguments: Sequence[Any], sockets: Sequence[SocketType] = (), *, reading: bool = False
    ) -> Any:
        """Return what a method returns there, or raise what it raises; GoneError when the worker has ended."""

    async def listen(self) -> None:
        """Take what it tells until it has ended."""

    def close(self) -> None:
        """Let it end."""


class Origin(Protocol):
    """Where workers come from; `ended` and `back` are said of one that has ended, and when it is replaced.

    `covers` says that the others do the part of one that has ended until it is replaced, which may take long.
    """

    @property
    def ended(self) -> str:
        """What is said of one that has ended."""

    @property
    def back(self) -> str:
        """What is said of it when it is replaced."""

    @property
    def covers(self) -> bool:
        """Whether the others do its part meanwhile."""

    def name_of(self, number: int) -> str:
        """Return what people know a worker by."""

    async def begin(self, number: int, birth: Birth, told: Callable[[Any], None], /) -> Calls:
        """Begin a worker, and return what calls it; raises SessionerError."""

    async def close(self) -> None:
        """End every worker that has not ended by itself."""


class Member(Generic[S]):
    """A worker as its console sees it: `told` is what it told last, None before that.

    `first` is done when it has told something, `replaced` when another one has taken its place, or all others its part:
    then it is `away`. `kept` are the arguments of the calls that it was given and others will be given as well.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.away = False
        self.told: Told[S] | None = None
        self.heard = self.begun = monotonic()
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replaced = asyncio.Event()
        self.missed = False
        self.kept: dict[tuple[Any, ...], Sequence[Any]] = {}
        self.caller: Calls
        self.listening: asyncio.Task[None]

    def silence(self) -> float:
        """Return for how many seconds nothing has been heard of it."""
        return monotonic() - self.heard


class Pool(Generic[S]):
    """Workers with the numbers from 0 on.

    `settings_of` gives the settings of one by its number. `lost` is told of one that ended unasked; `restore` then
    makes its replacement what it was, while nothing else is changed: whoever changes something holds `changing`.
    `cover` lets the others do the part of those that are away. `on_told` is called whenever one has told how it is.
    """

    def __init__(
        self,
        origin: Origin,
        settings_of: Callable[[int], Any],
        lost: Callable[[Member[S]], None],
        restore: Callable[[Member[S]], Awaitable[None]],
        cover: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.members: list[Member[S]] = []
        self.changing = asyncio.Lock()
        self.replaced = 0
        self.on_told: Callable[[Member[S]], None] = lambda _member: None
        self._origin = origin
        self._settings_of = settings_of
        self._lost = lost
        self._restore = restore
        self._cover = cover
        self._changes = 0
        self._closing = False
        self._replacing: set[asyncio.Task[None]] = set()
        self._warned: dict[str, float] = {}
        self._beating = asyncio.create_task(self._beat())

    async def grow(self, count: int) -> list[Member[S]]:
        """Begin workers until there are so many; return the new ones. Raises SessionerError, and begins none then."""
        begun = await self.begin(count)
        self.add(begun)
        return begun

    async def begin(self, count: int) -> list[Member[S]]:
        """Begin what lacks of so many workers, which are to be added; nothing else may begin some meanwhile.

        Raises SessionerError, and begins none then.
        """
        begun: list[Member[S]] = []

        async def begin(number: int) -> None:
            begun.append(await self._begin(number))

        try:
            numbers = range(len(self.members), count)
            for failure in await asyncio.gather(*map(begin, numbers), return_exceptions=True):
                if failure:
                    raise failure
            begun.sort(key=lambda member: member.number)
            await asyncio.gather(*(member.first for member in begun))
        except BaseException:
            for member in begun:
                member.first.cancel()
                member.caller.close()
            raise
        return begun

    def add(self, begun: Sequence[Member[S]]) -> None:
        """Take in workers that were begun."""
        self.members += begun
        for member in begun:
            self._end_if_gone(member)

    def present(self) -> list[Member[S]]:
        """Return those that are not away."""
        return [member for member in self.members if not member.away]

    async def call(
        self,
        member: Member[S],
        method: str,
        *arguments: Any,
        sockets: Sequence[SocketType] = (),
        reading: bool = False,
    ) -> Any:
        """Return what a worker's method returns, None when there is no answer; raises what that raises."""
        (answer,) = await self.each(method, [arguments], [member], [sockets], reading=reading)
        return answer[0] if answer else None

    async def each(
        self,
        method: str,
        arguments: Sequence[Sequence[Any]],
        members: Sequence[Member[S]] | None = None,
        sockets: Sequence[Sequence[SocketType]] | None = None,
        *,
        reading: bool = False,
    ) -> list[list[Any]]:
        """Call a method of every worker, or of some, each with its own arguments.

        Return a list for each, with its answer, or empty where there is none: a worker that has ended, that does not
        answer in time, or that refuses what others do. Raises SessionerError when all refuse, or one fails.
        """
        called = self.members if members is None else members
        answers = await self.outcomes(method, arguments, called, sockets, reading=reading)
        refusals = [answer for answer in answers if isinstance(answer, UsageError)]
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, UsageError):
                raise answer
        found = [answer if isinstance(answer, list) else [] for answer in answers]
        if refusals and not any(found):
            raise refusals[0]
        return found

    async def outcomes(
        self,
        method: str,
        arguments: Sequence[Sequence[Any]],
        members: Sequence[Member[S]],
        sockets: Sequence[Sequence[SocketType]] | None = None,
        *,
        reading: bool = False,
    ) -> list[list[Any] | BaseException]:
        """Call a method of some workers as `each` does; return what each has answered or raised."""
        given = sockets or [()] * len(members)
        calls = zip(members, arguments, given, strict=True)
        return await asyncio.gather(
            *(self._call(member, method, own, passed, reading) for member, own, passed in calls),
            return_exceptions=True,
        )

    async def wait(self, method: str, *arguments: Any) -> None:
        """Return when a method, which may take long, has returned in every worker, replacements included.

        One that is away is passed over: the others do its part.

        Raises UsageError when all refuse.
        """
        refusals: list[UsageError] = []

        async def wait_for(number: int) -> bool:
            while True:
                member = self.members[number]
                try:
                    await member.caller.call(method, arguments)
                except UsageError as error:
                    refusals.append(error)
                    return False
                except GoneError:
                    await member.replaced.wait()
                    if self.members[number] is member:
                        return True
                else:
                    return True

        while True:
            async with self.changing:
                # One that takes the place of another has by now what that one had.
                count, changes = len(self.members), self._changes
            done = await asyncio.gather(*map(wait_for, range(count)))
            if refusals and not any(done):
                raise refusals[0]
            if (count, changes) == (len(self.members), self._changes):
                return

    async def refresh(self) -> None:
        """Let every worker tell how it is now."""
        await self.each(REFRESH, [()] * len(self.members))

    def states(self) -> list[Told[S]]:
        """Return what the workers have told last."""
        return [member.told for member in self.members if member.told]

    def figures(self) -> WorkerFigures:
        """Return how the workers are."""
        silences = {str(member.number + 1): member.silence() for member in self.present()}
        silent = {number: seconds for number, seconds in silences.items() if seconds >= SILENT}
        missing = {member.name: member.silence() for member in self.members if member.away}
        return WorkerFigures(len(self.members), self.replaced, silent, missing)

    async def close(self) -> None:
        """Let every worker close its sessions and end; one that does not is ended."""
        self._closing = True
        tasks = [self._beating, *self._replacing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in self.members:
            member.caller.close()
        await self._origin.close()
        await asyncio.gather(*(member.listening for member in self.members))

    async def _begin(self, number: int) -> Member[S]:
        member: Member[S] = Member(number, self._origin.name_of(number))
        birth = Birth(self._settings_of(number), logging.getLogger(ROOT).level)

        def told(message: Any) -> None:
            if isinstance(message, Logged):
                self._log(message)
                return
            member.told, member.heard, member.missed = message.after(member.told), monotonic(), False
            if not member.first.done():
                member.first.set_result(None)
            self.on_told(member)

        member.caller = await self._origin.begin(number, birth, told)
        member.name = self._origin.name_of(number)
        member.listening = asyncio.create_task(self._listen(member))
        return member

    async def _listen(self, member: Member[S]) -> None:
        await member.caller.listen()
        if not member.first.done():
            member.first.set_exception(SessionerError("a worker ended as soon as it began"))
        self._end_if_gone(member)

    def _end_if_gone(self, member: Member[S]) -> None:
        """Have a worker that has ended replaced, unless it is so already."""
        if self._closing or not member.caller.gone or member not in self.members:
            return
        if member.told is None:
            return
        member.caller.close()
        log.warning("%s %s", member.name, self._origin.ended)
        self._lost(member)
        member.told = None
        task = asyncio.create_task(self._replace(member))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _replace(self, member: Member[S]) -> None:
        if self._origin.covers:
            async with self.changing:
                member.away = True
                self._changes += 1
                if self._cover:
                    await self._attempt(self._cover(), member)
            member.replaced.set()
        if monotonic() - member.begun < _PAUSE:
            await asyncio.sleep(_PAUSE)
        made = await self._begin_at_last(member)
        try:
            async with self.changing:
                self.members[member.number] = made
                await self._attempt(self._restore(made), member)
                self.replaced += 1
                self._changes += 1
        finally:
            if self.members[member.number] is not made:
                made.caller.close()
        member.replaced.set()
        self._end_if_gone(made)
        what = self._origin.back if made.name == member.name else f"takes the place of {member.name}"
        log.log(logging.WARNING if self._origin.covers else logging.INFO, "%s %s", made.name, what)

    async def _attempt(self, work: Awaitable[None], member: Member[S]) -> None:
        try:
            await work
        except SessionerError as error:
            log.warning("%s is not restored as it was: %s", member.name, error)
        except Exception:
            log.exception("This is a bug, and %s is not restored as it was:", member.name)

    async def _begin_at_last(self, member: Member[S]) -> Member[S]:
        told = ""
        while True:
            made = None
            try:
                made = await self._begin(member.number)
                await made.first
            except SessionerError as error:
                if told != str(error):
                    told = str(error)
                    log.warning("%s cannot be replaced yet: %s", member.name, told)
                await asyncio.sleep(_PAUSE)
            except asyncio.CancelledError:
                if made:
                    made.caller.close()
                raise
            except Exception:
                log.exception("This is a bug, and %s is begun again:", member.name)
                await asyncio.sleep(_PAUSE)
            else:
                return made

    async def _call(
        self,
        member: Member[S],
        method: str,
        arguments: Sequence[Any],
        sockets: Sequence[SocketType],
        reading: bool,
    ) -> list[Any]:
        patience = _ANSWER if member.silence() < SILENT else 0.0
        calling = asyncio.ensure_future(member.caller.call(method, arguments, sockets, reading=reading))
        try:
            done, _ = await asyncio.wait((calling,), timeout=patience)
        except asyncio.CancelledError:
            calling.cancel()
            raise
        if not done:
            # What was asked for is done when it goes on; nobody waits for the answer then.
            calling.add_done_callback(forget)
            if not member.missed:
                member.missed = True
                log.warning("%s does not answer; what is asked for, it does when it goes on", member.name)
            return []
        try:
            return [calling.result()]
        except GoneError:
            return []

    def _log(self, line: Logged) -> None:
        """Log what a worker says; a warning that many give, once."""
        now = monotonic()
        if line.level == logging.WARNING:
            alike = now - self._warned.get(line.text, -_ALIKE) < _ALIKE
            self._warned = {text: at for text, at in self._warned.items() if now - at < _ALIKE} | {line.text: now}
            if alike:
                return
        logging.getLogger(line.name).log(line.level, "%s", line.text)

    async def _beat(self) -> None:
        """Let the workers log as much as is shown here."""
        level = logging.getLogger(ROOT).level
        while True:
            await asyncio.sleep(_BEAT)
            if level != (level := logging.getLogger(ROOT).level):
                await self.each(SET_LOG_LEVEL, [(level,)] * len(self.members))
