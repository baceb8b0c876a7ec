"""How old sessions were when they were lost, by target and reason; pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.addresses import Address

# Ages are counted in steps that double: below 1/8 s, below 1/4 s, ... the last is for all of 97 days and more.
_STEPS_A_SECOND: Final = 8
_LAST: Final = 27


@dataclass(frozen=True, slots=True)
class AgeBucket:
    """How many sessions were lost at an age, in seconds, of at least `low` and below `high`, None for any."""

    low: float
    high: float | None
    lost: int


@dataclass(frozen=True, slots=True)
class AgesRow:
    """The ages of the sessions to one target that were lost for one reason."""

    target: str
    reason: str
    lost: int
    ages: list[AgeBucket]


@dataclass(frozen=True, slots=True)
class AgesFigures:
    """The ages by reason over all targets, and by reason and target, most lost ones first."""

    reasons: dict[str, list[AgeBucket]]
    targets: list[AgesRow]


class Ages:
    """Counts of ages: at most so many numbers for each target and reason as there are steps."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Address, str], Counter[int]] = {}

    def record(self, target: Address, reason: str, age: float) -> None:
        """Count a session that was lost at an age in seconds; O(1)."""
        counts = self._counts.get((target, reason))
        if counts is None:
            counts = self._counts[target, reason] = Counter()
        counts[min(_LAST, int(age * _STEPS_A_SECOND).bit_length())] += 1

    def figures(self, target: Address | None = None) -> AgesFigures:
        """Return what was counted, of one target alone where one is given; O(targets)."""
        reasons: dict[str, Counter[int]] = {}
        rows: list[AgesRow] = []
        for (address, reason), counts in self._counts.items():
            if target is None or target == address:
                reasons.setdefault(reason, Counter()).update(counts)
                rows.append(AgesRow(str(address), reason, counts.total(), _buckets(counts)))
        rows.sort(key=lambda row: -row.lost)
        return AgesFigures({reason: _buckets(counts) for reason, counts in reasons.items()}, rows)


def merge_ages(parts: Sequence[AgesFigures]) -> AgesFigures:
    """Return the figures of several processes together."""
    reasons: dict[str, Counter[int]] = {}
    targets: dict[tuple[str, str], Counter[int]] = {}
    for part in parts:
        for reason, buckets in part.reasons.items():
            reasons.setdefault(reason, Counter()).update(_counts(buckets))
        for row in part.targets:
            targets.setdefault((row.target, row.reason), Counter()).update(_counts(row.ages))
    rows = [AgesRow(*key, counts.total(), _buckets(counts)) for key, counts in targets.items()]
    rows.sort(key=lambda row: -row.lost)
    return AgesFigures({reason: _buckets(counts) for reason, counts in reasons.items()}, rows)


def _counts(buckets: Sequence[AgeBucket]) -> dict[int, int]:
    """Return the counts by step."""
    return {int(bucket.low * _STEPS_A_SECOND).bit_length(): bucket.lost for bucket in buckets}


def _buckets(counts: Counter[int]) -> list[AgeBucket]:
    """Return the buckets from the first to the last that is not empty."""
    first, last = min(counts), max(counts)
    return [
        AgeBucket(_bound(step - 1) if step else 0.0, _bound(step) if step < _LAST else None, counts[step])
        for step in range(first, last + 1)
    ]


def _bound(step: int) -> float:
    """Return the age, in seconds, that all that are counted at a step are below."""
    return (1 << step) / _STEPS_A_SECOND
