"""The commands of the probes, which open sessions of their own beside the held ones: one row each."""

import asyncio
import csv
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from common.addresses import Address
from common.commands import Command
from common.errors import SessionerError, UsageError
from common.units import format_count, format_exactly
from initiator.find_render import ages_text, found_table, found_text
from initiator.probes.ages import AgesFigures
from initiator.probes.figures import (
    BENCH,
    FIND,
    BenchSample,
    BenchSettings,
    IdleSettings,
    ProbeFigures,
    RateSettings,
    SessionsSettings,
)
from initiator.probes.running import ProbeSettings
from initiator.reports.bench_plot import write_plot
from initiator.reports.pictures import check_picture
from initiator.runs import Outcome, Run, Runs
from initiator.workers import AnyEngine

# What a bench has unless it is said.
_SESSIONS: Final = 1000
_ROUNDS: Final = 10

# Samples that are kept until the next bench: 50 megabytes, and some hundred while they are written.
_MOST_SAMPLES: Final = 2_000_000

_Write = Callable[[Path, list[BenchSample]], None]

# What is searched, and which options each takes under which name.
_FINDS: Final[dict[str, tuple[Callable[..., ProbeSettings], dict[str, str]]]] = {
    "sessions": (SessionsSettings, {"limit": "limit", "rate": "rate", "for_": "seconds", "on": "target"}),
    "rate": (RateSettings, {"for_": "seconds", "on": "target"}),
    "idle": (IdleSettings, {"up_to": "up_to", "on": "target"}),
}


class FindCommands:
    """What runs behind the rows of the probes."""

    def __init__(self, engine: AnyEngine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                "bench",
                "[N] {rounds N | message TEXT | csv FILE | plot FILE | on TARGET}",
                "let N sessions of their own speak at once, in rounds, and verify every echo",
                self.bench,
                about={
                    "N": f"how many sessions ({_SESSIONS})",
                    "rounds": f"how many rounds ({_ROUNDS})",
                    "message": "what each says in each round (something else each time)",
                    "csv": "write a row for each session and round there (nowhere)",
                    "plot": "draw them there, as FILE.png or .svg; needs matplotlib (nowhere)",
                    "on": "only to this target (all in turn)",
                },
            ),
            Command(
                "find",
                "sessions|rate|idle {limit N | rate RATE | for TIMEOUT | up-to TIMEOUT | on TARGET}",
                "find how many sessions the path takes, at what rate, and how long it remembers",
                self.find,
                takes={what: tuple(map(_typed, options)) for what, (_, options) in _FINDS.items()},
                about={
                    "limit": "sessions: try so many at most (what this host has room for)",
                    "rate": "sessions: open so many a second at most (as fast as can be)",
                    "for": "sessions: hold them so long at last; rate: try each rate so long "
                    f"({format_exactly(SessionsSettings().seconds)})",
                    "up-to": f"idle: the longest silence that is tried ({format_exactly(IdleSettings().up_to)})",
                    "on": "only to this target (all in turn)",
                },
            ),
            Command(
                "found",
                f"{BENCH}|{FIND}",
                "what the last bench or search has found so far",
                self.found,
                found_text,
                reports=True,
            ),
            Command(
                "ages",
                "{on TARGET}",
                "how old the lost sessions were",
                self.ages,
                ages_text,
                reports=True,
                about={"on": "only those to this target (all)"},
            ),
        ]

    async def bench(
        self,
        n: int = _SESSIONS,
        rounds: int = _ROUNDS,
        message: str | None = None,
        csv: str | None = None,
        plot: str | None = None,
        on: Address | None = None,
    ) -> str:
        """Begin a bench."""
        if not n or not rounds or message == "":
            raise UsageError("bench: at least one session, one round and one character are needed")
        if n * rounds > _MOST_SAMPLES:
            raise UsageError(
                f"bench: {n} sessions and {rounds} rounds are more than {_MOST_SAMPLES} samples to be kept"
            )
        files: list[tuple[Path, _Write]] = []
        if csv is not None:
            files.append((_writable("csv", csv), write_csv))
        if plot is not None:
            check_picture(Path(plot))
            files.append((_writable("plot", plot), write_plot))
        settings = BenchSettings(n, rounds, message.encode() if message else None, on)
        await self._runs.refuse(BENCH)
        await self._engine.start_probe(settings)
        options = {"message": shlex.quote(message) if message else None, "on": on}
        asked = _described(f"{format_count(rounds, 'round')} of {format_count(n, 'session')}", options)
        self._runs.begin(self._run(BENCH, asked, files))
        return f"Bench: {asked}"

    async def find(self, **options: Any) -> str:
        """Begin a search."""
        # In `find rate rate 5` the option has taken the place of the word, and is refused as any other.
        what = next((name for name in _FINDS if options.get(name) is True), "rate")
        if options.get(what) is True:
            del options[what]
        make, takes = _FINDS[what]
        for name in options.keys() - takes.keys():
            taken = ", ".join(map(_typed, takes))
            raise UsageError(f'find: "{_typed(name)}" does not belong to find {what}, which takes {taken}')
        if options.get("limit") == 0:
            raise UsageError("find: a limit of at least one session is needed")
        settings = make(**{takes[name]: value for name, value in options.items()})
        await self._runs.refuse(FIND)
        await self._engine.start_probe(settings)
        asked = _described(what, options)
        self._runs.begin(self._run(FIND, asked, []))
        return f"Find: {asked}"

    async def found(self, **which: bool) -> ProbeFigures:
        """Return what is known."""
        return await self._engine.probe_figures(next(iter(which)))

    async def ages(self, on: Address | None = None) -> AgesFigures:
        """Return how old lost sessions were."""
        return await self._engine.ages(on)

    def _run(self, name: str, asked: str, files: Sequence[tuple[Path, _Write]]) -> Run:
        async def ended() -> None:
            await self._engine.wait_probe(name)
            if files:
                await self._write(files)

        async def outcome() -> Outcome:
            found = await self._engine.probe_figures(name)
            return Outcome(found, list(found_text(found)), found_table(found))

        return Run(name, asked, ended, outcome, partial(self._engine.stop_probe, name))

    async def _write(self, files: Sequence[tuple[Path, _Write]]) -> None:
        """Write what was asked for; raises SessionerError."""
        samples = await self._engine.bench_samples()
        for path, write in files:
            try:
                await asyncio.to_thread(write, path, samples)
            except OSError as failure:
                raise SessionerError(f"bench: {path} cannot be written: {failure.strerror}") from None


def write_csv(path: Path, samples: list[BenchSample]) -> None:
    """Write a row for each session and round, times in seconds; raises OSError."""
    names = [field.name for field in fields(BenchSample)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(map(attrgetter(*names), samples))


def _writable(option: str, name: str) -> Path:
    """Return the path that an option names; raises UsageError where no file can be."""
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"bench: {option} {name} cannot be written; name a file in a directory that there is")
    return path


def _described(what: str, options: Mapping[str, Any]) -> str:
    """Return what is tried in one line, with the options that were given."""
    return ", ".join([what, *(f"{_typed(name)} {_shown(name, value)}" for name, value in options.items() if value)])


def _shown(name: str, value: Any) -> str:
    """Return the value of an option as it is typed."""
    if name in ("for_", "up_to"):
        return format_exactly(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _typed(name: str) -> str:
    """Return an option as it is typed."""
    return name.rstrip("_").replace("_", "-")
