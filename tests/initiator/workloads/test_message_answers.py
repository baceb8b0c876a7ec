"""How many messages wait for an answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from initiator.latencies import Latencies
from initiator.workloads.expressions import parse_message
from initiator.workloads.message_answers import Answers
from initiator.workloads.send import SendSettings

MOST = 65_536


def answers(**more: Any) -> Answers:
    return Answers(SendSettings(1, **more), Latencies().message, lambda: None)


@pytest.mark.parametrize(
    "more", [{"marker": parse_message(b"a", 1)}, {"marker": parse_message(rb"\{message};", 1)}, {"check": 64}]
)
def test_those_that_wait_for_the_longest_are_given_up(more: dict[str, Any]) -> None:
    run = answers(**more)
    stream: Any = SimpleNamespace(uid=1, number=1, waiting=None, numbered=None, pattern=None, checker=None)
    run.join(stream)
    for _ in range(4):
        stream.number += 20_000
        run.wait(stream, [1.0] * 20_000, 1.0)
    assert len(stream.waiting or stream.numbered) == MOST
    assert run.unanswered == 80_000 - MOST
    if stream.numbered:
        assert min(stream.numbered) == 80_001 - MOST
