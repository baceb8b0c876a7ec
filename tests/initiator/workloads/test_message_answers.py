"""How many messages wait for an answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from initiator.latencies import Latencies
from initiator.workloads.expressions import parse_message
from initiator.workloads.frames import Frame
from initiator.workloads.message_answers import Answers
from initiator.workloads.send import SendSettings

MOST = 65_536
CHECKED = 64


def answers(**more: Any) -> Answers:
    return Answers(SendSettings(1, **more), Latencies().message, lambda: None)


def joined(run: Answers, uid: int = 1) -> Any:
    stream = SimpleNamespace(
        uid=uid, number=1, waiting=None, numbered=None, pattern=None, checker=None, session="it", skip=0
    )
    stream.pending = lambda: len(stream.numbered)
    run.join(stream)  # type: ignore[arg-type]
    return stream


@pytest.mark.parametrize(
    "more", [{"marker": parse_message(b"a", 1)}, {"marker": parse_message(rb"\{message};", 1)}, {"check": CHECKED}]
)
def test_those_that_wait_for_the_longest_are_given_up(more: dict[str, Any]) -> None:
    run = answers(**more)
    stream = joined(run)
    for _ in range(4):
        stream.number += 20_000
        run.wait(stream, [1.0] * 20_000, 1.0)
    assert len(stream.waiting or stream.numbered) == MOST
    assert run.unanswered == 80_000 - MOST
    assert run.outstanding == MOST
    if stream.numbered:
        assert min(stream.numbered) == 80_001 - MOST


@pytest.mark.parametrize(("given_up", "first"), [(0, 1), (1000, 1), (1000, 900)])
def test_messages_that_are_missing_are_counted_each_and_told_of_once(given_up: int, first: int) -> None:
    """However many they are, but for those that have been given up before, and none of them is waited for."""
    run, last = answers(check=CHECKED), MOST + given_up
    stream = joined(run)
    stream.number += last
    run.wait(stream, [1.0] * last, 1.0)
    heard = [*range(1, first), last]
    run.heard(stream, b"".join(Frame(1, 1, number).encode(CHECKED) for number in heard), 2.0)
    assert run.wrong["missing"] == last - 1 - max(given_up, first - 1)
    assert run.answered + run.unanswered + sum(run.wrong.values()) == last
    assert run.outstanding == 0
    assert len(run.told) == 1
    assert stream.numbered == {}
    assert run.unanswered == given_up
    assert run.answered == 1 + max(0, first - 1 - given_up)


def frames(numbers: list[int], session: int = 1, seed: int = 1) -> bytes:
    return b"".join(Frame(seed, session, number).encode(CHECKED) for number in numbers)


@pytest.mark.parametrize(
    ("pieces", "wrong", "answered", "unexpected"),
    [
        ([b"hello"], {}, 0, 1),
        ([b"hello" * 100, b"bye"], {}, 0, 2),
        ([frames([1])[:20], frames([1])[20:]], {}, 0, 1),
        ([b"hello", 1, frames([1])], {}, 1, 1),
        ([b"hello", 1, frames([1]), b"hello", 1, frames([2])], {}, 2, 2),
        ([1, b"h" * CHECKED, b"h" * CHECKED, frames([1])], {"altered": 1}, 0, 2),
        ([1, frames([1, 1, 1])], {"repeated": 1}, 1, 1),
        ([1, frames([1], session=7)], {}, 0, 1),
        ([1, frames([1], seed=7)], {}, 0, 1),
    ],
)
def test_each_message_fails_once_at_most_and_all_else_is_unexpected(
    pieces: list[bytes | int], wrong: dict[str, int], answered: int, unexpected: int
) -> None:
    """Of the pieces a number is messages sent."""
    run = answers(check=CHECKED)
    stream, sent = joined(run), 0
    for piece in pieces:
        if isinstance(piece, bytes):
            run.heard(stream, piece, 2.0)
        else:
            sent += piece
            stream.number += piece
            run.wait(stream, [1.0] * piece, 1.0)
    assert {kind: count for kind, count in run.wrong.items() if count} == wrong
    assert (run.answered, run.unexpected) == (answered, unexpected)
    assert run.outstanding == sent - answered - sum(wrong.values()) + wrong.get("repeated", 0)


def test_a_message_that_comes_to_another_session_fails_once() -> None:
    run = answers(check=CHECKED)
    one, other = joined(run), joined(run, uid=2)
    for stream in (one, other):
        stream.number += 2
        run.wait(stream, [1.0, 1.0], 1.0)
    run.heard(one, frames([1], session=2) + frames([1, 2]), 2.0)
    run.heard(other, frames([2], session=2), 2.0)
    assert {kind: count for kind, count in run.wrong.items() if count} == {"foreign": 1}
    assert run.answered == 3
    assert run.outstanding == run.unexpected == 0
    assert len(run.told) == 2
    run.left(other)
    run.heard(one, frames([2], session=2), 2.0)
    assert (run.wrong["foreign"], run.unexpected) == (1, 1)
