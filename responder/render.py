"""The responder's figures as text for people; the first lines of each are those that scripts already read."""

from collections.abc import Iterator

from common.render import by_reason, field, limits_text, workers_text, yes_no
from common.units import format_count, format_duration, format_milliseconds
from responder.settings import Settings
from responder.snapshot import ClientRow, ListenerRow, MarkerFigures, Snapshot


def status_text(now: Snapshot, debug: bool) -> Iterator[str]:
    """Yield the lines of `status`."""
    yield field("Connected clients", now.held)
    yield field("Active listeners", now.listeners)
    yield field("Clients hash size", now.hashsize)
    yield field("Clients hash max depth", now.max_depth)
    yield field("Listeners hash max depth", now.listeners_max_depth)
    yield field("Max descriptors limit", limits_text(now.descriptors, now.workers))
    yield field("Debug output", yes_no(debug))
    yield field("Sessions per second", f"{now.rate:.0f}")
    yield field("Accepted sessions", now.accepted)
    yield field("Lost sessions", by_reason(now.losses))
    yield field("Bytes received", now.received)
    yield field("Bytes echoed", now.echoed)
    yield field("Accept errors", now.accept_errors)
    yield field("Exhausted", _exhausted(now))
    yield field("Longest pause", format_milliseconds(now.longest_pause))
    yield field("Age of these figures", format_duration(now.age))
    yield field("Bytes sent", now.sent)
    yield field("Messages sent", now.messages)
    yield field("Messages missed", now.missed)
    yield field("Dump of traffic", now.dump or "no")
    if now.workers:
        yield field("Workers", workers_text(now.workers))
    if now.marker:
        yield from _marker_text(now.marker)


def listener_text(row: ListenerRow) -> Iterator[str]:
    """Yield the line of one listener in `listeners`."""
    yield (
        f"{row.listener} : {row.accepted} accepted connections, {row.held} held, mode {row.mode}, "
        f"{row.received} bytes received, {row.sent} bytes sent, {row.messages} messages sent"
    )


def client_text(row: ClientRow) -> Iterator[str]:
    """Yield the line of one client in `list`."""
    yield f"{row.peer}->{row.local} : last action {int(row.idle)} seconds ago"


def _marker_text(marker: MarkerFigures) -> Iterator[str]:
    ahead = f", {marker.ahead} of them ahead of our clock" if marker.ahead else ""
    yield field("Messages with a marker", f"{marker.messages}, {marker.rate:.0f} per second{ahead}")
    latency = "none yet"
    if marker.messages > marker.ahead:
        latency = f"p50 {format_milliseconds(marker.p50)}, p99 {format_milliseconds(marker.p99)}, by one host's clock"
    yield field("One-way latency", latency)


def _exhausted(now: Snapshot) -> str:
    kinds = ", ".join(now.exhausted) or "nothing"
    return f"{kinds} (listeners are paused)" if now.paused else kinds


def greeting_text(now: Snapshot, settings: Settings, somaxconn: int | None) -> str:
    """Return the line that says what this run is, so that it can be repeated."""
    backlog = str(settings.backlog)
    if somaxconn is not None and somaxconn < settings.backlog:
        backlog = f"{somaxconn} (net.core.somaxconn allows no more)"
    tls = f"TLS with {settings.tls.certificate}, " if settings.tls else ""
    listeners = format_count(now.listeners, "listener")
    return f"{listeners}, {tls}backlog {backlog}, at most {now.descriptors[0]} descriptors"


def toolbar_text(now: Snapshot) -> str:
    """Return the line below the prompt."""
    parts = [format_count(now.held, "client"), f"{now.rate:.0f}/s", f"{sum(now.losses.values())} lost"]
    if now.exhausted:
        parts.append(f"out of {_exhausted(now)}")
    return "  ".join(parts)
