"""How figures are written for people: the labels' alignment, counts by reason, one JSON object a line."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from common.units import format_duration
from common.workers.merge import WorkerFigures

# The width of the labels that scripts already read: `Connections requested    : 40`.
_LABEL: Final = 25


def field(label: str, value: object) -> str:
    """Return one line of `status`."""
    return f"{label:<{_LABEL}}: {value}"


def yes_no(value: bool) -> str:
    """Return a switch as `status` shows it."""
    return "yes" if value else "no"


def limits_text(limits: tuple[int, int], workers: WorkerFigures | None) -> str:
    """Return the soft and the hard limit of a process, and what all workers have together."""
    soft, hard = limits
    if not workers:
        return f"{soft}/{hard}"
    return f"{soft}/{hard}, {soft * workers.count}/{hard * workers.count} in {workers.count} workers"


def workers_text(workers: WorkerFigures) -> str:
    """Return how the workers are."""
    replaced = f", {workers.replaced} replaced" if workers.replaced else ""
    silent = [f"{number} silent for {format_duration(seconds)}" for number, seconds in workers.silent.items()]
    missing = [f"{name} missing for {format_duration(seconds)}" for name, seconds in workers.missing.items()]
    return f"{workers.count}{replaced}{', '.join(['', *silent, *missing])}"


def by_reason(counts: Mapping[str, int]) -> str:
    """Return a total and what it is made of, greatest first: `7 (rst 5, timeout 2)`."""
    total = sum(counts.values())
    if not total:
        return "0"
    parts = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{total} ({', '.join(f'{reason} {count}' for reason, count in parts)})"


def as_json(result: Any) -> str:
    """Return a result as one line of JSON: a dataclass as an object, a list of them as an array."""
    return json.dumps(result, default=_plain, separators=(",", ":"))


def long_json(result: Any) -> str:
    """Return the same for a thread that makes a lot of it: it takes longer, and lets other threads run meanwhile."""
    return "".join(json.JSONEncoder(default=_plain, separators=(",", ":")).iterencode(result))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: getattr(value, entry.name) for entry in fields(value)}
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def progress_bar(held: int, asked: int, width: int = 20) -> str:
    """Return `[#######             ]`; more than asked for is a full one."""
    filled = min(width, held * width // asked) if asked else width
    return f"[{'#' * filled}{' ' * (width - filled)}]"
