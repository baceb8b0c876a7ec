"""Frozen numbers of the responder at one moment."""

from dataclasses import dataclass

from common.workers.merge import WorkerFigures


@dataclass(frozen=True, slots=True)
class MarkerFigures:
    """What the markers in received data tell: messages, messages per second, seconds from their sending on.

    `ahead` are messages whose time was in the future by our clock, which no latency was counted of.
    """

    messages: int
    rate: float
    p50: float
    p99: float
    ahead: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything `status` and the toolbar show.

    `age` is how many seconds old the figures are; `losses` are clients that ended, by reason, unless the
    responder was asked to end them. `paused` says that listeners accept nothing until there is room. `sent` counts all
    bytes, `echoed` those that were sent back, `messages` those of mode active and the answers of mode serve, `missed`
    the messages that were due and could not be sent. `dump` is None or what the dump shows, `marker` None while no
    markers are looked for. `workers` is None where one process does all; of several, `descriptors` are the limits of
    each.
    """

    age: float
    held: int
    listeners: int
    hashsize: int
    max_depth: int
    listeners_max_depth: int
    descriptors: tuple[int, int]
    rate: float
    accepted: int
    losses: dict[str, int]
    received: int
    sent: int
    accept_errors: int
    exhausted: tuple[str, ...]
    paused: bool
    longest_pause: float
    echoed: int
    messages: int
    missed: int
    dump: str | None
    marker: MarkerFigures | None
    workers: WorkerFigures | None = None


@dataclass(frozen=True, slots=True)
class ListenerRow:
    """One listener as `listeners` shows it; `received` and `sent` are bytes."""

    listener: str
    accepted: int
    held: int
    mode: str
    received: int
    sent: int
    messages: int


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One client as `list` shows it; `idle` is seconds since its last action."""

    peer: str
    local: str
    idle: float
    age: float
