"""The commands of the workloads over the held sessions: one row each."""

import asyncio
import re
import secrets
import shlex
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from common.commands import Command
from common.errors import NotMetError, UsageError
from common.histogram import Histogram
from common.shell import Shell
from common.units import format_duration
from initiator.engine import Engine
from initiator.expectations import Expectation, parse_expectation
from initiator.history import History, Run, history_of
from initiator.latencies import Latencies
from initiator.load_render import latency_text, query_row, query_text, rate_found_text
from initiator.plot import draw
from initiator.recorder import Recorder
from initiator.report import Report, report_text, write_report
from initiator.snapshot import LatencyRow, QueryFigures, Snapshot
from initiator.workloads.query import TIMEOUT, QuerySettings
from initiator.workloads.questions import DEFAULT_NAME, DEFAULT_TYPE, build_question, parse_names
from initiator.workloads.schedule import Schedule, constant, parse_schedule, parse_slopes
from initiator.workloads.search import START

T = TypeVar("T")

# What `faster` and `slower` change a rate by, in percent.
_STEP: Final = 15.0

_PERCENTILES: Final = (50.0, 95.0, 99.0, 99.9)

# The options that say what is asked.
_ASKING: Final = ("name", "type", "names", "edns", "dnssec")

# Sessions whose segments are looked at for a report: a millisecond.
_SAMPLED: Final = 200

# Seconds that a thread keeps the interpreter while the loop waits for it: each system call of the loop may take as long
# while a report is written, and with the usual 5 ms much fewer of them are made.
_TURN: Final = 0.0001

# Finished runs that a report tells of, the latest ones.
_RUNS: Final = 100

_PERCENTILE: Final = re.compile(
    rf"(?P<raw>raw\.)?(?:(?P<name>{'|'.join(Latencies.__slots__)})\.)?p(?P<percent>\d{{1,2}}(?:\.\d{{1,6}})?|100)"
)

_QUERY: Final = (
    "[off] [RATE|LATENCY] {on TARGET | for TIMEOUT | seed N | timeout TIMEOUT | arrivals poisson|constant | name TEXT"
    " | type TEXT | names FILE | edns | dnssec | schedule FILE | slope FILE}"
)


