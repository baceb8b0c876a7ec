"""The process that workers are forked from: it has imported their engine, and has no loop and no thread."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from logging import getLogger
from socket import recv_fds, socket
from time import monotonic, sleep
from typing import Final

from common.logs import ROOT
from common.runtime import LOOPS, settle_collector

# Signals that a terminal or a service manager sends to every process of a daemon: the console decides what they mean.
_FOR_THE_CONSOLE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)

# Seconds that the workers have to close their sessions at the end, and between two looks at whether they have.
_PATIENCE: Final = 3.0
_LOOK: Final = 0.01

Live = Callable[[socket, socket], Coroutine[None, None, None]]


def run(live: Live, control: socket, loop: str) -> None:
    """Fork a worker for each pair of descriptors that comes over `control`, until its other end is closed.

    `live` is what a worker does with its ends of the connection and of the socket for descriptors.
    """
    children: set[int] = set()
    cores = len(os.sched_getaffinity(0))

    for number in _FOR_THE_CONSOLE:
        signal.signal(number, signal.SIG_IGN)
    getLogger(ROOT).propagate = False
    settle_collector()
    while True:
        data, descriptors, _, _ = recv_fds(control, 1, 2)
        if not data:
            break
        # Those that have ended; nothing but this makes their numbers free for other processes.
        children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
        child = _fork(live, loop, control, descriptors)
        if child:
            children.add(child)
            if len(children) > cores:
                _work_in_turns(children)
        for descriptor in descriptors:
            os.close(descriptor)
    _end(children)


def _work_in_turns(children: set[int]) -> None:
    """Let workers that are more than the cores finish what they are at before another one that is woken goes on.

    Otherwise each client that arrives at one of many takes the core from another one in the middle of its work, and
    both begin anew with cold caches: 27 workers at each end took 160 us of CPU time a session, and 105 us so. What
    is not a worker, the console above all, interrupts them as before.
    """
    for child in children:
        with suppress(OSError):  # it has ended, or this is not allowed here
            os.sched_setscheduler(child, os.SCHED_BATCH, os.sched_param(0))


def _end(children: set[int]) -> None:
    """Give the workers, whose connections are closed as well, the time to end by themselves, and end the others."""
    last = monotonic() + _PATIENCE
    while children and monotonic() < last:
        children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
        sleep(_LOOK)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _fork(live: Live, loop: str, control: socket, descriptors: list[int]) -> int:
    """Fork a worker; return its process, 0 where the system has no room for one."""
    try:
        child = os.fork()
    except OSError:
        return 0
    if child:
        return child
    code = 1
    try:
        control.close()
        connection, passing = (socket(fileno=descriptor) for descriptor in descriptors)
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(live(connection, passing))
        code = 0
    except BaseException:
        getLogger(ROOT).exception("This is a bug, and the worker ends:")
    finally:
        os._exit(code)


if __name__ == "__main__":
    module, descriptor, loop_name, nice = sys.argv[1:]
    os.setpriority(os.PRIO_PROCESS, 0, int(nice))
    passed = socket(fileno=int(descriptor))
    passed.set_inheritable(False)
    run(import_module(module).WORKER.live, passed, loop_name)
