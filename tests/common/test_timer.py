"""A timer that is a descriptor."""

import asyncio
import errno
import os
from time import monotonic

import pytest

from common.reactor import Reactor
from common.timer import Timer
from tests.support import descriptors

pytestmark = pytest.mark.usefixtures("run")


async def test_it_calls_back_when_the_time_has_come_and_not_before() -> None:
    reactor = Reactor()
    called: asyncio.Queue[float] = asyncio.Queue()
    timer = Timer(reactor, lambda: called.put_nowait(monotonic()))
    for delay in (0.02, 0.0, -5.0, 0.001, 0.0002):
        when = monotonic() + delay
        timer.arm(when)
        assert await called.get() >= when
    assert called.empty()
    timer.close()
    reactor.close()


async def test_armed_again_it_forgets_the_former_time() -> None:
    reactor = Reactor()
    called: asyncio.Queue[float] = asyncio.Queue()
    timer = Timer(reactor, lambda: called.put_nowait(monotonic()))
    begin = monotonic()
    timer.arm(begin + 0.01)
    timer.arm(begin + 0.05)
    assert await called.get() >= begin + 0.05
    assert called.empty()
    timer.close()
    reactor.close()


async def test_one_that_the_kernel_grants_no_watch_for_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit, fs.epoll.max_user_watches, is that of the whole machine: only its error can be had."""

    def refuse(_descriptor: int, _events: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    reactor = Reactor()
    monkeypatch.setattr(reactor, "_register", refuse)
    before = descriptors()
    with pytest.raises(OSError, match="No space left"):
        Timer(reactor, lambda: None)
    assert descriptors() == before
    assert not any(reactor.handlers)
    reactor.close()
