"""The methods of an engine as methods of all its workers: a row for each says how it is divided, and merged.

`every` is for what is done at once, `until_all` for what takes as long as it takes, `begins` and `ends` for a run that
goes on behind the prompt. The name and the arguments are those of the engine's method.
"""

import inspect
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from common.dump import Dump
from common.errors import SessionerError
from common.workers.division import portions
from common.workers.pool import Member, Pool

log = logging.getLogger("sessioner.workers")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# (number of the worker, count of workers, *arguments for all) -> the arguments for this one.
Divide = Callable[..., Sequence[Any]]

# (settings, seconds since the begin) -> the settings of what is left, None for nothing.
Left = Callable[[T, float], T | None]


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """What goes on behind the prompt: what was asked for, and what is done since when (monotonic seconds)."""

    asked: T
    settings: T
    begun: float
    method: str
    divide: "Callable[[Any, int, int, T], T]"
    left: Left[T]
    stopped: bool = False


class Divided:
    """What has workers: the calls that one which begins later is to have as well, and the runs it takes part in."""

    pool: Pool[Any]

    def __init__(self) -> None:
        self.runs: dict[str, Run[Any]] = {}
        self._kept: dict[tuple[Any, ...], tuple[str, Divide, Sequence[Any]]] = {}

    async def ask(
        self,
        method: str,
        divide: Divide,
        arguments: Sequence[Any],
        *,
        keep: bool = False,
        reading: bool = False,
        needed: bool = False,
    ) -> list[Any]:
        """Call a method of every worker; return the answers of those that answer. Raises SessionerError.

        Where none answers that is an error if an answer is `needed`, or all are away; else it is said.
        """
        members = self.pool.present()
        parts = [divide(number, len(members), *arguments) for number in range(len(members))]
        found = await self.pool.each(method, parts, members, reading=reading)
        answers = [answer for each in found for answer in each]
        if not answers and (reading or needed or not members):
            raise SessionerError("no worker answers; `status` shows how they are")
        if not answers:
            log.warning("No worker answers; what is asked for, they do when they go on")
        if keep:
            key = self.keep(method, divide, arguments)
            for member, part in zip(members, parts, strict=True):
                member.kept[key] = part
        return answers

    def keep(self, method: str, divide: Divide, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Have a call made to workers that begin later as well, instead of the one before it; return what it is by."""
        key = (method, *arguments[1:])
        self._kept.pop(key, None)
        self._kept[key] = method, divide, arguments
        return key

    def kept(self, method: str, otherwise: Any) -> Any:
        """Return the only argument of a call that is kept, or else what is given."""
        _, _, (argument,) = self._kept.get((method,), (method, same, (otherwise,)))
        return argument

    async def repeat(self, members: Sequence[Member[Any]]) -> None:
        """Make the calls that are kept to some workers: to each those whose part it has not had yet."""
        present = self.pool.present()
        for key, (method, divide, arguments) in self._kept.items():
            parts = {member: divide(present.index(member), len(present), *arguments) for member in members}
            due = [member for member, part in parts.items() if member.kept.get(key) != part]
            for member in due:
                member.kept[key] = parts[member]
            await self.pool.each(method, [parts[member] for member in due], due)

    async def resume(self, member: Member[Any]) -> None:
        """Let a worker that takes the place of another one do its part of what runs."""
        now, present = monotonic(), self.pool.present()
        for run in self.runs.values():
            left = None if run.stopped else run.left(run.settings, now - run.begun)
            if left is not None:
                await self.pool.call(member, run.method, run.divide(self, present.index(member), len(present), left))

    async def set_dump(self, dump: Dump | None) -> Dump | None:
        """Show traffic as the engine does; that of one session is shown where most of them are."""
        async with self.pool.changing:
            present = self.pool.present()
            held = {member.number: member.told.state.snapshot.held if member.told else 0 for member in present}
            fullest = max(held, key=held.__getitem__, default=0)

            def part(number: int, _count: int) -> Sequence[Any]:
                follows = self.pool.present()[number].number == fullest
                return (dump if dump and (dump.every or follows) else None,)

            before = [found for found in await self.ask("set_dump", part, (), keep=True) if found]
        if before:
            before[0].left_out = sum(each.left_out for each in before)
        return before[0] if before else None

    def forget_run(self, name: str) -> None:
        """Drop the figures that workers which have ended left of earlier runs of a name."""
        raise NotImplementedError


def same(_number: int, _count: int, *arguments: Any) -> Sequence[Any]:
    """Give every worker the arguments that are for all."""
    return arguments


def nothing(_answers: Sequence[Any]) -> None:
    """Return nothing, as the method does."""


def every(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    merge: Callable[[Sequence[R]], R],
    divide: Divide = same,
    *,
    keep: bool = False,
    needed: bool = False,
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method that calls an engine's in every worker, and with `keep` in those to come as well.

    With `needed` it fails where no worker answers.
    """
    name, signature = method.__name__, inspect.signature(method)

    async def call(self: Divided, /, *args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        async with self.pool.changing:
            return merge(await self.ask(name, divide, bound.args[1:], keep=keep, needed=needed))

    return _like(method, call)


def until_all(method: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return a method that returns when an engine's has returned in every worker."""
    name = method.__name__

    async def call(self: Divided, /) -> None:
        await self.pool.wait(name)

    return _like(method, call)


def begins(
    method: Callable[[Any, T], Coroutine[Any, Any, None]],
    stop: Callable[[Any], Coroutine[Any, Any, None]],
    name: str,
    divide: Callable[[Any, int, int, T], T],
    left: Left[T],
) -> Callable[[Any, T], Coroutine[Any, Any, None]]:
    """Return a method that begins a run in every worker, in all of them or in none: it raises what one of them raises.

    `divide` gives the settings of one worker's part, from (the workers, its number, their count, the settings), and
    `left` what is left for one that joins later. `name` is that of the run's figures in a snapshot.
    """
    begin, end = method.__name__, stop.__name__

    async def call(self: Divided, settings: T, /) -> None:
        async with self.pool.changing:
            members = self.pool.present()
            parts = [divide(self, number, len(members), settings) for number in range(len(members))]
            outcomes = await self.pool.outcomes(begin, [(part,) for part in parts], members)
            refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            if refusals:
                # One that does not answer begins when it goes on, and ends then.
                others = [each for each, outcome in zip(members, outcomes, strict=True) if isinstance(outcome, list)]
                await self.pool.outcomes(end, [()] * len(others), others)
                raise refusals[0]
            self.forget_run(name)
            self.runs[name] = Run(settings, settings, monotonic(), begin, divide, left)

    return _like(method, call)


def ends(method: Callable[[Any], Coroutine[Any, Any, None]], name: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return a method that ends a run in every worker."""
    end = method.__name__

    async def call(self: Divided, /) -> None:
        async with self.pool.changing:
            await self.ask(end, same, ())
            if name in self.runs:
                self.runs[name] = replace(self.runs[name], stopped=True)

    return _like(method, call)


def shared(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    merge: Callable[[Sequence[R]], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method that does something to so many sessions, its first argument, and returns what came of it.

    Each worker does its part of those that it holds. Where the first argument is no number, all are asked alike.
    """
    name, signature = method.__name__, inspect.signature(method)

    async def call(self: Divided, /, *args: P.args, **kwargs: P.kwargs) -> R:
        _, what, *rest = signature.bind(self, *args, **kwargs).args
        async with self.pool.changing:
            if not isinstance(what, int):
                return merge(await self.ask(name, same, (what, *rest)))
            await self.pool.refresh()
            parts = portions([told.state.snapshot.held for told in self.pool.states()], what)
            members = [member for member in self.pool.members if member.told]
            answers = await self.pool.each(name, [(part, *rest) for part in parts], members)
        return merge([found for answer in answers for found in answer])

    return _like(method, call)


def first_present(pool: Pool[Any]) -> Member[Any]:
    """Return the first worker that is not away; raises SessionerError when all are."""
    for member in pool.present():
        return member
    raise SessionerError("no worker answers; `status` shows how they are")


def _like(method: Callable[..., Any], call: Callable[P, R]) -> Callable[P, R]:
    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    return call
