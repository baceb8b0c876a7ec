"""Fixtures of all tests: both loops, leaks that fail a test, free ports, skips that count as failures."""

import asyncio
import gc
import logging
import os
import random
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import uvloop

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

# Below every ephemeral port, so that no test's own session takes one between the check and the use.
_PORTS = range(20_000, 32_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failed run")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped that this machine should run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fail a test that leaves a descriptor open or the logger changed."""
    before = _descriptors()
    yield
    gc.collect()
    left = _descriptors() - before
    assert not left, f"descriptors left open: {sorted(left)}"
    assert not logging.getLogger("sessioner").handlers


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run a coroutine on a loop of each kind; a task left behind or an unhandled error of the loop fails the test."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_one(coroutine: Coroutine[Any, Any, T]) -> T:
        unhandled: list[dict[str, Any]] = []

        async def watched() -> T:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
            result = await coroutine
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left: {left}"
            return result

        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(watched())
        assert not unhandled
        return result

    return run_one


@pytest.fixture
def free_ports() -> Callable[[int], int]:
    """Return a function that returns the first of so many neighbouring ports that are free on every address."""
    return find_free_ports


def find_free_ports(count: int) -> int:
    """Return the first of so many neighbouring free ports."""
    for _ in range(100):
        first = random.randrange(_PORTS.start, _PORTS.stop - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError(f"no {count} neighbouring ports are free")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::", port))
        except OSError:
            return False
    return True


def _descriptors() -> set[str]:
    """Return what the process has open, without what is gone by the time it is looked at."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found
