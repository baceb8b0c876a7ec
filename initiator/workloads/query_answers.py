"""What has been heard in a run of queries: how many answers, how long they took, and what they say."""

from collections import Counter
from typing import Final

import dns.rcode

from initiator.latencies import Latency
from initiator.workloads.query_csv import QueryCsv

# Times kept before they are counted in the histograms, which is cheaper for many at once.
KEPT: Final = 1024

# In the flags of a DNS message: RFC 1035, 4.1.1.
_ANSWER: Final = 0x8000
_TRUNCATED: Final = 0x0200
_RCODE: Final = 0x000F


class Answers:
    """Answers to queries that are waited for, and other messages; rows of all go to `csv`.

    `corrected` (since it was due), `raw` (since it was sent), both in seconds, and `flags` have an item for each answer
    that is not counted yet; who adds to them past KEPT settles them. `late`, `unknown` and `malformed` are no answers.
    """

    def __init__(self, latency: Latency, csv: QueryCsv | None) -> None:
        self.csv = csv
        self.count = self.late = self.unknown = self.malformed = 0
        self.corrected: list[float] = []
        self.raw: list[float] = []
        self.flags: list[int] = []
        self._latency = latency
        self._flag_counts: Counter[int] = Counter()

    @property
    def heard(self) -> int:
        """How many answers have come, counted yet or not."""
        return self.count + len(self.corrected)

    @property
    def truncated(self) -> int:
        """How many of those counted were truncated."""
        return sum(count for flags, count in self._flag_counts.items() if flags & _TRUNCATED)

    def rcodes(self) -> dict[str, int]:
        """Return those counted by the name of their rcode; what came back as it was sent is `echo`."""
        counts: Counter[str] = Counter()
        for flags, count in self._flag_counts.items():
            counts[_rcode_name(flags)] += count
        return dict(counts)

    def settle(self) -> None:
        """Count what is kept."""
        self.count += len(self.corrected)
        self._latency.corrected.record_many(self.corrected)
        self._latency.raw.record_many(self.raw)
        self._flag_counts.update(self.flags)
        for kept in (self.corrected, self.raw, self.flags):
            kept.clear()

    def add_alike(self, flags: int, count: int) -> None:
        """Count the flags of so many answers that are alike, whose times are kept."""
        self._flag_counts[flags] += count

    def add_raw_alike(self, seconds: float, count: int) -> None:
        """Count the raw latency of so many answers that are alike, whose other times are kept."""
        self._latency.raw.record_same(seconds, count)


def _rcode_name(flags: int) -> str:
    return dns.rcode.to_text(dns.rcode.Rcode(flags & _RCODE)) if flags & _ANSWER else "echo"
