"""The commands of the query workload, and those that change the rate of whatever runs."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from common.commands import Command
from common.errors import UsageError
from common.files import read_text
from common.fleet.console import Fleet
from common.shell import Shell
from common.units import format_exactly, format_milliseconds
from initiator.load_render import query_table, query_text, rate_found_table, rate_found_text
from initiator.runs import Outcome, Run, Runs, outcome_of
from initiator.snapshot import QueryFigures, RateFound
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

# The options that say what is asked.
_ASKING: Final = ("name", "type", "names", "edns", "dnssec")

_QUERY: Final = (
    "[off] [RATE|@LATENCY] {on TARGET | for TIMEOUT | seed N | timeout TIMEOUT | arrivals poisson|constant | name TEXT"
    " | type TEXT | names FILE | edns | dnssec | schedule FILE | slope FILE | csv FILE}"
)

_ABOUT: Final = {
    "off": "no more are sent",
    "RATE": "queries a second over all sessions; alone it changes the rate of those that run",
    "@LATENCY": "instead of a rate: the highest one whose p95 stays within it is searched",
    "on": "only over the sessions of this target (of all)",
    "for": "end after this time (`query off` or `stop query` does)",
    "seed": "repeat the due times, sessions and names of the run that showed this seed (drawn)",
    "timeout": f"a query that is not answered for so long has failed ({TIMEOUT:.0f}s)",
    "arrivals": "poisson, or evenly with constant (poisson)",
    "name": f"the name that is asked for ({DEFAULT_NAME})",
    "type": f"the type that is asked for ({DEFAULT_TYPE})",
    "names": "draw each query from the lines of this file, NAME [TYPE]",
    "edns": "with EDNS (without)",
    "dnssec": "with EDNS and its DO bit (without)",
    "schedule": "steps, one a line: how long, and how many a second",
    "slope": "steps, one a line: how long, and by how much the rate changes each second",
    "csv": "write a row for each query and each answer there, to the standard output for -",
}


class QueryCommands:
    """What runs behind the rows of the query workload."""

    def __init__(self, engine: AnyEngine, shell: Shell, runs: Runs) -> None:
        self._engine = engine
        self._shell = shell
        self._runs = runs

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                "query",
                _QUERY,
                "send so many DNS queries a second over the sessions, change the rate, end them",
                self.query,
                about=_ABOUT,
            ),
            Command("faster", "[PERCENT]", "raise the rate of what runs by 15 %, or by so many", self.faster),
            Command(
                "slower",
                "[PERCENT]",
                "lower the rate of what runs: undo a `faster` of 15 %, or of so many",
                self.slower,
            ),
        ]

    async def adopt(self, settings: QuerySettings | None) -> None:
        """Go on with queries that another console has begun."""
        if settings and await self._running():
            self._runs.begin(self._run(settings))

    async def query(
        self, off: bool = False, rate: float | None = None, latency: float | None = None, **options: Any
    ) -> str | None:
        """Send queries, change their rate, or end them."""
        if off:
            if rate is not None or options:
                raise UsageError("query: `query off` takes nothing else")
            await self._runs.stop(_NAME, "query off")
            return "Queries: no more are sent"
        await self._runs.settle(await self._engine.snapshot())
        running = await self._running()
        if running and rate and not options:
            await self._engine.change_query(constant(rate))
            return f"Queries: {rate:g} a second from now on"
        seed = options.pop("seed", None)
        wanted = START if latency else rate
        settings = _query_settings(wanted, secrets.randbits(32) if seed is None else seed, options)
        await self._engine.start_query(settings, self._csv(settings.csv))
        run = self._search(settings, latency) if latency else self._run(settings)
        self._runs.begin(run)
        if settings.csv == "-":
            self._shell.sink.note(f"Queries: {run.settings}\n")  # what reads the rows expects nothing else
            return None
        return f"Queries: {run.settings}"

    def _csv(self, file: str | None) -> QueryCsv | None:
        """Return what writes the rows that are asked for; raises UsageError where there are several processes."""
        if file is None:
            return None
        if isinstance(self._engine, Fleet):
            raise UsageError("query: rows are written by one process alone; start the initiator without --fleet")
        return ShownCsv(self._shell.sink.show) if file == "-" else FileCsv(file)

    async def faster(self, percent: float = _STEP) -> str:
        """Raise the rate."""
        return await self._change_by(1 + percent / 100)

    async def slower(self, percent: float = _STEP) -> str:
        """Lower the rate so far that `faster` by as many percent leads back."""
        return await self._change_by(1 / (1 + percent / 100))

    async def _running(self) -> QueryFigures | None:
        figures = (await self._engine.snapshot()).query
        return figures if figures and figures.sending else None

    async def _change_by(self, factor: float) -> str:
        now = await self._engine.snapshot()
        if now.query and now.query.sending:
            schedule = (await self._engine.query_schedule()).scaled(factor)
            if not schedule.segments:
                raise UsageError("the schedule is over, and has no rate left to change; `query RATE` gives one")
            await self._engine.change_query(schedule)
            return f"Queries: {schedule.rate_at(0.0):g} a second from now on"
        if now.send and now.send.sending and now.send.rate:
            rate = now.send.rate * factor
            await self._engine.change_send(rate)
            return f"Messages: {rate:g} a second and session from now on"
        raise UsageError("nothing runs whose rate could be changed; `query RATE` or `send TEXT rate RATE` begins")

    def _run(self, settings: QuerySettings) -> Run:
        return Run(
            _NAME,
            _described(settings),
            self._engine.wait_query,
            self._outcome,
            self._engine.stop_query,
        )

    def _search(self, settings: QuerySettings, latency: float) -> Run:
        found: list[RateFound] = []

        async def ended() -> None:
            found.append(await self._engine.search_query_rate(latency))

        async def outcome() -> Outcome:
            return outcome_of(found[0], rate_found_text, rate_found_table) if found else await self._outcome()

        asked = f"the highest rate with p95 within {format_milliseconds(latency)}, from {_described(settings)}"
        return Run(_NAME, asked, ended, outcome, self._engine.stop_query)

    async def _outcome(self) -> Outcome:
        return outcome_of((await self._engine.snapshot()).query, query_text, query_table)


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
    text = read_text(path)
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"file {path}: {error}") from None


def _described(settings: QuerySettings) -> str:
    """Return what a run is in one line, so that it can be repeated."""
    parts = [f"{settings.schedule}", f"arrivals {settings.arrivals}"]
    if settings.seconds is not None:
        parts.append(f"for {format_exactly(settings.seconds)}")
    if settings.target:
        parts.append(f"on {settings.target}")
    if settings.asking:
        parts.append(settings.asking)
    if settings.csv is not None:
        parts.append(f"csv {settings.csv}")
    return ", ".join([*parts, f"timeout {format_exactly(settings.timeout)}", f"seed {settings.seed}"])
