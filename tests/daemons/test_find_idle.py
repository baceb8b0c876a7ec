"""The search for how long a path remembers, of whole daemons with a real netfilter box between them that forgets."""

from typing import Final

import pytest

from tests.daemons.box import DROP, REJECT, forget_idle
from tests.daemons.finding import RUNS, behind, found

pytestmark = pytest.mark.namespace

REMEMBERED: Final = 2

# A box forgets up to one tick of its kernel sooner than it was told to, or finds out by then: 10 ms are the longest
# tick (CONFIG_HZ of 100). With one of 4 ms sessions silent for 1.997 s were forgotten at 2 s.
TICK: Final = 0.01

# The bounds are as near to each other as this, where some groups were spoken on too late to tell.
NARROWED: Final = 1.2


@pytest.mark.parametrize(("verdict", "answer"), [(DROP, "timeout"), (REJECT, "rst")], ids=["drop", "reject"])
def test_how_long_a_box_remembers_is_found(verdict: str, answer: str) -> None:
    with behind(lambda network: forget_idle(network, REMEMBERED, verdict)) as front:
        for _ in range(RUNS):
            figures = found(front, "find idle up-to 4s")
            memory = figures["memory"]
            assert memory["remembered"] <= REMEMBERED
            assert memory["forgotten"] >= REMEMBERED - TICK
            assert memory["forgotten"] <= memory["remembered"] * NARROWED
            assert set(memory["answers"]) == {answer}
            kept = {row["idle"]: row["answered"] for row in figures["keepalive"]}
            assert kept[1] == 3
