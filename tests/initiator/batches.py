"""A look at what happens within one batch of events."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from common.reactor import EDGE, READ, Reactor

T = TypeVar("T")


class _Look:
    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def ready(self, _events: int) -> None:
        self._look()


@contextmanager
def behind_timers(reactor: Reactor, look: Callable[[], T]) -> Iterator[list[T]]:
    """Give a list that gets what a look finds within a batch, behind the timers that expire in this block."""
    seen: list[T] = []
    descriptor = os.eventfd(0, os.EFD_NONBLOCK)

    def once() -> None:
        seen.append(look())
        reactor.forget(descriptor)
        os.close(descriptor)

    reactor.add(descriptor, _Look(once), READ | EDGE)
    yield seen
    os.eventfd_write(descriptor, 1)
