"""The figures of the probes as text for people."""

from collections.abc import Iterator
from typing import Final

from common.render import by_reason, field
from common.units import format_duration, format_milliseconds
from initiator.probes.figures import BenchFigures, Progress, RateFigures, SessionsFigures, Spread

_BOUNDS: Final = {
    None: "being stopped",
    "path": "the path, which takes no more",
    "limit": "the limit that was asked for",
}


def progress_text(now: Progress) -> str:
    """Return what a probe tries now, for the toolbar."""
    left = "" if now.left is None else f", {format_duration(max(0.0, now.left))} left"
    return f"{now.name}: {now.trying}{left}"


def bench_text(now: BenchFigures) -> Iterator[str]:
    """Yield the lines of a bench: what was asked, what came of it, and a line for each round."""
    settings = now.settings
    rounds = f"{settings.rounds} rounds of {settings.sessions} sessions"
    yield field("Bench", f"{rounds}, {len(now.rounds)} made in {format_duration(now.seconds)}")
    yield field("Echoes verified", f"{now.answered} of {settings.sessions * settings.rounds}")
    yield field("Failed", by_reason(now.failures))
    yield field("Establishment", _spread(now.connect))
    yield field("Echo from the barrier", _spread(now.corrected))
    yield field("Echo from its sending", _spread(now.raw))
    for done in now.rounds:
        failed = f", failed {by_reason(done.failures)}" if done.failures else ""
        yield field(f"Round {done.round}", f"{_spread(done.raw)}{failed}")


def sessions_text(now: SessionsFigures) -> Iterator[str]:
    """Yield the lines of a search for how many sessions the path takes."""
    yield field("Sessions the path takes", f"{_least(now)}{now.most}, each confirmed by an echo")
    yield field("Held beside them", now.beside)
    if now.held_for:
        yield field("Confirmed after holding", f"{now.confirmed} after {format_duration(now.held_for)}")
    yield field("New sessions tried", f"{now.tried} in {format_duration(now.seconds)}")
    yield field("New sessions refused", by_reason(now.refused))
    yield field("Older sessions lost", by_reason(now.losses))
    yield field("Older ones make room", f"yes: {now.evicted} lost while others were opened" if now.evicted else "no")
    yield field("The search ended by", _BOUNDS.get(now.bound, f"{now.bound} of this host"))


def rate_text(now: RateFigures) -> Iterator[str]:
    """Yield the lines of a search for the highest rate of new sessions, and a line for each rate that was tried."""
    for trial in now.trials:
        verdict = f"failed {by_reason(trial.failures)}" if trial.failures else "none failed"
        unsent = f", {trial.unsent} not sent in time" if trial.unsent else ""
        yield f"{trial.phase} {trial.rate:.1f} a second: {trial.sent_rate:.1f} sent, {verdict}{unsent}"
    held = f"for {format_duration(now.settings.seconds)} without a failure"
    best = f"{_least_rate(now)}{now.good:.1f} a second {held}" if now.good else f"none found {held}"
    yield field("Highest rate", best)
    yield field("Lowest rate that failed", f"{now.bad:.1f} a second" if now.bad else "none")
    if now.taken is not None:
        yield field("Taken when overloaded", f"{now.taken:.1f} a second")
    yield field("Establishment", _spread(now.connect))
    if not now.done:
        yield field("The search ended by", "being stopped")
    elif now.host_bound:
        yield field("The search ended by", "this host, which can send no faster")


def _least_rate(now: RateFigures) -> str:
    return "" if now.bad else "at least "


def _least(now: SessionsFigures) -> str:
    return "" if now.bound == "path" else "at least "


def _spread(times: Spread) -> str:
    names = ("min", "p50", "p95", "p99", "max")
    values = (times.lowest, times.p50, times.p95, times.p99, times.highest)
    return "  ".join(f"{name} {format_milliseconds(value)}" for name, value in zip(names, values, strict=True))
