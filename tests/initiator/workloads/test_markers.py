r"""Tests of markers in what is heard."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from initiator.workloads.expressions import parse_message
from initiator.workloads.markers import Marker, find_markers


def marker(text: bytes) -> Marker:
    return Marker(parse_message(text, 0))


def hear(wanted: Marker, session: int, pieces: list[bytes]) -> list[int]:
    """Return the numbers found in a stream that comes in pieces, kept together as a workload does."""
    pattern, tail, found = wanted.pattern(session), b"", []
    for piece in pieces:
        data = tail + piece
        numbers, end = find_markers(pattern, data)
        found += numbers
        tail = data[max(end, len(data) - wanted.longest) :]
    return found


@given(st.lists(st.sampled_from([b"OK", b"O", b"K", b"..", b"OKOK"])), st.integers(1, 5))
def test_a_text_is_found_however_it_comes_in_pieces(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert len(hear(marker(b"OK"), 1, pieces)) == stream.count(b"OK")


@given(st.lists(st.integers(0, 10**12), max_size=8), st.integers(1, 40))
def test_numbers_are_found_however_they_come_in_pieces(numbers: list[int], size: int) -> None:
    stream = b"".join(b"re=%d;" % number for number in numbers)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert hear(marker(rb"re=\{message};"), 1, pieces) == numbers


def test_a_number_at_the_end_is_whole_only_when_more_comes() -> None:
    assert hear(marker(rb"id=\{message}"), 1, [b"id=1", b"2", b" "]) == [12]


def test_only_those_of_the_session_count() -> None:
    assert hear(marker(rb"<\{session}:\{message}>"), 3, [b"<3:1><4:2><33:5><3:6>"]) == [1, 6]
    assert hear(marker(rb"<\{session}>"), 3, [b"<3><4><3>"]) == [0, 0]


def test_a_text_that_overlaps_itself_is_counted_once() -> None:
    assert hear(marker(b"aa"), 1, [b"aaa", b"a"]) == [0, 0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (rb"\{time}", "made of text"),
        (rb"x\{re a}", "made of text"),
        (rb"x\{message % 3}", "made of text"),
        (rb"\{message}", "needs text"),
        (b"", "needs text"),
        (rb"x\{message}y\{message}", "once"),
    ],
)
def test_what_answers_cannot_be_told_by_is_refused(text: bytes, error: str) -> None:
    with pytest.raises(UsageError, match=re.escape(error)):
        marker(text)
