"""Frozen numbers of the responder at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything `status` and the toolbar show.

    `age` is how many seconds old the figures are; `losses` are clients that ended, by reason, unless the
    responder was asked to end them. `paused` says that listeners accept nothing until there is room.
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


@dataclass(frozen=True, slots=True)
class ListenerRow:
    """One listener as `listeners` shows it."""

    listener: str
    accepted: int
    held: int


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One client as `list` shows it; `idle` is seconds since its last action."""

    peer: str
    local: str
    idle: float
    age: float
