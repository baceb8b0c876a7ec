"""How long an engine may have been held up, for what a test demands only of one that was not."""

from common.reactor import BEAT
from initiator.engine import Engine


async def held_up(engine: Engine) -> float:
    """Return the seconds of the longest pause of an engine's loop, at most: between two beats none is noticed."""
    return BEAT + (await engine.snapshot()).longest_pause
