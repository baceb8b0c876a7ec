"""A timer that is a descriptor: it wakes an epoll to the microsecond, where the loop wakes to the millisecond."""

import ctypes
import os
from collections.abc import Callable
from time import CLOCK_MONOTONIC
from typing import Final

from common.reactor import EDGE, Reactor

# linux/timerfd.h; the values are those of O_NONBLOCK and O_CLOEXEC.
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE: Final = 1

_EXPIRED: Final = 1  # EPOLLIN

# Seconds that no host is up for.
_NEVER: Final = 1e10

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Setting(ctypes.Structure):
    """struct itimerspec: the interval, which stays 0, and the time."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "seconds", "nanoseconds")]


class Timer:
    """Calls back once at a monotonic time; armed again, the former time is forgotten. Raises OSError for none left.

    It is edge-triggered, and arming it clears what it counted, so nobody has to read it: timerfd_create(2).
    """

    def __init__(self, reactor: Reactor, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._reactor = reactor
        self._setting = _Setting()
        self._pointer = ctypes.byref(self._setting)
        self._descriptor = _libc.timerfd_create(CLOCK_MONOTONIC, _FLAGS)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            reactor.add(self._descriptor, self, _EXPIRED | EDGE)
        except OSError:
            os.close(self._descriptor)
            raise

    def arm(self, when: float) -> None:
        """Call back at `when` (monotonic seconds), or at once if that is past, or never for infinite."""
        setting = self._setting
        when = min(when, _NEVER)
        setting.seconds = seconds = int(when)
        setting.nanoseconds = int((when - seconds) * 1e9) or 1  # all zero would disarm it
        _libc.timerfd_settime(self._descriptor, _ABSOLUTE, self._pointer, None)

    def ready(self, _events: int) -> None:
        """Call back."""
        self._callback()

    def close(self) -> None:
        """Never call back again."""
        self._reactor.forget(self._descriptor)
        os.close(self._descriptor)
