"""The figures of the probes as text for people."""

from collections.abc import Iterator
from typing import Final

from common.render import by_reason, field, progress_bar
from common.units import format_count, format_duration, format_exactly, format_milliseconds
from initiator.probes.ages import AgeBucket, AgesFigures
from initiator.probes.figures import (
    BenchFigures,
    IdleFigures,
    KeepaliveFigures,
    ProbeFigures,
    Progress,
    RateFigures,
    SessionsFigures,
    Spread,
)
from initiator.probes.idleness import Memory, keepalive_times
from initiator.reports.history import Row, Table

_WORKER: Final = "the end of a worker"

_BOUNDS: Final = {
    None: "being stopped",
    "path": "the path, which takes no more",
    "limit": "the limit that was asked for",
    "worker": _WORKER,
}


# Lines of targets that `ages` shows.
_TARGETS: Final = 20

_REACTIONS: Final = {"timeout": "silence", "rst": "a reset"}


def progress_text(now: Progress) -> str:
    """Return what a probe tries now, for the toolbar."""
    left = "" if now.left is None else f", {format_duration(max(0.0, now.left))} left"
    return f"{now.name}: {now.trying}{left}"


def found_text(now: ProbeFigures) -> Iterator[str]:
    """Yield the lines of what a probe has found."""
    if isinstance(now, BenchFigures):
        return bench_text(now)
    if isinstance(now, SessionsFigures):
        return sessions_text(now)
    if isinstance(now, RateFigures):
        return rate_text(now)
    return idle_text(now)


def found_table(now: ProbeFigures) -> Table:
    """Return what a report shows of what a probe has found."""
    if isinstance(now, BenchFigures):
        return bench_table(now)
    if isinstance(now, SessionsFigures):
        return sessions_table(now)
    if isinstance(now, RateFigures):
        return rate_table(now)
    return idle_table(now)


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
    rounds = f"{format_count(settings.rounds, 'round')} of {format_count(settings.sessions, 'session')}"
    yield field("Bench", f"{rounds}, {len(now.rounds)} made in {format_duration(now.seconds)}")
    yield field("Echoes verified", _verified(now))
    yield field("Failed", by_reason(now.failures))
    yield field("Establishment", _spread(now.connect))
    yield field("Echo from the barrier", _spread(now.corrected))
    yield field("Echo from its sending", _spread(now.raw))
    for done in now.rounds:
        failed = f", failed {by_reason(done.failures)}" if done.failures else ""
        yield field(f"Round {done.round}", f"{_spread(done.raw)}{failed}")


def bench_table(now: BenchFigures) -> Table:
    """Return a row for each round, with the times from the sending to the echo."""
    rows: list[Row] = [
        {
            "round": done.round,
            "answered": done.answered,
            "failed": by_reason(done.failures),
            **_times(done.raw),
        }
        for done in now.rounds
    ]
    summary = f"Echoes verified: {_verified(now)}, in {format_duration(now.seconds)}"
    return Table(rows, f"{summary}; failed: {by_reason(now.failures)}")


def _verified(now: BenchFigures) -> str:
    return f"{now.answered} of {now.settings.sessions * now.settings.rounds}"


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


def sessions_table(now: SessionsFigures) -> Table:
    """Return one row."""
    row: Row = {
        "tried": now.tried,
        "refused": by_reason(now.refused),
        "held beside": now.beside,
        "still confirmed": now.confirmed,
        "after": format_duration(now.held_for),
        "lost": by_reason(now.losses),
        "lost while opening": now.evicted,
    }
    ended = f"ended by {_BOUNDS.get(now.bound, f'{now.bound} of this host')}"
    return Table([row], f"Sessions the path takes: {_least(now)}{now.most}, {ended}")


def rate_text(now: RateFigures) -> Iterator[str]:
    """Yield the lines of a search for the highest rate of new sessions, and a line for each rate that was tried."""
    for trial in now.trials:
        verdict = f"failed {by_reason(trial.failures)}" if trial.failures else "none failed"
        unsent = f", {trial.unsent} not sent in time" if trial.unsent else ""
        yield f"{trial.phase} {trial.rate:.1f} a second: {trial.sent_rate:.1f} sent, {verdict}{unsent}"
    yield field("Highest rate", _best(now))
    yield field("Lowest rate that failed", _worst(now))
    if now.taken is not None:
        yield field("Taken when overloaded", f"{now.taken:.1f} a second")
    yield field("Burst beyond that rate", _burst(now))
    yield field("Establishment", _spread(now.connect))
    if not now.done:
        yield field("The search ended by", _WORKER if now.worker_ended else "being stopped")
    elif now.host_bound:
        slow = "can send no faster" if now.taken is None else "cannot send more of them evenly enough"
        yield field("The search ended by", f"this host, which {slow}")


