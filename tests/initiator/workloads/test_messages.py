"""How many messages are made at once."""

from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from initiator.workloads.expressions import parse_message
from initiator.workloads.messages import AT_ONCE, BLOCK, Messages
from initiator.workloads.send import SendSettings


def messages(*texts: bytes, **more: Any) -> Messages:
    return Messages(SendSettings(1, tuple(parse_message(text, 1) for text in texts), **more))


def stream() -> Any:
    return SimpleNamespace(uid=1, number=1, offset=0, drawn=None)


MARKER = {"marker": parse_message(b"a", 1)}


@pytest.mark.parametrize(
    ("made", "until", "most"),
    [
        (messages(rb"\{message};"), inf, AT_ONCE),
        (messages(rb"\{message};"), 0.0, 1),
        (messages(b"a", b"bb"), inf, AT_ONCE),
        (messages(b"a" * 1_000_000), inf, 2),
        (messages(check=1 << 20), inf, 1),
        (messages(check=64), inf, AT_ONCE),
    ],
)
def test_so_many_are_made_at_once(made: Messages, until: float, most: int) -> None:
    one = stream()
    data = made.take(one, 1_000_000, until)
    assert len(data) == most
    assert one.number == most + 1


@pytest.mark.parametrize(
    ("made", "until", "most"),
    [
        (messages(rb"\{message};"), 0.0, 1),
        (messages(b"hello;", **MARKER), inf, AT_ONCE),
        (messages(b"a", b"bb", **MARKER), inf, AT_ONCE),
        (messages(b"hello;"), 0.0, BLOCK // 6),
    ],
)
def test_a_block_has_few_messages_where_each_is_some_work(made: Messages, until: float, most: int) -> None:
    one = stream()
    data, count = made.take_bytes(one, BLOCK, until)
    assert count == most == one.number - 1
    assert len(data) > 0


def test_constants_go_on_in_sequence() -> None:
    made, one = messages(b"a", b"b", b"c"), stream()
    assert b"".join(made.take(one, 4, inf) + made.take(one, 4, inf)) == b"abcabcab"
