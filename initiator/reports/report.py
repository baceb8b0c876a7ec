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
from common.units import format_bandwidth, format_duration
from initiator.churn_figures import ChurnFigures
from initiator.churn_render import churn_text
from initiator.find_render import found_text
from initiator.latencies import Latencies
from initiator.load_render import latency_text, query_text, send_text
from initiator.probes.figures import BenchFigures, FindFigures
from initiator.reports.history import History
from initiator.reports.page import page
from initiator.snapshot import LatencyRow, QueryFigures, Segments, SendFigures
from initiator.traffic import Traffic

_FORMATS: Final = ".html, .json, .csv or .hgrm"


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked for, what became of it, and how it was set; times in seconds, rates in bytes a second.

    `settings` repeats the run; `seconds` and `traffic` are those of the last run over the held sessions, or since the
    start where there was none. `segments` is a sample of sessions. `history` is there in what is written to a file.
    """

    settings: str
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
    seconds, traffic = report.seconds or 1.0, report.traffic
    up, down = traffic.sent / seconds, traffic.received / seconds
    yield field("Settings", report.settings)
    yield field("Duration", format_duration(report.seconds))
    yield field("Sessions", f"{report.asked} asked for, {report.held} held, {report.established} established")
    yield field("Lost sessions", by_reason(report.losses))
    yield field("Failed attempts", by_reason(report.failures))
    if report.query:
        yield from query_text(report.query)
    if report.send:
        yield from send_text(report.send)
    if report.churn:
        yield from churn_text(report.churn)
    for found in (report.bench, report.find):
        if found:
            yield from found_text(found)
    yield field("Bytes sent and received", f"{traffic.sent}, {traffic.received}")
    yield field("Bandwidth", f"{format_bandwidth(up)} up, {format_bandwidth(down)} down")
    yield field("Bandwidth of a session", _bandwidth_of_one(report.held, up, down))
    yield field("Writes and reads", f"{traffic.writes}, {traffic.reads}")
    sample = report.segments
    yield field(
        "Segments out and in",
        f"{sample.sent}, {sample.received}, retransmitted {sample.retransmitted} (of {sample.sessions} sessions)",
    )
    for row in report.latencies:
        yield from latency_text([row])


def _bandwidth_of_one(held: int, up: float, down: float) -> str:
    """Return what each of the held sessions has of the bandwidth; with none of them, that of all would be nobody's."""
    return f"{format_bandwidth(up / held)} up, {format_bandwidth(down / held)} down" if held else "no session is held"


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
