"""Fixtures of all tests: both loops, leaks that fail a test, free ports, skips that count as failures."""

import asyncio
import gc
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import uvloop
from hypothesis import settings

from common.logs import TextHandler
from tests.ports import find_free_ports
from tests.tls import Certificates, make_certificates

T = TypeVar("T")

# A busy machine may take long over an example: how long is no matter of a test.
settings.register_profile("sessioner", deadline=None)
settings.load_profile("sessioner")
Run = Callable[[Coroutine[Any, Any, T]], T]

# Seconds that a test on a loop may take on a busy machine.
_PATIENCE = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failed run")


def pytest_collection_finish() -> None:
    """Make what is made once and kept, and leave that and what was imported out of every test's collection."""
    uvloop.new_event_loop().close()
    find_free_ports(1)
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped that this machine should run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class _Keeper(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine, in bounded time, by the `run` fixture that its module uses."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def in_time() -> None:
        async with asyncio.timeout(_PATIENCE):
            await pyfuncitem.obj(**arguments)

    run = cast(Run[None], pyfuncitem.funcargs["run"])
    run(in_time())
    return True


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """Give the list of what is logged during the test, debug output included."""
    handler = _Keeper()
    logger = logging.getLogger("sessioner")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fail a test that leaves a descriptor open or a handler at the logger, and put back how that is set."""
    logger = logging.getLogger("sessioner")
    before, level = _descriptors(), logger.level
    yield
    left = _descriptors() - before
    if left:
        gc.collect()
        left &= _descriptors()
    assert not left, f"descriptors left open: {sorted(left)}"
    assert not [handler for handler in logger.handlers if isinstance(handler, TextHandler)]
    logger.propagate = True
    logger.setLevel(level)


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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give certificates that were made for this run."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def free_ports() -> Callable[[int], int]:
    """Return a function that returns the first of so many neighbouring ports that are free on every address."""
    return find_free_ports


def _descriptors() -> set[str]:
    """Return what the process has open, without what is gone by the time it is looked at."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except OSError:
            continue
    return found
