"""The search for how many sessions a path takes, of whole daemons with a real netfilter box between them."""

from typing import Final

import pytest

from tests.daemons.box import DROP, REJECT, limit_sessions
from tests.daemons.finding import RUNS, behind, found

pytestmark = pytest.mark.namespace

MOST: Final = 600


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize(("verdict", "reason"), [(DROP, "timeout"), (REJECT, "refused")], ids=["drop", "reject"])
def test_a_boxs_room_for_sessions_is_found(verdict: str, reason: str, workers: str) -> None:
    with behind(lambda network: limit_sessions(network, MOST, verdict), workers) as front:
        for _ in range(RUNS):
            figures = found(front, "find sessions for 200ms")
            assert abs(figures["most"] - MOST) <= MOST * 0.02
            assert figures["confirmed"] == figures["most"]
            assert set(figures["refused"]) == {reason}
            assert (figures["bound"], figures["losses"], figures["evicted"]) == ("path", {}, 0)


def test_the_sessions_that_are_held_anyway_are_told() -> None:
    with behind(lambda network: limit_sessions(network, MOST, REJECT)) as front:
        front.send("set 100")
        front.until(lambda now: now["held"] == 100)
        figures = found(front, "find sessions for 200ms")
        assert figures["beside"] == 100
        assert abs(figures["most"] + 100 - MOST) <= MOST * 0.02
        assert front.ask("status --json")["held"] == 100
