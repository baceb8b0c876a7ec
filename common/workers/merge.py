"""How the figures of several workers become those of the whole; pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")

Rule = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """How the workers are: how many there are, how many were replaced, which are silent, and for how many seconds.

    The numbers of the silent begin with 1; what they hold is shown as they told it last. Those that are `missing`, by
    name, hold nothing: the others do their part.
    """

    count: int
    replaced: int
    silent: dict[str, float]
    missing: dict[str, float]


def merged(parts: Sequence[T], rules: Mapping[str, Rule]) -> T:
    """Return one frozen dataclass out of several: each field by the rule of its name, `field` or `Class.field`.

    Without one, by what they are: numbers and counts are added up, switches are on where one is, words are united,
    of texts the first that says something is taken, dataclasses are merged, and None is passed over.
    """
    first = parts[0]
    values: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        column = [getattr(part, field.name) for part in parts]
        rule = rules.get(f"{type(first).__name__}.{field.name}") or rules.get(field.name)
        known = [value for value in column if value is not None]
        if rule:
            values[field.name] = rule(known) if known else None
        else:
            values[field.name] = _merged_values(known, rules)
    return type(first)(**values)


def add_counts(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of counts by name."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def merge_rows(parts: Sequence[Sequence[T]], name: str, rules: Mapping[str, Rule]) -> list[T]:
    """Return a row for each that differs in the field `name`, merged out of all rows that are alike in it."""
    alike: dict[Any, list[T]] = {}
    for part in parts:
        for row in part:
            alike.setdefault(getattr(row, name), []).append(row)
    return [merged(rows, {name: first, **rules}) for rows in alike.values()]


def first(values: Sequence[Any]) -> Any:
    """Return the first value, where all are the same."""
    return values[0]


def chain(values: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Return all that there is, one behind the other."""
    return tuple(item for value in values for item in value)


def departed(part: T, gauges: Sequence[str]) -> T:
    """Return what remains of the figures of one that has ended: its counts, without what it was at the moment.

    `gauges` are the names of the fields that tell of a moment, in the dataclasses within as well.
    """
    changes: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if field.name in gauges:
            changes[field.name] = type(value)()
        elif is_dataclass(value):
            changes[field.name] = departed(value, gauges)
    return replace(part, **changes)  # type: ignore[type-var]


def _merged_values(known: Sequence[Any], rules: Mapping[str, Rule]) -> Any:
    if not known:
        return None
    value = known[0]
    if isinstance(value, bool):
        return any(known)
    if isinstance(value, int | float):
        return sum(known)
    if isinstance(value, str):
        return next((text for text in known if text), "")
    if isinstance(value, tuple):
        return tuple(sorted(set().union(*known)))
    if isinstance(value, Counter):
        return Counter(add_counts(known))
    if isinstance(value, Mapping):
        return add_counts(known)
    if is_dataclass(value):
        return merged(known, rules)
    raise TypeError(f"no rule says how {type(value).__name__} is merged")
