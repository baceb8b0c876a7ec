"""Frozen numbers of the initiator at one moment."""

from dataclasses import dataclass, replace

from common.units import per_second
from common.workers.merge import WorkerFigures
from initiator.churn_figures import ChurnFigures
from initiator.probes.figures import Progress
from initiator.traffic import Traffic


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """What became of the queries; rates are of the moment, `unsent` were due and given up.

    The rate asked for is that over the whole run once its time is over, the rate of answers once all has ended;
    `achieved_rate` is how many were answered a second over the run so far, None where that is too short to tell.
    `seconds` is how long there was something to send, `traffic` all that went over the sessions meanwhile, and
    `csv_not_written` counts rows, None where none are written. `sending` says that more will be sent.
    """

    asked_rate: float
    answered_rate: float
    seconds: float
    running: bool
    sessions: int
    due: int
    sent: int
    answered: int
    outstanding: int
    unsent: int
    timeouts: int
    lost: int
    late: int
    unknown: int
    malformed: int
    truncated: int
    rcodes: dict[str, int]
    traffic: Traffic
    csv_not_written: int | None = None
    sending: bool = False
    achieved_rate: float | None = None

    def with_rates(self) -> "QueryFigures":
        """Return them with the rates that counts and seconds give."""
        achieved = per_second(self.answered, self.seconds)
        return replace(
            self, achieved_rate=achieved, answered_rate=self.answered_rate if self.running else achieved or 0.0
        )

    @property
    def failed(self) -> int:
        """Those that were sent and will not be answered."""
        return self.timeouts + self.lost


@dataclass(frozen=True, slots=True)
class SendFigures:
    """What became of the messages; rates are of the moment and of all sessions, but `rate`, asked for of each.

    Once all has ended they are those of the whole run; `achieved_rate` is how many were sent a second over it so far,
    None where that is too short to tell.
    `due` and `missed`, the latter by reason, are in `unit`: messages, or bytes where a bandwidth is asked for. Answers
    are counted where they are `awaiting`; `wrong` are echoes by what is wrong with them, and `told` tells of some.
    `lost` were to be answered by sessions that were lost, `unanswered` by others. While there is `sending`, more will
    be sent.
    """

    asked_rate: float | None
    rate: float | None
    sent_rate: float
    answered_rate: float
    seconds: float
    running: bool
    sessions: int
    unit: str
    due: int
    sent: int
    missed: dict[str, int]
    awaiting: bool
    answered: int
    lost: int
    unanswered: int
    unexpected: int
    wrong: dict[str, int]
    told: tuple[str, ...]
    stopped_on: str
    traffic: Traffic
    sending: bool = False
    achieved_rate: float | None = None

    def with_rates(self) -> "SendFigures":
        """Return them with the rates that counts and seconds give."""
        sent, answered = (per_second(count, self.seconds) for count in (self.sent, self.answered))
        if self.running:
            return replace(self, achieved_rate=sent)
        return replace(self, achieved_rate=sent, sent_rate=sent or 0.0, answered_rate=answered or 0.0)

    @property
    def failed(self) -> int:
        """Those that will not be answered, and those that could not be sent in time."""
        return self.lost + sum(self.missed.values())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything `status` and the toolbar show.

    Times are seconds; `age` is how old the figures are. `losses` are established sessions that ended
    unasked, `failures` attempts that came to nothing, both by reason. The round trips are those of answered pings, the
    rates of traffic bytes a second, `query` or `send` what became of what is sent, or was last, `churn` likewise.
    `replaced` are sessions closed because their `lifetime`, None for none, had passed. `dump` is what is shown of the
    traffic.
    `workers` is None where one process does all; of several, `descriptors` are the limits of each.
    """

    age: float
    asked: int
    held: int
    targets: int
    descriptors: tuple[int, int]
    ping: bool
    rate: float
    attempts: int
    established: int
    confirmed: int
    confirmed_last_minute: int
    losses: dict[str, int]
    failures: dict[str, int]
    pausing_targets: int
    exhausted: tuple[str, ...]
    targets_without_ports: int
    pings_answered: int
    round_trip_p50: float
    round_trip_p99: float
    hashsize: int
    max_depth: int
    longest_pause: float
    traffic: Traffic
    receive_rate: float
    send_rate: float
    query: QueryFigures | None
    query_p95: float
    send: SendFigures | None
    message_p95: float
    churn: ChurnFigures | None
    lifetime: float | None = None
    replaced: int = 0
    dump: str | None = None
    probes: tuple[Progress, ...] = ()
    workers: WorkerFigures | None = None
    connect_rate: float | None = None
    ping_interval: tuple[float, float] | None = None

    @property
    def queries_asked_rate(self) -> float:
        """The queries asked for a second at this moment, 0.0 where none are."""
        return self.query.asked_rate if self.query and self.query.sending else 0.0

    @property
    def messages_asked_rate(self) -> float:
        """The messages asked for a second at this moment, 0.0 where none are, or no rate is."""
        return self.send.asked_rate or 0.0 if self.send and self.send.sending else 0.0

    @property
    def transactions_asked_rate(self) -> float:
        """The short sessions asked for a second at this moment, 0.0 where only what is under way is waited for."""
        return self.churn.now.asked if self.churn and self.churn.now and self.churn.seconds_left else 0.0


@dataclass(frozen=True, slots=True)
class TargetSnapshot:
    """Everything `details` shows of one target; `pausing` says that its attempts wait after a failure."""

    target: str
    share: int
    held: int
    hashsize: int
    max_depth: int
    attempts: int
    established: int
    losses: dict[str, int]
    failures: dict[str, int]
    pausing: bool
    without_ports: bool


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One held session as `list` shows it; seconds ago, None for never."""

    local: str
    remote: str
    age: float
    sent_ago: float | None
    heard_ago: float | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """The percentiles (in percent) of one latency, in seconds; `kind` is corrected or raw."""

    name: str
    kind: str
    count: int
    mean: float
    highest: float
    percentiles: dict[str, float]


@dataclass(frozen=True, slots=True)
class Segments:
    """TCP segments of so many sessions: what the kernel sent, received, and had to send again."""

    sessions: int
    sent: int
    received: int
    retransmitted: int


@dataclass(frozen=True, slots=True)
class RateTried:
    """A rate (1/s) that was tried for a while: how many were answered a second, their p95 in seconds, if it does."""

    rate: float
    answered: float
    p95: float
    does: bool


@dataclass(frozen=True, slots=True)
class RateFound:
    """The highest rate whose p95 stayed within a latency (seconds), 0 for none; and the lowest that did not."""

    latency: float
    good: float
    bad: float | None
    tried: list[RateTried]
