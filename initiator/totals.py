"""What became of the queries of several runs together."""

from collections import Counter
from dataclasses import dataclass, field, fields

from initiator.snapshot import QueryFigures


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

    def plus(self, figures: QueryFigures) -> "QueryTotals":
        """Return the totals with one more run."""
        names = [item.name for item in fields(self) if item.name != "rcodes"]
        counts = {name: getattr(self, name) + getattr(figures, name) for name in names}
        return QueryTotals(**counts, rcodes=self.rcodes + Counter(figures.rcodes))
