"""Tests of the identifiers of one session's queries."""

from types import SimpleNamespace
from typing import Any

import pytest

from initiator.workloads.query_stream import LATE, QueryStream
from initiator.workloads.questions import IDENTIFIERS


@pytest.fixture
def stream() -> QueryStream:
    """Give the part of a session on which nothing has been sent."""
    nothing: Any = SimpleNamespace(traffic=None, answers=None)
    return QueryStream(nothing, nothing, 0)


def test_identifiers_go_round(stream: QueryStream) -> None:
    stream.next_id = IDENTIFIERS - 2
    stream.pending[0] = (1.0, 1.0)
    stream.reserve(2, LATE)
    assert stream.free_ids(4) == [IDENTIFIERS - 2, IDENTIFIERS - 1, 1, 3]


def test_the_search_for_one_goes_on_where_it_was_left(stream: QueryStream) -> None:
    """Where a silent peer has left one free in all, each search is short, and some search finds it."""
    for identifier in range(IDENTIFIERS):
        if identifier != 40_000:
            stream.reserve(identifier, LATE)
    searches = 1
    while not (found := stream.free_ids(1)):
        searches += 1
    assert found == [40_000]
    assert 10 < searches < 1000


def test_where_all_are_taken_there_is_none(stream: QueryStream) -> None:
    stream.pending.update(dict.fromkeys(range(IDENTIFIERS), (1.0, 1.0)))
    assert {tuple(stream.free_ids(3)) for _ in range(1000)} == {()}
