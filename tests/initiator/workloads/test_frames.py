"""Tests of messages whose echo shows where it belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.workloads.frames import SMALLEST, Checker, Frame


def kinds(checker: Checker, *pieces: bytes, sent: int = 10) -> list[str]:
    return [verdict.kind for piece in pieces for verdict in checker.heard(piece, sent)]


def stream(numbers: list[int], size: int, session: int = 1) -> bytes:
    return b"".join(Frame(9, session, number).encode(size) for number in numbers)


@given(st.integers(SMALLEST, 200), st.integers(1, 300))
def test_an_echo_that_is_well_is_well_however_it_comes_in_pieces(size: int, piece: int) -> None:
    data = stream([1, 2, 3, 4], size)
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    assert kinds(Checker(9, 1, size), *pieces) == ["echoed"] * 4


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([1, 3], ["echoed", "missing", "echoed"]),
        ([2, 1], ["missing", "echoed", "repeated"]),
        ([1, 1, 2], ["echoed", "repeated", "echoed"]),
    ],
)
def test_what_is_missing_or_comes_twice_is_told(numbers: list[int], found: list[str]) -> None:
    assert kinds(Checker(9, 1, 64), stream(numbers, 64)) == found


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3, "message 2 did not come back, 3 did"),
        (1_000_000, "messages 2 to 999999 did not come back, 1000000 did"),
    ],
)
def test_all_that_are_missing_in_a_row_are_one_verdict(number: int, text: str) -> None:
    checker = Checker(9, 1, 64)
    (_, missing, echoed) = checker.heard(stream([1, number], 64), number)
    assert missing[:4] == ("missing", 2, text, number - 2)
    assert echoed.number == number


def test_what_belongs_to_another_session_is_told_with_its_name() -> None:
    verdicts = list(Checker(9, 1, 64).heard(stream([1], 64) + stream([5], 64, session=2) + stream([2], 64), 10))
    assert [verdict.kind for verdict in verdicts] == ["echoed", "foreign", "echoed"]
    assert verdicts[1].text == "it heard message 5 of session 2"
    assert verdicts[1].session == 2
    (other,) = Checker(8, 1, 64).heard(stream([1], 64), 10)
    assert (other.kind, other.text) == ("foreign", "it heard message 1 of another run")


def test_a_number_that_was_never_sent_is_no_echo() -> None:
    assert kinds(Checker(9, 1, 64), stream([1, 4_000_000_000, 3], 64)) == ["echoed", "altered", "echoed"]


@given(st.integers(0, 63), st.integers(1, 255))
def test_any_byte_that_is_not_as_it_was_is_noticed(place: int, change: int) -> None:
    data = bytearray(stream([1, 2, 3, 4], 64))
    data[64 + place] ^= change
    found = kinds(Checker(9, 1, 64), bytes(data))
    assert found[0] == "echoed" == found[-1]
    assert set(found) & {"altered", "foreign", "missing", "repeated"}


@given(st.binary(max_size=100).filter(lambda data: b"Sess" not in data), st.integers(1, 64))
def test_it_goes_on_after_bytes_that_are_nobodys(garbage: bytes, piece: int) -> None:
    data = stream([1, 2], 64) + garbage + stream([3, 4, 5, 6, 7], 64)
    found = kinds(Checker(9, 1, 64), *(data[at : at + piece] for at in range(0, len(data), piece)))
    assert found[:2] == ["echoed"] * 2
    assert found[-3:] == ["echoed"] * 3
    assert ("altered" in found) == bool(garbage)


@given(st.sampled_from([SMALLEST, 64, 200, 1000, 4096]), st.data())
def test_a_byte_that_is_lost_costs_one_message_or_two(size: int, data: st.DataObject) -> None:
    sent = stream(list(range(1, 11)), size)
    place, piece = data.draw(st.integers(0, 8 * size)), data.draw(st.integers(1, 3 * size))
    heard = sent[:place] + sent[place + 1 :]
    found = kinds(Checker(9, 1, size), *(heard[at : at + piece] for at in range(0, len(heard), piece)))
    assert found.count("echoed") >= 8
    assert len(found) <= 10
    assert set(found) - {"echoed"}
    assert set(found) <= {"echoed", "altered", "missing"}


@pytest.mark.parametrize("place", [0, 20, 500_000, (1 << 20) - 1])
def test_of_a_long_message_only_the_difference_is_shown(place: int) -> None:
    data = bytearray(stream([1], 1 << 20))
    data[place] = 0
    (verdict,) = Checker(9, 1, 1 << 20).heard(bytes(data), 1)
    assert verdict.kind == "altered"
    assert "\\x00" in verdict.text
    assert len(verdict.text) < 300


@given(st.lists(st.one_of(st.binary(max_size=100), st.integers(1, 12)), max_size=30), st.integers(0, 8))
def test_no_more_messages_are_altered_or_well_than_were_sent(heard: list[bytes | int], sent: int) -> None:
    """Whatever else comes; a number stands for the whole message."""
    checker, found = Checker(9, 1, 64), list[str]()
    for piece in heard:
        found += kinds(checker, piece if isinstance(piece, bytes) else stream([piece], 64), sent=sent)
    assert found.count("altered") + found.count("echoed") <= sent


def test_what_comes_while_nothing_waits_is_unexpected_and_spoils_nothing() -> None:
    checker = Checker(9, 1, 64)
    (verdict,) = checker.heard(b"Hello\n", 0)
    assert verdict.kind == "unexpected"
    assert verdict.text == "b'Hello\\n' came, 6 bytes, though no message waited for its echo"
    assert kinds(checker, stream([1], 64), sent=1) == ["echoed"]
