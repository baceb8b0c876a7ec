"""The figures of the probes as text for people."""

from collections.abc import Iterator
from typing import Final

from common.render import by_reason, field, progress_bar
from common.units import format_duration, format_milliseconds
from initiator.probes.ages import AgeBucket, AgesFigures
from initiator.probes.figures import BenchFigures, IdleFigures, Progress, RateFigures, SessionsFigures, Spread
from initiator.probes.idleness import Memory

_BOUNDS: Final = {
    None: "being stopped",
    "path": "the path, which takes no more",
    "limit": "the limit that was asked for",
}


# Lines of targets that `ages` shows.
_TARGETS: Final = 20

_REACTIONS: Final = {"timeout": "silence", "rst": "a reset"}


def progress_text(now: Progress) -> str:
    """Return what a probe tries now, for the toolbar."""
    left = "" if now.left is None else f", {format_duration(max(0.0, now.left))} left"
    return f"{now.name}: {now.trying}{left}"


def found_text(now: BenchFigures | SessionsFigures | RateFigures | IdleFigures) -> Iterator[str]:
    """Yield the lines of what a probe has found."""
    if isinstance(now, BenchFigures):
        return bench_text(now)
    if isinstance(now, SessionsFigures):
        return sessions_text(now)
    if isinstance(now, RateFigures):
        return rate_text(now)
    return idle_text(now)


def ages_text(now: AgesFigures) -> Iterator[str]:
    """Yield a histogram for each reason, and a line for each of the targets that lost most."""
    if not now.reasons:
        yield "No session has been lost"
    for reason, buckets in now.reasons.items():
        lost = sum(bucket.lost for bucket in buckets)
        yield f"Lost by {reason}: {lost}"
        for bucket in buckets:
            yield f"   {_ages(bucket):<18}{bucket.lost:>8}  {progress_bar(bucket.lost, lost)}"
    for row in now.targets[:_TARGETS]:
        most = max(row.ages, key=lambda bucket: bucket.lost)
        yield f"{row.target:<22}: {row.reason} {row.lost}, most at {_ages(most)} ({most.lost})"
    if len(now.targets) > _TARGETS:
        yield f"... and {len(now.targets) - _TARGETS} more; `ages on TARGET` and `ages --json` show them"


def _ages(bucket: AgeBucket) -> str:
    if bucket.high is None:
        return f"{format_duration(bucket.low)} or more"
    if bucket.high < 1:
        return f"{bucket.low * 1000:.0f}ms to {bucket.high * 1000:.0f}ms"
    return f"{format_duration(bucket.low)} to {format_duration(bucket.high)}"


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


def idle_text(now: IdleFigures) -> Iterator[str]:
    """Yield the lines of a search for how long the path remembers an idle session."""
    found = now.memory
    yield field("Idle sessions remembered", _remembered(found))
    yield field("Then answered by", _reaction(found.answers))
    if found.unasked:
        yield field("Ended while idle", by_reason(found.unasked))
    if found.later:
        yield field("Remembered for longer", f"{found.later} groups")
    for kept in now.keepalive:
        verdict = "holds" if not kept.failures else "does not hold" if not kept.answered else "holds some of"
        counts = f"{kept.answered} answered, failed {by_reason(kept.failures)}"
        yield field(f"Keepalive every {kept.idle} s", f"{verdict} those silent for {kept.silent:.1f} s: {counts}")
    groups = f"{now.groups} groups spoken on, {now.sessions} sessions, in {format_duration(now.seconds)}"
    yield field("Tried", f"{groups}{'' if now.done else ', then stopped'}")
    yield field("Could not be opened", by_reason(now.failures))


def _remembered(found: Memory) -> str:
    if found.forgotten is None:
        return f"at least for {found.remembered:.2f} s" if found.remembered else "nothing known"
    lower = f"for {found.remembered:.2f} s" if found.remembered else "for none of the times tried"
    return f"{lower}, and forgotten after {found.forgotten:.2f} s"


def _reaction(answers: dict[str, int]) -> str:
    return ", ".join(f"{_REACTIONS.get(reason, reason)} ({count})" for reason, count in answers.items()) or "nothing"


def _least_rate(now: RateFigures) -> str:
    return "" if now.bad else "at least "


def _least(now: SessionsFigures) -> str:
    return "" if now.bound == "path" else "at least "


def _spread(times: Spread) -> str:
    names = ("min", "p50", "p95", "p99", "max")
    values = (times.lowest, times.p50, times.p95, times.p99, times.highest)
    return "  ".join(f"{name} {format_milliseconds(value)}" for name, value in zip(names, values, strict=True))
