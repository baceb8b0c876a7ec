"""Tests of the marker in received data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.marker import WHOLE, Marker

NOW = 1_700_000_000.0


def stamped(sent: float) -> bytes:
    """Return the marker of a message sent then."""
    return b"SessionerTS-%016x." % round(sent * 1_000_000)


def kept(marker: Marker) -> int:
    """Return how many bytes are kept of streams."""
    return sum(map(len, marker._beginnings.values()))


def test_a_marker_has_29_bytes() -> None:
    assert len(stamped(NOW)) == WHOLE == 29


@pytest.mark.parametrize("latency", [0.000001, 0.0005, 0.25, 3.0])
def test_the_latency_is_the_time_since_the_stamp(latency: float) -> None:
    marker = Marker()
    marker.scan("a", b"before" + stamped(NOW - latency) + b"after", NOW)
    figures = marker.figures()
    assert (figures.messages, figures.ahead) == (1, 0)
    assert figures.p50 == figures.p99 == pytest.approx(latency, rel=0.001, abs=0.000002)


def test_percentiles_are_of_all_messages() -> None:
    marker = Marker()
    marker.scan("a", b"".join(stamped(NOW - number / 1000) for number in range(1, 101)), NOW)
    figures = marker.figures()
    assert figures.messages == 100
    assert figures.p50 == pytest.approx(0.05, rel=0.001)
    assert figures.p99 == pytest.approx(0.099, rel=0.001)


def test_a_stamp_in_the_future_is_a_message_without_a_latency() -> None:
    marker = Marker()
    marker.scan("a", stamped(NOW + 5) + stamped(NOW - 1), NOW)
    figures = marker.figures()
    assert (figures.messages, figures.ahead) == (2, 1)
    assert figures.p50 == figures.p99 == pytest.approx(1.0, rel=0.001)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SessionerTS-",
        b"SessionerTS-0123456789abcde.",
        b"SessionerTS-0123456789abcdef0.",
        b"SessionerTS-0123456789abcdeg.",
        b"SessionerTS-0123456789abcdef,",
        b"sessionerTS-0123456789abcdef.",
        b"SessionerTS 0123456789abcdef.",
    ],
)
def test_what_is_no_marker_is_not_taken_for_one(data: bytes) -> None:
    marker = Marker()
    marker.scan("a", data, NOW)
    marker.scan("a", b"\n", NOW)
    assert (marker.messages, kept(marker)) == (0, 0)


@pytest.mark.parametrize(
    "data", [b"SessionerTS-0005F5E100ABCDEF.", b"SessionerTS-SessionerTS-0005f5e100abcdef.", b"S" * 99 + stamped(NOW)]
)
def test_a_marker_may_be_in_capitals_and_begin_behind_what_is_none(data: bytes) -> None:
    marker = Marker()
    marker.scan("a", data, NOW)
    assert marker.messages == 1


@pytest.mark.parametrize("at", range(1, WHOLE))
def test_a_marker_may_be_split_anywhere(at: int) -> None:
    marker, data = Marker(), stamped(NOW - 1)
    marker.scan("a", memoryview(b"x" * 100 + data[:at]), NOW)
    assert (marker.messages, kept(marker)) == (0, at)
    marker.scan("a", memoryview(data[at:]), NOW)
    assert (marker.messages, kept(marker)) == (1, 0)


def test_what_is_split_in_one_stream_does_not_end_in_another() -> None:
    marker, data = Marker(), stamped(NOW)
    for stream in ("a", "b"):
        marker.scan(stream, data[:20], NOW)
    marker.scan("c", data[20:], NOW)
    assert marker.messages == 0
    marker.scan("b", data[20:], NOW)
    assert (marker.messages, kept(marker)) == (1, 20)
    marker.forget("a")
    marker.scan("a", data[20:], NOW)
    assert (marker.messages, kept(marker)) == (1, 0)


pieces = st.one_of(
    st.floats(0, 1000).map(lambda age: stamped(NOW - age)),
    st.sampled_from([b"S", b"Se", b"SessionerTS-", b"SessionerTS-0123", b"SessionerTS-0123456789abcdef", b".", b"\n"]),
    st.binary(max_size=60),
)


@given(st.lists(pieces, max_size=30), st.lists(st.integers(1, 80), min_size=1))
def test_however_a_stream_is_cut_the_same_is_found(stream: list[bytes], sizes: list[int]) -> None:
    """What is found in a whole stream is found in its parts, and of none is more kept than an unfinished marker."""
    data = b"".join(stream)
    whole, cut = Marker(), Marker()
    whole.scan("a", data, NOW)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        cut.scan("a", memoryview(data)[at : at + size], NOW)
        assert kept(cut) < WHOLE
        at, turn = at + size, turn + 1
    assert (
        cut.messages
        == whole.messages
        >= sum(
            len(piece) == WHOLE and piece in data
            for piece in stream
            if piece[:12] == b"SessionerTS-" and piece[-1:] == b"."
        )
    )
    assert cut.latency.sparse() == whole.latency.sparse()
