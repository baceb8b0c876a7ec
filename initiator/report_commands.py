"""The commands that tell what was measured: latencies, reports, pictures, expectations."""

import asyncio
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.commands import Command
from common.errors import NotMetError, UsageError
from common.shell import Shell
from initiator.expectations import parse_expectation
from initiator.figures import NAMES, figures_of
from initiator.latencies import Latencies
from initiator.load_render import latency_text
from initiator.probes.figures import BENCH, FIND
from initiator.reports.history import History, history_of
from initiator.reports.plot import draw
from initiator.reports.recorder import Recorder
from initiator.reports.report import Report, report_text, write_report
from initiator.runs import Runs
from initiator.snapshot import LatencyRow
from initiator.workers import AnyEngine

_PERCENTILES: Final = (50.0, 95.0, 99.0, 99.9)

_FIGURES: Final = f"the figures are {' '.join(NAMES)}, and percentiles like p99, raw.p99.9 or connect.p50"

# Sessions whose segments are looked at for a report: a millisecond.
_SAMPLED: Final = 200

# Seconds that a thread keeps the interpreter while the loop waits for it: each system call of the loop may take as long
# while a report is written, and with the usual 5 ms much fewer of them are made.
_TURN: Final = 0.0001


class ReportCommands:
    """What runs behind these rows."""

    def __init__(self, engine: AnyEngine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs
        self._recorder = Recorder(engine)
        self._percentiles: tuple[float, ...] = _PERCENTILES

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command("latency", "", "the percentiles of every latency", self.latency, latency_text, reports=True),
            Command(
                "report",
                "[FILE]",
                "all figures of the run; a FILE.html, .json, .csv or .hgrm is written",
                self.report,
                _report_text,
                reports=True,
            ),
            Command(
                "plot",
                "FILE [held|rates|failures|latency]",
                "the charts of the report as a picture, FILE.png or .svg (needs matplotlib)",
                self.plot,
                looks=True,
            ),
            Command(
                "expect",
                "CONDITION...",
                "fail (exit code 3) unless p99 < 5ms, losses == 0 or the like",
                self.expect,
                looks=True,
                about={"CONDITION": _FIGURES},
                offers={"CONDITION": (*NAMES, *(f"p{percent:g}" for percent in _PERCENTILES))},
            ),
            Command(
                "percentiles",
                "[PERCENTILES]",
                "choose or show the percentiles that are shown",
                self.percentiles,
                looks=True,
            ),
            Command("reset", "", "start all latencies afresh", self.reset),
        ]

    def start(self, shell: Shell) -> None:
        """Keep record of what happens, and of what changes something, until it is closed."""
        self._recorder.start(shell)

    async def close(self) -> None:
        """Keep record of nothing more."""
        await self._recorder.close()

    async def latency(self) -> list[LatencyRow]:
        """Return a row for each latency that was measured."""
        return list(_rows(await self._engine.latencies(), self._percentiles))

    async def report(self, file: str | None = None) -> Report | str:
        """Return all figures, or write them to a file and say so."""
        now, latencies = await self._recorder.sample()
        ran = now.query or now.send
        churn = now.churn.name if now.churn else "churn"
        figures = {
            "query": now.query,
            "send": now.send,
            churn: now.churn,
            BENCH: await self._found(BENCH),
            FIND: await self._found(FIND),
        }
        report = Report(
            settings={name: asked for name, asked in self._runs.settings.items() if figures.get(name)},
            seconds=ran.seconds if ran else self._recorder.timeline.samples[-1].time,
            asked=now.asked,
            held=now.held,
            established=now.established,
            losses=now.losses,
            failures=now.failures,
            traffic=ran.traffic if ran else now.traffic,
            segments=await self._engine.sample_segments(_SAMPLED),
            query=now.query,
            send=now.send,
            churn=now.churn,
            bench=figures[BENCH],
            find=figures[FIND],
            latencies=list(_rows(latencies, self._percentiles)),
        )
        if file is None:
            return report
        history = await self._history(latencies)
        await _in_thread(lambda: write_report(Path(file), replace(report, history=history()), latencies))
        return _written(file)

    async def plot(
        self, file: str, held: bool = False, rates: bool = False, failures: bool = False, latency: bool = False
    ) -> str:
        """Draw the charts of one kind, or all."""
        wanted = {"held": held, "rates": rates, "failures": failures, "latency": latency}
        kind = next((name for name, is_wanted in wanted.items() if is_wanted), None)
        _, latencies = await self._recorder.sample()
        history = await self._history(latencies)
        await _in_thread(lambda: draw(Path(file), history(), kind))
        return _written(file)

    async def expect(self, condition: list[str]) -> str:
        """Check a condition; raises NotMetError."""
        expectation = parse_expectation(condition)
        now, latencies = await self._engine.snapshot(), await self._engine.latencies()
        failure = expectation.check(figures_of(now, latencies, expectation))
        if failure:
            raise NotMetError(failure)
        return f"expect {expectation.text}: met"

    async def percentiles(self, percentiles: tuple[float, ...] = ()) -> str:
        """Choose what is shown, or say it."""
        self._percentiles = percentiles or self._percentiles
        return f"Percentiles {', '.join(f'{percent:g}' for percent in self._percentiles)}"

    async def reset(self) -> str:
        """Start afresh."""
        await self._engine.reset_latencies()
        return "All latencies start afresh"

    async def _found(self, name: str) -> Any:
        """Return what the last probe of that name has found, None where there was none."""
        with suppress(UsageError):
            return await self._engine.probe_figures(name)

    async def _history(self, latencies: Latencies) -> Callable[[], History]:
        """Return what works the history out, which may take a while, from the figures of this moment."""
        timeline, settings = self._recorder.timeline, await self._engine.settings()
        return partial(
            history_of,
            begun=self._recorder.begun.isoformat(timespec="seconds"),
            command=_invocation(sys.argv[1:], settings.seed),
            process=settings,
            targets=(await self._engine.target_page(0)).rows,
            samples=list(timeline.samples),
            marks=list(timeline.marks),
            earlier_marks=timeline.earlier,
            runs=list(self._runs.finished),
            latencies=latencies,
        )


async def _in_thread(work: Callable[[], None]) -> None:
    """Run what takes up to some seconds, and let the loop have its turn whenever it wants one."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        await asyncio.to_thread(work)
    finally:
        sys.setswitchinterval(usual)


def _written(file: str) -> str:
    return f"{file} written"


def _report_text(report: Report | str) -> Iterable[str]:
    """Return the lines of a report, or the one that says where it is."""
    return (report,) if isinstance(report, str) else report_text(report)


def _invocation(arguments: Sequence[str], seed: int) -> str:
    """Return the line that starts such a process again, with the same draws."""
    seeded = any(argument.partition("=")[0] == "--seed" for argument in arguments)
    return shlex.join(["sessioner_initiator", *arguments, *([] if seeded else ["--seed", str(seed)])])


def _rows(latencies: Latencies, wanted: Sequence[float]) -> Iterator[LatencyRow]:
    for name, latency in latencies.named():
        for kind, histogram in (("corrected", latency.corrected), ("raw", latency.raw)):
            if histogram.count:
                values = zip(map("{:g}".format, wanted), histogram.percentiles(wanted), strict=True)
                yield LatencyRow(name, kind, histogram.count, histogram.mean, histogram.highest, dict(values))
