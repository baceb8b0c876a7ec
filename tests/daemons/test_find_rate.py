"""The search for a rate of new sessions, of whole daemons with a real netfilter box between them that limits it."""

from typing import Any

import pytest

from tests.daemons.box import DROP, REJECT, limit_rate
from tests.daemons.finding import RUNS, behind, found
from tests.support import Daemon

pytestmark = pytest.mark.namespace


def found_rate(front: Daemon) -> dict[str, Any]:
    """Return what a search for a rate has found, made again where it says that this host was what ended it."""
    figures = found(front, "find rate for 1s")
    for _ in range(RUNS):
        if figures["host_bound"]:
            figures = found(front, "find rate for 1s")
    return figures


@pytest.mark.parametrize(
    ("rate", "burst", "verdict", "reason", "workers"),
    [
        (200, 5, DROP, "timeout", "1"),
        (300, 30, REJECT, "refused", "1"),
        (1000, 30, DROP, "timeout", "1"),
        (300, 300, REJECT, "refused", "1"),
        (50, 1000, DROP, "timeout", "1"),
        (300, 30, DROP, "timeout", "2"),
        (300, 300, REJECT, "refused", "2"),
    ],
    ids=["drop", "reject", "fast", "burst", "slow", "drop-workers", "burst-workers"],
)
def test_a_boxs_limit_of_new_sessions_is_found(rate: int, burst: int, verdict: str, reason: str, workers: str) -> None:
    with behind(lambda network: limit_rate(network, rate, burst, verdict), workers) as front:
        for _ in range(RUNS):
            figures = found_rate(front)
            assert not figures["host_bound"]
            assert abs(figures["good"] - rate) <= rate * 0.1
            assert abs(figures["taken"] - rate) <= rate * 0.1
            assert figures["good"] < figures["bad"]
            assert {name for trial in figures["trials"] for name in trial["failures"]} == {reason}