def rate_table(now: RateFigures) -> Table:
    """Return a row for each rate that was tried."""
    rows: list[Row] = [
        {
            "trial": trial.phase,
            "rate": f"{trial.rate:,.1f}/s",
            "sent": trial.sent,
            "sent/s": f"{trial.sent_rate:,.1f}",
            "not sent in time": trial.unsent,
            "failed": by_reason(trial.failures),
        }
        for trial in now.trials
    ]
    found = f"Highest rate: {_best(now)}; lowest rate that failed: {_worst(now)}"
    return Table(rows, f"{found}; burst beyond that rate: {_burst(now)}")


def _burst(now: RateFigures) -> str:
    """Return how many a limit lets through at once: a rate above it does well for as long as these last."""
    if now.burst is None:
        sent = sum(trial.sent for trial in now.trials)
        if not sent or any(trial.failures for trial in now.trials):
            return "not known yet" if now.running else "not known"
        return f"not known: a limit that lets {sent} through at first would not have shown"
    if not now.taken:
        return "none"
    return f"{format_count(int(now.burst), 'session')} or more, used up before each try"


def _best(now: RateFigures) -> str:
    held = f"for {format_exactly(now.settings.seconds)} without a failure"
    return f"{_least_rate(now)}{now.good:.1f} a second {held}" if now.good else f"none found {held}"


def _worst(now: RateFigures) -> str:
    return f"{now.bad:.1f} a second" if now.bad else "none"


def idle_text(now: IdleFigures) -> Iterator[str]:
    """Yield the lines of a search for how long the path remembers an idle session."""
    found = now.memory
    yield field("Idle sessions remembered", _remembered(found))
    yield field("Then answered by", _reaction(found.answers))
    if found.unasked:
        yield field("Ended while idle", by_reason(found.unasked))
    if found.later:
        yield field("Remembered for longer", format_count(found.later, "group"))
    for kept in now.keepalive:
        counts = f"{kept.answered} answered, failed {by_reason(kept.failures)}"
        yield field(f"Keepalive every {kept.idle} s", f"{_holds(kept)} those silent for {kept.silent:.1f} s: {counts}")
    if not now.keepalive:
        yield field("Keepalive", _untried(now))
    groups = f"{now.groups} groups spoken on, {now.sessions} sessions, in {format_duration(now.seconds)}"
    yield field("Tried", f"{groups}{'' if now.done else ', then stopped'}")
    yield field("Could not be opened", by_reason(now.failures))


def idle_table(now: IdleFigures) -> Table:
    """Return a row for each keepalive that was tried."""
    rows: list[Row] = [
        {
            "keepalive every": format_duration(kept.idle),
            "silent for": format_duration(kept.silent),
            "answered": kept.answered,
            "failed": by_reason(kept.failures),
            "verdict": _holds(kept).removesuffix(" of"),
        }
        for kept in now.keepalive
    ]
    found = now.memory
    summary = f"Idle sessions remembered {_remembered(found)}; then answered by {_reaction(found.answers)}"
    keepalive = "" if now.keepalive else f"; keepalive {_untried(now)}"
    return Table(rows, f"{summary}; {now.groups} groups spoken on, {now.sessions} sessions{keepalive}")


def _untried(now: IdleFigures) -> str:
    """Return why nothing is known of keepalive."""
    if now.running:
        return "not tried yet: at the end, if the path has forgotten any group"
    if not now.done:
        return "not tried: the search ended before"
    if not now.groups:
        return "not tried: no session could be opened"
    if now.memory.forgotten is None:
        return "not tried: nothing was forgotten that it could have held"
    if not keepalive_times(now.settings.up_to):
        return "not tried: it takes 1 s at least, and an up-to that is longer"
    return "not tried: its sessions could not be opened"


def _holds(kept: KeepaliveFigures) -> str:
    if not kept.failures:
        return "holds"
    return "holds some of" if kept.answered else "does not hold"


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


def _spread(times: Spread | None) -> str:
    return "  ".join(f"{name} {text}" for name, text in _times(times).items()) if times else format_milliseconds(None)


def _times(times: Spread | None) -> dict[str, str | None]:
    """Return the times of a spread by the names that they are shown under, None where none were measured."""
    if not times:
        return dict.fromkeys(("min", "p50", "p95", "p99", "max"))
    values = {"min": times.lowest, "p50": times.p50, "p95": times.p95, "p99": times.p99, "max": times.highest}
    return {name: format_milliseconds(value) for name, value in values.items()}