class LoadCommands:
    """What runs behind the rows of the workloads."""

    def __init__(self, engine: Engine, shell: Shell) -> None:
        self._engine = engine
        self._shell = shell
        self._percentiles: tuple[float, ...] = _PERCENTILES
        self._telling: set[asyncio.Task[None]] = set()
        self._recorder = Recorder(engine)
        self._runs: deque[Run] = deque(maxlen=_RUNS)

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                "query",
                _QUERY,
                "send so many DNS queries a second over the sessions, change the rate, end them",
                self.query,
            ),
            Command("faster", "[PERCENT]", "raise the rate of what runs, by 15 % or so many", self.faster),
            Command("slower", "[PERCENT]", "lower the rate of what runs, by 15 % or so many", self.slower),
            Command("stop", "[query]", "end what runs, and show what is known", self.stop),
            Command("latency", "", "the percentiles of every latency", self.latency, latency_text, reports=True),
            Command(
                "report",
                "[FILE]",
                "all figures of the run; a FILE.html, .json, .csv or .hgrm is written",
                self.report,
                report_text,
                reports=True,
            ),
            Command(
                "plot",
                "FILE [held|rates|failures|latency]",
                "the charts of the report as a picture, FILE.png or .svg (needs matplotlib)",
                self.plot,
            ),
            Command("expect", "TEXT...", "fail (exit code 3) unless p99 < 5ms, losses == 0 or the like", self.expect),
            Command("percentiles", "PERCENTILES", "choose the percentiles that are shown", self.percentiles),
            Command("reset", "", "start all latencies afresh", self.reset),
        ]

    def start(self) -> None:
        """Keep record of what happens, until the end."""
        self._recorder.start(self._shell)

    async def close(self) -> None:
        """Show what is known of what still runs, at the end."""
        await self._recorder.close()
        for task in self._telling:
            task.cancel()
        running = await self._running()
        if running:
            await self._shell.sink.show("".join(f"{line}\n" for line in query_text(running)))

    async def query(
        self, off: bool = False, rate: float | None = None, latency: float | None = None, **options: Any
    ) -> str:
        """Send queries, change their rate, or end them."""
        if off:
            if rate is not None or options:
                raise UsageError("query: `query off` takes nothing else")
            return await self.stop()
        running = await self._running()
        if running and rate and not options:
            await self._engine.change_query(constant(rate))
            return f"Queries: {rate:g} a second from now on"
        seed = options.pop("seed", None)
        wanted = START if latency else rate
        settings = _query_settings(wanted, secrets.randbits(32) if seed is None else seed, options)
        await self._recorder.sample()
        await self._engine.start_query(settings)
        await self._recorder.sample()
        self._tell(self._show_search(latency) if latency else self._show_end())
        return f"Queries: {_described(settings)}"

    async def faster(self, percent: float = _STEP) -> str:
        """Raise the rate."""
        return await self._change_by(1 + percent / 100)

    async def slower(self, percent: float = _STEP) -> str:
        """Lower the rate."""
        return await self._change_by(1 / (1 + percent / 100))

    async def stop(self, query: bool = True) -> str:  # noqa: ARG002 - there is but one so far
        """End what runs."""
        await self._engine.stop_query()
        return "Queries: no more are sent"

    async def latency(self) -> list[LatencyRow]:
        """Return a row for each latency that was measured."""
        return list(_rows(await self._engine.latencies(), self._percentiles))

    async def report(self, file: str | None = None) -> Report:
        """Return all figures, and write them to a file where one is named."""
        now, latencies = await self._recorder.sample()
        settings = await self._engine.query_settings()
        report = Report(
            settings=_described(settings) if settings else "no workload",
            seconds=now.query.seconds if now.query else 0.0,
            asked=now.asked,
            held=now.held,
            established=now.established,
            losses=now.losses,
            failures=now.failures,
            traffic=now.query.traffic if now.query else now.traffic,
            segments=await self._engine.sample_segments(_SAMPLED),
            query=now.query,
            latencies=list(_rows(latencies, self._percentiles)),
        )
        if file is not None:
            history = await self._history(latencies)
            await _in_thread(lambda: write_report(Path(file), replace(report, history=history()), latencies))
        return report

    async def plot(
        self, file: str, held: bool = False, rates: bool = False, failures: bool = False, latency: bool = False
    ) -> str:
        """Draw the charts of one kind, or all."""
        wanted = {"held": held, "rates": rates, "failures": failures, "latency": latency}
        kind = next((name for name, is_wanted in wanted.items() if is_wanted), None)
        _, latencies = await self._recorder.sample()
        history = await self._history(latencies)
        await _in_thread(lambda: draw(Path(file), history(), kind))
        return f"{file} written"

    async def expect(self, text: list[str]) -> str:
        """Check a condition; raises NotMetError."""
        expectation = parse_expectation(text)
        now, latencies = await self._engine.snapshot(), await self._engine.latencies()
        failure = expectation.check(_figures(now, latencies, expectation))
        if failure:
            raise NotMetError(failure)
        return f"expect {expectation.text}: met"

    async def percentiles(self, percentiles: tuple[float, ...]) -> str:
        """Choose what is shown."""
        self._percentiles = percentiles
        return f"Percentiles {', '.join(f'{percent:g}' for percent in percentiles)}"

    async def reset(self) -> str:
        """Start afresh."""
        await self._engine.reset_latencies()
        return "All latencies start afresh"

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
            runs=list(self._runs),
            latencies=latencies,
        )

    async def _running(self) -> QueryFigures | None:
        figures = (await self._engine.snapshot()).query
        return figures if figures and figures.running else None

    async def _change_by(self, factor: float) -> str:
        running = await self._running()
        if running is None:
            raise UsageError("nothing runs whose rate could be changed; `query RATE` sends queries")
        rate = running.asked_rate * factor
        await self._engine.change_query(constant(rate))
        return f"Queries: {rate:g} a second from now on"

    def _tell(self, result: Coroutine[Any, Any, None]) -> None:
        """Show a result when the run has ended."""
        task = asyncio.create_task(result)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _show_search(self, latency: float) -> None:
        settings, found = await self._engine.query_settings(), await self._engine.search_query_rate(latency)
        if settings:
            self._runs.append(Run("search for a rate", _described(settings), [asdict(tried) for tried in found.tried]))
        self._shell.sink.note("".join(f"{line}\n" for line in rate_found_text(found)))

    async def _show_end(self) -> None:
        await self._engine.wait_query()
        figures = (await self._engine.snapshot()).query
        settings = await self._engine.query_settings()
        if figures and settings:
            self._runs.append(Run("query", _described(settings), [query_row(figures)]))
            self._shell.sink.note("".join(f"{line}\n" for line in query_text(figures)))


