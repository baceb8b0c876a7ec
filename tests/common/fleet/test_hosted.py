"""Tests of what an actor of a fleet does, without Ray."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.fleet.hosted import LIMITS, Answer, Hosted
from common.workers.serving import Birth, Logged
from responder.settings import Settings

pytestmark = pytest.mark.usefixtures("run")

numbers = count(1)

FREE = Endpoint("127.0.0.1", 0, 0)


@asynccontextmanager
async def hosted() -> AsyncIterator[Hosted]:
    """Give an actor with a responder's engine."""
    actor = Hosted("responder.worker", "NODE", None)
    assert await actor.begin(Birth(Settings(), logging.INFO)) is None
    try:
        yield actor
    finally:
        await actor.end()


async def call(actor: Hosted, method: str, *arguments: object, reading: bool = False) -> Answer:
    return await actor.call(next(numbers), method, arguments, {}, reading)


async def test_a_call_is_answered_and_says_how_the_engine_is() -> None:
    """What changes something tells the figures after it; what only reads does not."""
    async with hosted() as actor:
        answer = await call(actor, "add_listeners", FREE)
        ((host, port),) = answer.result
        assert (answer.failed, host) == (False, "127.0.0.1")
        assert answer.told
        assert answer.told.state.snapshot.listeners == 1
        answer = await call(actor, "snapshot", reading=True)
        assert (answer.result.listeners, answer.told) == (1, None)
        answer = await call(actor, "listen_where_possible", "echo", [], False)
        assert answer.result == {}
        await call(actor, "close_listeners", [Address(host, port)])
        assert (await call(actor, "snapshot")).result.listeners == 0
        assert [limit.name for limit in (await call(actor, LIMITS, 10)).result]


async def test_what_is_refused_and_what_fails_is_an_answer_too() -> None:
    """A refusal is handed on as it is, a bug as an error of its own."""
    async with hosted() as actor:
        answer = await call(actor, "remove_listeners", FREE)
        assert answer.failed
        assert isinstance(answer.result, UsageError)
        answer = await call(actor, "no_such_method")
        assert answer.failed
        assert isinstance(answer.result, RuntimeError)


async def test_a_call_is_cancelled_by_its_number() -> None:
    """What waits for long ends when the one who called no longer waits for it."""
    async with hosted() as actor:
        waiting = asyncio.create_task(actor.call(0, "wait_clients", (1,), {}, True))
        while not actor.under_way:  # noqa: ASYNC110 - one turn is enough
            await asyncio.sleep(0)
        await actor.cancel(0)
        assert (await waiting).failed
        assert not actor.under_way
        await actor.cancel(0)


async def test_what_is_logged_is_news_once() -> None:
    """Lines come with their numbers, so that several may ask."""
    async with hosted() as actor:
        asking = [asyncio.create_task(actor.news(0)) for _ in range(2)]
        await asyncio.sleep(0)
        logging.getLogger("sessioner.responder").warning("one of %d", 2)
        for news in await asyncio.gather(*asking):
            assert news.lines == [Logged("sessioner.responder", logging.WARNING, "one of 2")]
            assert news.last == 1
        assert (await actor.news(0)).last == 1
        news = await actor.news(None)
        assert (news.lines, news.last, news.told.state.snapshot.held) == ([], 1, 0)
        assert news.told.processors >= 1


async def test_an_engine_that_cannot_be_made_says_why() -> None:
    """The reason is an answer, not an error."""
    from initiator.settings import Settings as InitiatorSettings

    actor = Hosted("initiator.worker", "NODE", None)
    settings = InitiatorSettings(seed=1, source_ips=("192.0.2.1",))
    try:
        assert await actor.begin(Birth(settings, logging.INFO)) == "it has none of the source addresses: 192.0.2.1"
    finally:
        actor.forget_log()
