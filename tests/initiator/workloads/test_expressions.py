r"""Tests of messages with expressions."""

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from initiator.workloads.expressions import Moment, parse_message
from responder.marker import Marker


def moment(session: int = 3, message: int = 7, microseconds: int = 0) -> Moment:
    return Moment(session, message, microseconds, Random(0), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rb"\{session}", b"3"),
        (rb"id=\{message};", b"id=7;"),
        (rb"\{message % 5}/\{session%2}", b"2/1"),
        (rb"\{ message }", b"7"),
        (rb"\{re ab{2}}", b"abb"),
        (rb"\{time}", b"SessionerTS-0000000000000000."),
    ],
)
def test_an_expression_stands_for_its_value(text: bytes, message: bytes) -> None:
    template = parse_message(text, 0)
    assert template.constant is None
    assert template.render(moment()) == message


@given(st.binary().filter(lambda data: b"\\{" not in data))
def test_other_text_is_what_it_is(data: bytes) -> None:
    assert parse_message(data, 0).constant == data


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\\{session}\0")
    assert parse_message(f"<\\{{<{tmp_path}/body>}}>".encode(), 0).constant == b"<\\{session}\0>"


def test_the_time_is_what_a_marker_knows() -> None:
    marker = Marker()
    marker.scan(1, parse_message(rb"x\{time}y", 0).render(moment(microseconds=2_000_000)), now=5.0)
    assert marker.messages == 1
    assert marker.latency.highest == pytest.approx(3.0, rel=0.001)


def test_text_is_drawn_per_message_per_session_or_once() -> None:
    template = parse_message(rb"\{re [a-z]{9}} \{session.re [a-z]{9}} \{once.re [a-z]{9}}", 5)
    random, rendered = Random(1), []
    for session in (1, 2):
        drawn: dict[int, bytes] = {}
        rendered += [template.render(Moment(session, number, 0, random, drawn)).split() for number in (1, 2)]
    per_message, per_session, once = zip(*rendered, strict=True)
    assert len(set(per_message)) == 4
    assert per_session[0] == per_session[1] != per_session[2] == per_session[3]
    assert len(set(once)) == 1
    assert parse_message(rb"\{once.re [a-z]{9}}", 6).render(moment()) != once[0]


LONGEST = 10_000


def test_an_expression_is_only_so_long() -> None:
    regex = b"|".join([b"x"] * (LONGEST // 2))[: LONGEST - 4]
    assert parse_message(rb"\{re " + regex + b" }", 0).render(moment()) == b"x"
    with pytest.raises(UsageError, match=f"is longer than {LONGEST} bytes, or is not closed by a brace"):
        parse_message(rb"\{re " + regex + b"  }", 0)


@pytest.mark.parametrize(
    "text",
    [
        rb"\{" + b"x" * 5000 + b"}",
        rb"\{" + b"x" * 5000,
        rb"\{" + b"x" * 2_000_000,
        rb"\{" + b"{" * 2_000_000,
        rb"\{re a{" + b"9" * 5000 + b"}}",
        rb"\{session %" + b" " * 5000 + b"0}",
        rb"\{<" + b"x" * 5000 + b">}",
    ],
)
def test_an_error_names_no_more_than_the_beginning_of_what_is_wrong(text: bytes) -> None:
    with pytest.raises(UsageError) as raised:
        parse_message(text, 0)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (rb"\{nothing}", r"there is no expression \{nothing}"),
        (rb"\{}", "there is no expression"),
        (rb"\{session", "is not closed by a brace"),
        (rb"\{session % 0}", "divides by 0"),
        (rb"\{session % x}", "there is no expression"),
        (rb"\{<>}", "there is no expression"),
        (rb"\{</nowhere/at/all>}", "cannot be read"),
        (rb"\{re (}", "regular expression"),
    ],
)
def test_what_is_no_expression_is_refused(text: bytes, error: str) -> None:
    with pytest.raises(UsageError, match=re.escape(error)):
        parse_message(text, 0)