def _query_settings(rate: float | None, seed: int, options: Mapping[str, Any]) -> QuerySettings:
    """Return what `query` and its options ask for; raises UsageError."""
    build = partial(build_question, edns="edns" in options, dnssec="dnssec" in options)
    if "names" in options:
        if "name" in options or "type" in options:
            raise UsageError("query: `names FILE` goes without `name` and `type`")
        questions = parse_file(options["names"], partial(parse_names, build=build))
    else:
        questions = [build(options.get("name", DEFAULT_NAME), options.get("type", DEFAULT_TYPE))]
    return QuerySettings(
        schedule=_schedule(rate, options),
        seed=seed,
        questions=tuple(questions),
        arrivals=options.get("arrivals", "poisson"),
        seconds=options.get("for_"),
        timeout=options.get("timeout", TIMEOUT),
        target=options.get("on"),
        asking=" ".join(_worded(name, options[name]) for name in _ASKING if name in options),
    )


def _worded(name: str, value: str | bool) -> str:
    return name if value is True else f"{name} {value}"


def _schedule(rate: float | None, options: Mapping[str, Any]) -> Schedule:
    if "schedule" in options:
        if rate is not None or "slope" in options:
            raise UsageError("query: `schedule FILE` goes without a rate and without `slope`")
        return parse_file(options["schedule"], parse_schedule)
    if "slope" in options:
        return parse_file(options["slope"], lambda text: parse_slopes(text, rate or 0.0))
    if rate is None:
        raise UsageError("query: a rate is missing; the form is: query RATE, query schedule FILE, or query off")
    return constant(rate)


def parse_file(path: str, parse: Callable[[str], T]) -> T:
    """Return what the text of a file stands for; raises UsageError with its name in front."""
    try:
        return parse(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"file {path} cannot be read: {failure}") from None
    except UsageError as error:
        raise UsageError(f"file {path}: {error}") from None


def _described(settings: QuerySettings) -> str:
    """Return what a run is in one line, so that it can be repeated."""
    parts = [f"{settings.schedule}", f"arrivals {settings.arrivals}"]
    if settings.seconds is not None:
        parts.append(f"for {format_duration(settings.seconds)}")
    if settings.target:
        parts.append(f"on {settings.target}")
    if settings.asking:
        parts.append(settings.asking)
    return ", ".join([*parts, f"timeout {format_duration(settings.timeout)}", f"seed {settings.seed}"])


async def _in_thread(work: Callable[[], None]) -> None:
    """Run what takes up to some seconds, and let the loop have its turn whenever it wants one."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        await asyncio.to_thread(work)
    finally:
        sys.setswitchinterval(usual)


def _invocation(arguments: Sequence[str], seed: int) -> str:
    """Return the line that starts such a process again, with the same draws."""
    seeded = any(argument.partition("=")[0] == "--seed" for argument in arguments)
    return shlex.join(["sessioner_initiator", *arguments, *([] if seeded else ["--seed", str(seed)])])


def _figures(now: Snapshot, latencies: Latencies, expectation: Expectation) -> dict[str, float | None]:
    """Return every figure that may be expected something of, by name; None for what was not measured."""
    query = now.query
    seconds = query.seconds if query else 0.0
    figures: dict[str, float | None] = {
        "asked": now.asked,
        "held": now.held,
        "confirmed": now.confirmed,
        "losses": sum(now.losses.values()),
        "failures": sum(now.failures.values()),
        "asked_rate": query.asked_rate if query else None,
        "rate": query.answered / seconds if query and seconds else None,
        "due": query.due if query else None,
        "answered": query.answered if query else None,
        "timeouts": query.timeouts if query else None,
        "unsent": query.unsent if query else None,
    }
    for wanted in filter(None, (expectation.name, expectation.other)):
        found = _PERCENTILE.fullmatch(wanted)
        if found:
            figures[wanted] = _percentile(latencies, found)
    return figures


def _percentile(latencies: Latencies, wanted: re.Match[str]) -> float | None:
    """Return the percentile that `p99`, `connect.p99` or `raw.query.p99.9` names."""
    latency = getattr(latencies, wanted["name"] or "query")
    histogram: Histogram = latency.raw if wanted["raw"] or not latency.corrected.count else latency.corrected
    return histogram.percentiles((float(wanted["percent"]),))[0] if histogram.count else None


def _rows(latencies: Latencies, wanted: Sequence[float]) -> Iterator[LatencyRow]:
    for name, latency in latencies.named():
        for kind, histogram in (("corrected", latency.corrected), ("raw", latency.raw)):
            if histogram.count:
                values = zip(map("{:g}".format, wanted), histogram.percentiles(wanted), strict=True)
                yield LatencyRow(name, kind, histogram.count, histogram.mean, histogram.highest, dict(values))
