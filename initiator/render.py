"""The initiator's figures as text for people; the first lines of each are those that scripts already read."""

from collections.abc import Iterator

from common.render import by_reason, field, limits_text, progress_bar, workers_text, yes_no
from common.units import format_bandwidth, format_count, format_duration, format_exactly, format_milliseconds
from initiator.churn_render import churn_text, toolbar_part
from initiator.find_render import progress_text
from initiator.load_render import query_text, send_text
from initiator.settings import PING_INTERVAL, Settings
from initiator.snapshot import SessionRow, Snapshot, TargetSnapshot


def status_text(now: Snapshot, debug: bool) -> Iterator[str]:
    """Yield the lines of `status`."""
    yield field("Connections requested", now.asked)
    yield field("Connected clients", now.held)
    yield field("Configured targets", now.targets)
    yield field("Max descriptors limit", limits_text(now.descriptors, now.workers))
    yield field("Ping through connections", yes_no(now.ping))
    yield field("Debug output", yes_no(debug))
    yield field("Sessions per second", f"{now.rate:.0f}")
    yield field("Attempts under way", f"{now.attempts}{_at_most(now)}")
    yield field("Confirmed by an answer", f"{now.confirmed} ever, {now.confirmed_last_minute} in the last minute")
    yield field("Lost sessions", by_reason(now.losses))
    yield field("Failed attempts", by_reason(now.failures))
    if now.lifetime is not None or now.replaced:
        yield field("Replaced sessions", _replaced(now))
    yield field("Pausing targets", now.pausing_targets)
    yield field("Exhausted", _exhausted(now))
    yield field("Ping round trip", _round_trip(now))
    if now.query:
        yield from query_text(now.query)
    if now.send:
        yield from send_text(now.send)
    if now.churn:
        yield from churn_text(now.churn)
    yield field("Bytes sent and received", f"{now.traffic.sent}, {now.traffic.received}")
    if now.dump:
        yield field("Dump of traffic", now.dump)
    yield field("Sessions hash size", now.hashsize)
    yield field("Sessions hash max depth", now.max_depth)
    yield field("Longest pause", format_milliseconds(now.longest_pause))
    yield field("Age of these figures", format_duration(now.age))
    if now.workers:
        yield field("Workers", workers_text(now.workers))


def target_text(target: TargetSnapshot) -> Iterator[str]:
    """Yield the lines of one target in `details`."""
    yield f"Target {target.target}:"
    yield f"   Maximum allowed connections       : {target.share}"
    yield f"   Currently established connections : {target.held}"
    yield f"   Session hash max depth            : {target.max_depth}"
    yield f"   Session hash size                 : {target.hashsize}"
    yield f"   Attempts under way                : {target.attempts}{_state(target)}"
    yield f"   Lost sessions                     : {by_reason(target.losses)}"
    yield f"   Failed attempts                   : {by_reason(target.failures)}"


def session_text(row: SessionRow) -> Iterator[str]:
    """Yield the line of one session in `list`."""
    yield (
        f"{row.local}->{row.remote} : age {format_duration(row.age)}, "
        f"last sent {_ago(row.sent_ago)}, last heard {_ago(row.heard_ago)}"
    )


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{format_duration(seconds)} ago"


def _exhausted(now: Snapshot) -> str:
    without_ports = format_count(now.targets_without_ports, "target")
    kinds = [f"{kind} ({without_ports})" if kind == "ports" else kind for kind in now.exhausted]
    return ", ".join(kinds) or "nothing"


def _at_most(now: Snapshot) -> str:
    return "" if now.connect_rate is None else f" (at most {now.connect_rate:g} begun a second)"


def _replaced(now: Snapshot) -> str:
    return f"{now.replaced} (lifetime {'off' if now.lifetime is None else format_exactly(now.lifetime)})"


def _round_trip(now: Snapshot) -> str:
    usual = now.ping_interval in (None, PING_INTERVAL)
    interval = "" if usual or not now.ping_interval else f" (interval {interval_text(now.ping_interval)})"
    if not now.pings_answered:
        return f"no answers yet{interval}"
    p50, p99 = format_milliseconds(now.round_trip_p50), format_milliseconds(now.round_trip_p99)
    return f"p50 {p50}, p99 {p99}, {now.pings_answered} answers{interval}"


def interval_text(times: tuple[float, float]) -> str:
    """Return the two ends of a range of times, in seconds, for people."""
    return f"{format_exactly(times[0])} to {format_exactly(times[1])}"


def _state(target: TargetSnapshot) -> str:
    if target.without_ports:
        return " (out of ports, pausing)"
    return " (pausing after a failure)" if target.pausing else ""


def greeting_text(now: Snapshot, settings: Settings) -> str:
    """Return the line that says what this run is, so that it can be repeated."""
    tls = "" if settings.tls is None else "TLS, " if settings.tls.verify else "TLS that verifies nothing, "
    return (
        f"{format_count(now.targets, 'target')}, {tls}connect timeout {format_exactly(settings.connect_timeout)}, "
        f"ping {'on' if settings.ping else 'off'}, ping timeout {format_exactly(settings.ping_timeout)}, "
        f"at most {now.descriptors[0]} descriptors, seed {settings.seed}"
    )


def toolbar_text(now: Snapshot) -> str:
    """Return the line below the prompt: the progress while there is some to make, then how things stand."""
    parts = []
    if now.held != now.asked:
        parts.append(f"{progress_bar(now.held, now.asked)} {now.held}/{now.asked} sessions")
        parts.append(f"{now.rate:.0f}/s")
        if now.rate >= 1 and now.held < now.asked:
            parts.append(f"{format_duration((now.asked - now.held) / now.rate)} left")
    else:
        parts.append(f"{format_count(now.held, 'session')} held")
    if now.query and now.query.running:
        parts.append(f"{now.query.answered_rate:.0f} of {now.query.asked_rate:g} queries/s")
        parts.append(f"p95 {format_milliseconds(now.query_p95 or None)}")
        parts.append(f"{format_bandwidth(now.send_rate)} up, {format_bandwidth(now.receive_rate)} down")
    if now.send and now.send.running:
        asked = f" of {now.send.asked_rate:g}" if now.send.asked_rate else ""
        parts.append(f"{now.send.sent_rate:.0f}{asked} messages/s")
        if now.send.awaiting:
            parts.append(f"p95 {format_milliseconds(now.message_p95 or None)}")
        parts.append(f"{format_bandwidth(now.send_rate)} up, {format_bandwidth(now.receive_rate)} down")
    if now.churn and now.churn.running:
        parts.append(toolbar_part(now.churn))
    parts.extend(progress_text(probe) for probe in now.probes)
    parts.append(f"{sum(now.losses.values())} lost")
    if now.pausing_targets:
        parts.append(f"{now.pausing_targets} of {now.targets} targets pausing")
    if now.exhausted:
        parts.append(f"out of {_exhausted(now)}")
    return "  ".join(parts)
