"""What is asked of the probes, and the frozen numbers they find."""

from dataclasses import dataclass
from typing import Final

from common.addresses import Address

BENCH: Final = "bench"
FIND: Final = "find"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a probe tries now, and the seconds that are left if that is known."""

    name: str
    trying: str
    left: float | None


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """So many sessions say a message at once, so many rounds; None says another one on each and in each round."""

    sessions: int
    rounds: int
    message: bytes | None = None
    target: Address | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How some times are spread, in seconds."""

    lowest: float
    p50: float
    p95: float
    p99: float
    highest: float


@dataclass(frozen=True, slots=True)
class BenchSample:
    """One session's part in one round, both from 1: seconds from the barrier and from its own sending to the echo.

    They are None when it failed, for the reason in `failure`.
    """

    round: int
    session: int
    target: str
    corrected: float | None
    raw: float | None
    failure: str


@dataclass(frozen=True, slots=True)
class BenchRound:
    """One round: how many had their echo, why others had not, seconds from the barrier and from the own sending."""

    round: int
    answered: int
    failures: dict[str, int]
    corrected: Spread
    raw: Spread


@dataclass(frozen=True, slots=True)
class BenchFigures:
    """All rounds so far, and the seconds that they took; `connect` are the sessions' establishments."""

    settings: BenchSettings
    running: bool
    seconds: float
    answered: int
    failures: dict[str, int]
    connect: Spread
    corrected: Spread
    raw: Spread
    rounds: list[BenchRound]
