"""The methods of an engine as methods of all workers: a row for each says how it is divided, and merged."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from common.errors import SessionerError
from common.shares import share_out
from common.workers.pool import Member, Pool

P = ParamSpec("P")
R = TypeVar("R")

# (number of the worker, count of workers, *arguments for all) -> the arguments for this one.
Divide = Callable[..., Sequence[Any]]


class Divided:
    """What has workers; `kept` are the calls that a worker that begins later is to have as well."""

    pool: Pool[Any]

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[str, Divide, Sequence[Any]]] = {}

    async def ask(self, method: str, divide: Divide, arguments: Sequence[Any], *, keep: bool) -> list[Any]:
        """Call a method of every worker; return the answers of those that answer. Raises SessionerError."""
        count = len(self.pool.members)
        parts = [divide(number, count, *arguments) for number in range(count)]
        answers = [answer for found in await self.pool.each(method, parts) for answer in found]
        if not answers:
            raise SessionerError("no worker answers; `status` shows how they are")
        if keep:
            key = (method, *arguments[1:])
            self._kept.pop(key, None)
            self._kept[key] = method, divide, arguments
        return answers

    async def drop_shared(self, what: object, reset: bool) -> int:
        """End sessions in all workers: a number of them is shared out, and again what some had too few for.

        Return how many. Raises UsageError when all refuse.
        """
        if not isinstance(what, int):
            return sum(await self.ask("drop", same, (what, reset), keep=False))
        members, dropped = list(self.pool.members), 0
        while members and dropped < what:
            parts = [part for part in share_out(what - dropped, len(members)) if part]
            members = members[: len(parts)]
            answers = await self.pool.each("drop", [(part, reset) for part in parts], members)
            counts = [sum(answer) for answer in answers]
            dropped += sum(counts)
            members = [member for member, part, count in zip(members, parts, counts, strict=True) if part == count]
        return dropped

    async def repeat(self, members: Sequence[Member[Any]]) -> None:
        """Make the calls that are kept to some workers."""
        count = len(self.pool.members)
        for method, divide, arguments in self._kept.values():
            parts = [divide(member.number, count, *arguments) for member in members]
            await self.pool.each(method, parts, members)


def same(_number: int, _count: int, *arguments: Any) -> Sequence[Any]:
    """Give every worker the arguments that are for all."""
    return arguments


def nothing(_answers: Sequence[Any]) -> None:
    """Return nothing, as the method does."""


def first(answers: Sequence[R]) -> R:
    """Return one answer, where all are the same."""
    return answers[0]


def every(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    merge: Callable[[Sequence[R]], R],
    divide: Divide = same,
    *,
    keep: bool = False,
    changes: bool = True,
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method of the same form that calls an engine's method in every worker.

    `keep` says that the last call is repeated in workers that begin later, `changes` that no other change goes on
    meanwhile.
    """
    name, signature = method.__name__, inspect.signature(method)

    async def call(self: Divided, /, *args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = bound.args[1:]
        if not changes:
            return merge(await self.ask(name, divide, arguments, keep=keep))
        async with self.pool.changing:
            return merge(await self.ask(name, divide, arguments, keep=keep))

    call.__name__ = name
    call.__doc__ = method.__doc__
    return call
