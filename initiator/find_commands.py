"""The commands of the probes, which open sessions of their own beside the held ones: one row each."""

import asyncio
import csv
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.addresses import Address
from common.commands import Command
from common.errors import SessionerError, UsageError
from initiator.engine import Engine
from initiator.find_render import bench_text, rate_text, sessions_text
from initiator.probes.figures import (
    BENCH,
    FIND,
    BenchFigures,
    BenchSample,
    BenchSettings,
    RateFigures,
    RateSettings,
    SessionsSettings,
)
from initiator.probes.running import ProbeFigures, ProbeSettings
from initiator.runs import Run, Runs

# What a bench has unless it is said.
_SESSIONS: Final = 1000
_ROUNDS: Final = 10


class FindCommands:
    """What runs behind the rows of the probes."""

    def __init__(self, engine: Engine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                "bench",
                "[N] {rounds N | message TEXT | csv FILE | on TARGET}",
                "let N sessions (1000) of their own speak at once and verify every echo, in rounds (10)",
                self.bench,
            ),
            Command(
                "find",
                "sessions|rate {limit N | rate RATE | for TIMEOUT | on TARGET}",
                "find how many sessions the path takes",
                self.find,
            ),
        ]

    async def bench(
        self,
        n: int = _SESSIONS,
        rounds: int = _ROUNDS,
        message: str | None = None,
        csv: str | None = None,
        on: Address | None = None,
    ) -> str:
        """Begin a bench."""
        if not n or not rounds or message == "":
            raise UsageError("bench: at least one session, one round and one character are needed")
        files = [(_writable("csv", csv), write_csv)] if csv else []
        settings = BenchSettings(n, rounds, message.encode() if message else None, on)
        await self._engine.start_probe(settings)
        self._runs.begin(self._run(BENCH, partial(self._write, files)))
        return f"Bench: {rounds} rounds of {n} sessions"

    async def find(self, **options: Any) -> str:
        """Begin a search."""
        settings: ProbeSettings
        if "sessions" in options:
            settings = SessionsSettings(
                options.get("limit"), options.get("rate"), options.get("for_", 2.0), options.get("on")
            )
        else:
            settings = RateSettings(options.get("for_", 2.0), options.get("on"))
        await self._engine.start_probe(settings)
        self._runs.begin(self._run(FIND, _nothing))
        return "Find: sessions"

    def _run(self, name: str, after: Callable[[], Any]) -> Run:
        async def ended() -> None:
            await self._engine.wait_probe(name)
            await after()

        async def known() -> Iterable[str]:
            figures = await self._engine.probe_figures(name)
            return _text(figures)

        return Run(name, ended, known, partial(self._engine.stop_probe, name))

    async def _write(self, files: Iterable[tuple[Path, Callable[[Path, list[BenchSample]], None]]]) -> None:
        """Write what was asked for; raises SessionerError."""
        for path, write in files:
            try:
                await asyncio.to_thread(write, path, await self._engine.bench_samples())
            except OSError as failure:
                raise SessionerError(f"bench: {path} cannot be written: {failure}") from None


def _text(figures: ProbeFigures) -> Iterable[str]:
    if isinstance(figures, BenchFigures):
        return bench_text(figures)
    if isinstance(figures, RateFigures):
        return rate_text(figures)
    return sessions_text(figures)


async def _nothing() -> None:
    pass


def write_csv(path: Path, samples: list[BenchSample]) -> None:
    """Write a row for each session and round, times in seconds; raises OSError."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(BenchSample))
        writer.writerows(asdict(sample).values() for sample in samples)


def _writable(option: str, name: str) -> Path:
    """Return the path that an option names; raises UsageError where no file can be."""
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"bench: {option} {name} cannot be written; name a file in a directory that there is")
    return path
