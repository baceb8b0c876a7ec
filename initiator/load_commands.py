"""The commands of the workloads over the held sessions: one row each."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from common.commands import Command
from common.errors import NotMetError, UsageError
from common.shell import Shell
from common.units import format_duration
from initiator.expectations import parse_expectation
from initiator.figures import figures_of
from initiator.latencies import Latencies
from initiator.load_render import latency_text, query_text, rate_found_text
from initiator.report import Report, report_text, write_report
from initiator.runs import Run, Runs
from initiator.snapshot import LatencyRow, QueryFigures, RateFound
from initiator.workers import AnyEngine
from initiator.workloads.query import TIMEOUT, QuerySettings
from initiator.workloads.query_csv import FileCsv, QueryCsv, ShownCsv
from initiator.workloads.questions import DEFAULT_NAME, DEFAULT_TYPE, build_question, parse_names
from initiator.workloads.schedule import Schedule, constant, parse_schedule, parse_slopes
from initiator.workloads.search import START

T = TypeVar("T")

# What `faster` and `slower` change a rate by, in percent.
_STEP: Final = 15.0

_NAME: Final = "query"

_PERCENTILES: Final = (50.0, 95.0, 99.0, 99.9)

# The options that say what is asked.
_ASKING: Final = ("name", "type", "names", "edns", "dnssec")

# Sessions whose segments are looked at for a report: a millisecond.
_SAMPLED: Final = 200

_QUERY: Final = (
    "[off] [RATE|LATENCY] {on TARGET | for TIMEOUT | seed N | timeout TIMEOUT | arrivals poisson|constant | name TEXT"
    " | type TEXT | names FILE | edns | dnssec | schedule FILE | slope FILE | csv FILE}"
)


class LoadCommands:
    """What runs behind the rows of the workloads."""

    def __init__(self, engine: AnyEngine, shell: Shell, runs: Runs) -> None:
        self._engine = engine
        self._shell = shell
        self._runs = runs
        self._percentiles: tuple[float, ...] = _PERCENTILES

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
            Command("latency", "", "the percentiles of every latency", self.latency, latency_text, reports=True),
            Command(
                "report",
                "[FILE]",
                "all figures of the run; a FILE.json, .csv or .hgrm is written",
                self.report,
                report_text,
                reports=True,
            ),
            Command("expect", "TEXT...", "fail (exit code 3) unless p99 < 5ms, losses == 0 or the like", self.expect),
            Command("percentiles", "PERCENTILES", "choose the percentiles that are shown", self.percentiles),
            Command("reset", "", "start all latencies afresh", self.reset),
        ]

    async def query(
        self, off: bool = False, rate: float | None = None, latency: float | None = None, **options: Any
    ) -> str:
        """Send queries, change their rate, or end them."""
        if off:
            if rate is not None or options:
                raise UsageError("query: `query off` takes nothing else")
            await self._runs.stop(_NAME)
            return "Queries: no more are sent"
        running = await self._running()
        if running and rate and not options:
            await self._engine.change_query(constant(rate))
            return f"Queries: {rate:g} a second from now on"
        seed = options.pop("seed", None)
        wanted = START if latency else rate
        settings = _query_settings(wanted, secrets.randbits(32) if seed is None else seed, options)
        await self._engine.start_query(settings, self._csv(settings.csv))
        self._runs.begin(self._search(latency) if latency else self._run())
        return f"Queries: {_described(settings)}"

    def _csv(self, file: str | None) -> QueryCsv | None:
        """Return what writes the rows that are asked for."""
        if file is None:
            return None
        return ShownCsv(self._shell.sink.show) if file == "-" else FileCsv(file)

    async def faster(self, percent: float = _STEP) -> str:
        """Raise the rate."""
        return await self._change_by(1 + percent / 100)

    async def slower(self, percent: float = _STEP) -> str:
        """Lower the rate."""
        return await self._change_by(1 / (1 + percent / 100))

    async def latency(self) -> list[LatencyRow]:
        """Return a row for each latency that was measured."""
        return list(_rows(await self._engine.latencies(), self._percentiles))

    async def report(self, file: str | None = None) -> Report:
        """Return all figures, and write them to a file where one is named."""
        now, latencies = await self._engine.snapshot(), await self._engine.latencies()
        ran = now.query or now.send
        report = Report(
            settings=await self._settings(),
            seconds=ran.seconds if ran else 0.0,
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
            latencies=list(_rows(latencies, self._percentiles)),
        )
        if file is not None:
            write_report(Path(file), report, latencies)
        return report

    async def expect(self, text: list[str]) -> str:
        """Check a condition; raises NotMetError."""
        expectation = parse_expectation(text)
        now, latencies = await self._engine.snapshot(), await self._engine.latencies()
        failure = expectation.check(figures_of(now, latencies, expectation))
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

    async def _settings(self) -> str:
        """Return what runs, or ran last, in one line."""
        query, send = await self._engine.query_settings(), await self._engine.send_settings()
        return _described(query) if query else send.asking if send else "no workload"

    async def _running(self) -> QueryFigures | None:
        figures = (await self._engine.snapshot()).query
        return figures if figures and figures.running else None

    async def _change_by(self, factor: float) -> str:
        now = await self._engine.snapshot()
        if now.query and now.query.running:
            rate = now.query.asked_rate * factor
            await self._engine.change_query(constant(rate))
            return f"Queries: {rate:g} a second from now on"
        if now.send and now.send.running and now.send.rate:
            rate = now.send.rate * factor
            await self._engine.change_send(rate)
            return f"Messages: {rate:g} a second and session from now on"
        raise UsageError("nothing runs whose rate could be changed; `query RATE` or `send TEXT rate RATE` begins")

    def _run(self) -> Run:
        return Run(_NAME, self._engine.wait_query, self._known, self._engine.stop_query)

    def _search(self, latency: float) -> Run:
        found: list[RateFound] = []

        async def ended() -> None:
            found.append(await self._engine.search_query_rate(latency))

        async def known() -> Iterable[str]:
            return rate_found_text(found[0]) if found else await self._known()

        return Run(_NAME, ended, known, self._engine.stop_query)

    async def _known(self) -> Iterable[str]:
        figures = (await self._engine.snapshot()).query
        return query_text(figures) if figures else ()


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
        csv=options.get("csv"),
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
    if settings.csv is not None:
        parts.append(f"csv {settings.csv}")
    return ", ".join([*parts, f"timeout {format_duration(settings.timeout)}", f"seed {settings.seed}"])


def _rows(latencies: Latencies, wanted: Sequence[float]) -> Iterator[LatencyRow]:
    for name, latency in latencies.named():
        for kind, histogram in (("corrected", latency.corrected), ("raw", latency.raw)):
            if histogram.count:
                values = zip(map("{:g}".format, wanted), histogram.percentiles(wanted), strict=True)
                yield LatencyRow(name, kind, histogram.count, histogram.mean, histogram.highest, dict(values))
