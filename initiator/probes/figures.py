"""What is asked of the probes, and the frozen numbers they find."""

from dataclasses import dataclass
from typing import Final

from common.addresses import Address
from initiator.probes.idleness import Memory

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
    """How some times are spread, in seconds; None stands for that of no times."""

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
    corrected: Spread | None
    raw: Spread | None


@dataclass(frozen=True, slots=True)
class BenchFigures:
    """All rounds so far, and the seconds that they took; `connect` are the sessions' establishments."""

    settings: BenchSettings
    running: bool
    seconds: float
    answered: int
    failures: dict[str, int]
    connect: Spread | None
    corrected: Spread | None
    raw: Spread | None
    rounds: list[BenchRound]


@dataclass(frozen=True, slots=True)
class SessionsSettings:
    """How many sessions the path takes: at most `limit` are tried, `rate` a second; they are held for `seconds`."""

    limit: int | None = None
    rate: float | None = None
    seconds: float = 2.0
    target: Address | None = None


@dataclass(frozen=True, slots=True)
class SessionsFigures:
    """What was found: `most` sessions were confirmed by an echo at one time, `confirmed` still after they were held.

    `beside` are the sessions held anyway to the same targets. `refused` are attempts that came to nothing or had no
    echo, `losses` sessions that had an echo before and have ended since, by reason; `evicted` of these ended while
    others were opened. `bound` is what put an end to the search: the path, the limit that was asked for, what this host
    was short of, or nothing yet.
    """

    settings: SessionsSettings
    running: bool
    seconds: float
    tried: int
    most: int
    confirmed: int
    held_for: float
    beside: int
    refused: dict[str, int]
    losses: dict[str, int]
    evicted: int
    bound: str | None


@dataclass(frozen=True, slots=True)
class RateSettings:
    """The highest rate of new sessions that the path sustains for so many seconds."""

    seconds: float = 2.0
    target: Address | None = None


@dataclass(frozen=True, slots=True)
class RateTrial:
    """A rate (1/s) that was tried: why, how many were judged and at what rate they were sent, how many failed and why.

    `unsent` were due when this host was late, and not sent together with others afterwards.
    """

    phase: str
    rate: float
    sent: int
    sent_rate: float
    unsent: int
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class RateFigures:
    """What was found, in 1/s: `good` was sustained without a failure, 0 for none; `bad` is the lowest that failed.

    `taken` is what the path took while it was overloaded, `burst` the most that it let through beyond that rate before
    any failed. `host_bound` says that this host can send no faster, `worker_ended` that a worker ended, and the search
    with it.
    """

    settings: RateSettings
    running: bool
    done: bool
    seconds: float
    good: float
    bad: float | None
    taken: float | None
    burst: float | None
    host_bound: bool
    worker_ended: bool
    connect: Spread | None
    trials: list[RateTrial]


@dataclass(frozen=True, slots=True)
class IdleSettings:
    """For how long the path remembers an idle session, tried up to so many seconds."""

    up_to: float = 300.0
    target: Address | None = None


@dataclass(frozen=True, slots=True)
class KeepaliveFigures:
    """Sessions with keepalive every `idle` seconds, silent for `silent` seconds: answered, or failed by reason."""

    idle: int
    silent: float
    answered: int
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What was found with so many sessions; `failures` are those that could not be had at the beginning.

    `groups` were spoken on, each after a time of its own; `keepalive` is empty where nothing was forgotten.
    """

    settings: IdleSettings
    running: bool
    done: bool
    seconds: float
    sessions: int
    failures: dict[str, int]
    groups: int
    memory: Memory
    keepalive: list[KeepaliveFigures]


FindFigures = SessionsFigures | RateFigures | IdleFigures
ProbeFigures = BenchFigures | FindFigures
