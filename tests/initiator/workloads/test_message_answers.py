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


def joined(run: Answers) -> Any:
    stream = SimpleNamespace(
        uid=1, number=1, waiting=None, numbered=None, pattern=None, checker=None, session="it", skip=0
    )
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
    """However many they are, those included that are not waited for any more, and none of them is waited for."""
    run, last = answers(check=CHECKED), MOST + given_up
    stream = joined(run)
    stream.number += last
    run.wait(stream, [1.0] * last, 1.0)
    heard = [*range(1, first), last]
    run.heard(stream, b"".join(Frame(1, 1, number).encode(CHECKED) for number in heard), 2.0)
    assert run.wrong["missing"] == last - first
    assert run.outstanding == 0
    assert len(run.told) == 1
    assert stream.numbered == {}
    assert run.unanswered == given_up
    assert run.answered == 1 + max(0, first - 1 - given_up)
