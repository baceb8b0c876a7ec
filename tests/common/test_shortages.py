"""Tests of what has run out for now, and how it is said."""

import logging
import resource
from collections.abc import Iterator

import pytest

from common.shortages import DESCRIPTORS, MEMORY, PORTS, WATCHES, Shortages, highest_descriptor

REMEDIES = {
    DESCRIPTORS: "ulimit -n",
    PORTS: "--source-ip",
    MEMORY: "net.ipv4.tcp_mem",
    WATCHES: "fs.epoll.max_user_watches",
}
KINDS = list(REMEDIES)


@pytest.fixture
def hard_limit() -> Iterator[int]:
    """Give the hard limit on descriptors, and put the soft one back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_out_is_said_once_with_its_remedy(kind: str, logged: list[logging.LogRecord]) -> None:
    shortages = Shortages("nothing more is opened")
    for _ in range(3):
        shortages.begin(kind)
    assert shortages.kinds == {kind}
    (record,) = logged
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"Out of {kind}: nothing more is opened; ")
    assert REMEDIES[kind] in record.getMessage()


@pytest.mark.parametrize("kind", KINDS)
def test_that_there_is_room_again_is_said_once(kind: str, logged: list[logging.LogRecord]) -> None:
    shortages = Shortages("nothing more is opened")
    shortages.begin(kind)
    for _ in range(3):
        shortages.end(kind)
    assert not shortages.kinds
    assert len(logged) == 2
    verb = "is" if kind == MEMORY else "are"
    assert logged[1].getMessage() == f"There {verb} {kind} again"


def test_what_has_not_run_out_cannot_end(logged: list[logging.LogRecord]) -> None:
    shortages = Shortages("nothing more is opened")
    shortages.end(PORTS)
    assert not logged


def test_kinds_are_kept_apart(logged: list[logging.LogRecord]) -> None:
    shortages = Shortages("nothing more is opened")
    for kind in KINDS:
        shortages.begin(kind)
    shortages.end(PORTS)
    assert shortages.kinds == set(KINDS) - {PORTS}
    shortages.begin(PORTS)
    assert shortages.kinds == set(KINDS)
    assert len(logged) == len(KINDS) + 2


@pytest.mark.parametrize(("limit", "highest"), [(1024, 960), (256, 192), (100, 75), (64, 48)])
def test_some_descriptors_are_kept_for_what_is_no_session(limit: int, highest: int, hard_limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard_limit))
    assert highest_descriptor() == highest
