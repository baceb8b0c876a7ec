"""The report of what an initiator has done: frozen figures, as text, JSON, CSV or a percentile table."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import UsageError
from common.hdr import percentile_table
from common.render import by_reason, field, long_json
from common.units import format_bandwidth, format_count, format_duration, per_second
from initiator.churn_figures import ChurnFigures
from initiator.churn_render import churn_text
from initiator.find_render import found_text
from initiator.latencies import Latencies
from initiator.load_render import latency_text, query_text, run_text, send_text
from initiator.probes.figures import BENCH, FIND, BenchFigures, FindFigures
from initiator.reports.history import History
from initiator.reports.page import page
from initiator.snapshot import LatencyRow, QueryFigures, Segments, SendFigures
from initiator.traffic import Traffic

_FORMATS: Final = ".html, .json, .csv or .hgrm"


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked for, what became of it, and how it was set; times in seconds, rates in bytes a second.

    `settings` repeat the last run of each name; `seconds` and `traffic` are those of the last run over held sessions,
    or since the start where there was none. `segments` are of a sample of sessions, since each was established.
    `history` is there in what is written to a file.
    """

    settings: dict[str, str]
    seconds: float
    asked: int
    held: int
    established: int
    losses: dict[str, int]
    failures: dict[str, int]
    traffic: Traffic
    segments: Segments
    query: QueryFigures | None
    send: SendFigures | None
    churn: ChurnFigures | None
    bench: BenchFigures | None
    find: FindFigures | None
    latencies: list[LatencyRow]
    history: History | None = None


def report_text(report: Report) -> Iterator[str]:
    """Yield the report's lines."""
    traffic = report.traffic
    up, down = (per_second(count, report.seconds) for count in (traffic.sent, traffic.received))
    yield field("Duration", format_duration(report.seconds))
    yield field("Sessions", f"{report.asked} asked for, {report.held} held, {report.established} established")
    yield field("Lost sessions", by_reason(report.losses))
    yield field("Failed attempts", by_reason(report.failures))
    if report.query:
        yield from run_text("query", report.settings.get("query"), query_text(report.query))
    if report.send:
        yield from run_text("send", report.settings.get("send"), send_text(report.send))
    if report.churn:
        name = report.churn.name
        yield from run_text(name, report.settings.get(name), churn_text(report.churn))
    for name, found in ((BENCH, report.bench), (FIND, report.find)):
        if found:
            yield from run_text(name, report.settings.get(name), found_text(found))
    yield field("Bytes sent and received", f"{traffic.sent}, {traffic.received}")
    yield field("Bandwidth", f"{format_bandwidth(up)} up, {format_bandwidth(down)} down")
    yield field("Bandwidth of a session", _bandwidth_of_one(report.held, up, down))
    yield field("Writes and reads", f"{traffic.writes}, {traffic.reads}")
    sample = report.segments
    of_them = f"of {format_count(sample.sessions, 'session')}, since each was established"
    yield field(
        "Segments out and in", f"{sample.sent}, {sample.received}, retransmitted {sample.retransmitted} ({of_them})"
    )
    for row in report.latencies:
        yield from latency_text([row])


def _bandwidth_of_one(held: int, up: float | None, down: float | None) -> str:
    """Return what each of the held sessions has of the bandwidth; with none of them, that of all would be nobody's."""
    if not held:
        return "no session is held"
    one_up, one_down = (None if bandwidth is None else bandwidth / held for bandwidth in (up, down))
    return f"{format_bandwidth(one_up)} up, {format_bandwidth(one_down)} down"


def write_report(path: Path, report: Report, latencies: Latencies) -> None:
    """Write a report in the format that the file's name ends with; raises UsageError.

    It may take a second, and is for a thread.
    """
    if path.suffix == ".json":
        text = long_json(report) + "\n"
    elif path.suffix == ".html":
        text = page(report)
    elif path.suffix == ".csv":
        text = _latencies_csv(report.latencies)
    elif path.suffix == ".hgrm":
        text = percentile_table((latencies.message if report.send else latencies.query).corrected)
    else:
        raise UsageError(f"report: {path} ends with none of {_FORMATS}")
    try:
        # The bytes of a line that were no text stand for themselves in it, and cannot be encoded.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as failure:
        raise UsageError(f"report: {path} cannot be written: {failure.strerror}") from None


def _latencies_csv(rows: Sequence[LatencyRow]) -> str:
    """Return the latencies as a table, one row each, in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(rows[0].percentiles) if rows else []
    writer.writerow(["latency", "kind", "count", "mean", "max", *(f"p{name}" for name in names)])
    for row in rows:
        writer.writerow([row.name, row.kind, row.count, row.mean, row.highest, *row.percentiles.values()])
    return text.getvalue()
