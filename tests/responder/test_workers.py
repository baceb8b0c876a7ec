"""Tests of the responder's workers on real processes."""

import resource
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from common.addresses import Endpoint
from common.shortages import highest_descriptor
from common.workers.process import Zygote
from responder.settings import Settings
from responder.worker import NEARLY_FULL
from responder.workers import Workers
from tests.support import initiator, until

# Descriptors of a process, ours and so its workers'.
LIMIT = 400


@pytest.fixture
def _few_descriptors() -> Iterator[None]:
    """Let this process, and what it begins, have few descriptors; a daemon raises its own limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("run", "_few_descriptors")
async def test_as_many_as_are_needed_are_begun_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those are filled then, as with a number of them, until there is no room for more clients."""
    monkeypatch.setattr("responder.workers.MOST_WORKERS", 3)
    async with aclosing(Workers(Settings(), None, 1, Zygote("responder.worker", "asyncio"))) as workers:
        await workers.open()
        ((_, port),) = await workers.add_listeners(Endpoint("127.0.0.1", 0, 0))
        with initiator(port, 1, "--exec", f"set {4 * LIMIT}", "--connect-rate", "500"):

            async def all_are_full() -> bool:
                now = await workers.snapshot()
                return now.exhausted == ("descriptors",) and now.held > 3 * NEARLY_FULL * highest_descriptor()

            await until(all_are_full)
            assert len(workers.pool.members) == 3
