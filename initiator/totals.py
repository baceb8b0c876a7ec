"""What became of the queries, messages and short sessions of several runs together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from initiator.churn_figures import ChurnCounts, failed_of
from initiator.snapshot import QueryFigures, SendFigures


@dataclass(frozen=True, slots=True)
class QueryTotals:
    """Counts as in QueryFigures, since the start of the process."""

    due: int = 0
    sent: int = 0
    answered: int = 0
    unsent: int = 0
    timeouts: int = 0
    lost: int = 0
    late: int = 0
    unknown: int = 0
    malformed: int = 0
    truncated: int = 0
    rcodes: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> dict[str, int]:
        """All that was due and not answered in time, by reason."""
        return {"timeout": self.timeouts, "session lost": self.lost, "unsent": self.unsent}

    def plus(self, figures: QueryFigures) -> "QueryTotals":
        """Return the totals with one more run."""
        names = [item.name for item in fields(self) if item.name != "rcodes"]
        counts = {name: getattr(self, name) + getattr(figures, name) for name in names}
        return QueryTotals(**counts, rcodes=self.rcodes + Counter(figures.rcodes))


@dataclass(frozen=True, slots=True)
class MessageTotals:
    """Counts as in SendFigures, since the start of the process; `missed` are messages, without bytes."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    unanswered: int = 0
    unexpected: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> dict[str, int]:
        """All that was sent and had no answer, or a wrong one, by reason."""
        return {"session lost": self.lost, "unanswered": self.unanswered, **self.wrong}

    def plus(self, figures: SendFigures) -> "MessageTotals":
        """Return the totals with one more run."""
        names = ("sent", "answered", "lost", "unanswered", "unexpected")
        counts = {name: getattr(self, name) + getattr(figures, name) for name in names}
        missed = Counter(figures.missed if figures.unit == "messages" else {})
        return MessageTotals(**counts, missed=self.missed + missed, wrong=self.wrong + Counter(figures.wrong))


@dataclass(frozen=True, slots=True)
class ChurnTotals:
    """Counts as in ChurnCounts, since the start of the process; `failed` has all that was due and came to nothing."""

    due: int = 0
    begun: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def plus(self, rows: Sequence[ChurnCounts]) -> "ChurnTotals":
        """Return the totals with some more rates that were tried."""
        names = ("due", "begun", "completed")
        counts = {name: getattr(self, name) + sum(getattr(row, name) for row in rows) for name in names}
        return ChurnTotals(**counts, failed=sum((Counter(failed_of(row)) for row in rows), self.failed))


@dataclass(frozen=True, slots=True)
class Totals:
    """All of them."""

    queries: QueryTotals = field(default_factory=QueryTotals)
    messages: MessageTotals = field(default_factory=MessageTotals)
    churn: ChurnTotals = field(default_factory=ChurnTotals)

    def plus(
        self, query: QueryFigures | None = None, send: SendFigures | None = None, churn: Sequence[ChurnCounts] = ()
    ) -> "Totals":
        """Return the totals with one more run of each kind that is given, and so many rates of churn."""
        return Totals(
            self.queries.plus(query) if query else self.queries,
            self.messages.plus(send) if send else self.messages,
            self.churn.plus(churn),
        )
