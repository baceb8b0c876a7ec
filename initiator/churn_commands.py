"""The commands of churn: sessions begun and ended at a rate, and the search for the highest one."""

import os
import secrets
from typing import Any, Final

from common.commands import Command
from common.errors import UsageError
from common.files import read_bytes
from common.units import format_count, format_exactly
from initiator.churn_render import churn_table, churn_text
from initiator.runs import Outcome, Run, Runs, outcome_of
from initiator.workers import AnyEngine
from initiator.workloads.arrivals import CONSTANT
from initiator.workloads.churn import SECONDS, TIMEOUT, ChurnSettings
from initiator.workloads.saturation import FACTOR, SLOWDOWN, START, Search

_CHURN: Final = "churn"
_SATURATE: Final = "saturate"

# The highest rate (1/s), fifty times what a process begins: what is due and not begun is counted one by one.
_HIGHEST: Final = 1_000_000

_EACH: Final = (
    "on TARGET | for TIMEOUT | cooldown T | send TEXT | timeout TIMEOUT | close fin|rst | seed N |"
    " arrivals poisson|constant"
)

_ABOUT: Final = {
    "on": "only to this target (all in turn)",
    "for": f"how long transactions are begun at each rate ({SECONDS:.0f}s)",
    "cooldown": "nothing for so long between two rates (0s)",
    "send": "what each session sends: a text, or what is in the file for @FILE (nothing)",
    "timeout": f"a transaction that takes so long has failed ({TIMEOUT:.0f}s)",
    "close": "fin: half-close and read to the end; rst: reset when the first of the answer has come (fin)",
    "seed": "repeat the due times of the run that showed this seed (drawn)",
    "arrivals": "constant: evenly, or poisson (constant)",
}


class ChurnCommands:
    """What runs behind the rows of churn."""

    def __init__(self, engine: AnyEngine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                _CHURN,
                f"RATE... {{{_EACH}}}",
                "open so many sessions a second beside those held, ask each once, close it",
                self.churn,
                about={"RATE": "transactions a second, each rate tried after the one before", **_ABOUT},
            ),
            Command(
                _SATURATE,
                f"{{from RATE | by RATE | slowdown RATE | {_EACH}}}",
                "raise the rate of such sessions until it is too much, and say where that was",
                self.saturate,
                about={
                    "from": f"the first rate, in transactions a second ({START:g})",
                    "by": f"the factor, above 1, by which the rate is raised ({FACTOR:g})",
                    "slowdown": f"a median so many times the best, above 1, is too much ({SLOWDOWN:g})",
                    **_ABOUT,
                },
            ),
        ]

    async def churn(self, rate: list[float], **options: Any) -> str:
        """Try rates one after the other."""
        _check_rates(_CHURN, rate)
        settings = churn_settings(options)
        await self._runs.refuse(_CHURN, _SATURATE)
        await self._engine.start_churn(rate, settings)
        asked = f"{', '.join(f'{each:g}' for each in rate)} a second, {_described(settings)}"
        self._runs.begin(self._run(_CHURN, asked))
        return f"Churn: {asked}"

    async def saturate(
        self, from_: float = START, by: float = FACTOR, slowdown: float = SLOWDOWN, **options: Any
    ) -> str:
        """Search for the highest rate."""
        _check_rates(_SATURATE, [from_])
        if by <= 1 or slowdown <= 1:
            raise UsageError("saturate: `by` and `slowdown` are above 1, like: saturate by 1.25 slowdown 2")
        settings = churn_settings(options)
        if from_ * settings.seconds < 1:
            raise UsageError("saturate: in that time not one would be due; raise `from` or `for`")
        await self._runs.refuse(_SATURATE, _CHURN)
        await self._engine.start_saturation(Search(from_, by, slowdown), settings)
        asked = f"from {from_:g} by {by:g}, slowdown {slowdown:g}, {_described(settings)}"
        self._runs.begin(self._run(_SATURATE, asked))
        return f"Saturate: {asked}"

    def _run(self, name: str, asked: str) -> Run:
        return Run(name, asked, self._engine.wait_churn, self._outcome, self._engine.stop_churn)

    async def _outcome(self) -> Outcome:
        return outcome_of((await self._engine.snapshot()).churn, churn_text, churn_table)


def _check_rates(name: str, rates: list[float]) -> None:
    if max(rates) > _HIGHEST:
        raise UsageError(f"{name}: {max(rates):.0f} a second is too much; at most {_HIGHEST} can be asked for")


def churn_settings(options: dict[str, Any]) -> ChurnSettings:
    """Return what the options ask for; raises UsageError."""
    seed = options.get("seed")
    return ChurnSettings(
        seconds=options.get("for_", SECONDS),
        cooldown=options.get("cooldown", 0.0),
        request=request_of(options.get("send", "")),
        timeout=options.get("timeout", TIMEOUT),
        resets=options.get("close") == "rst",
        seed=secrets.randbits(32) if seed is None else seed,
        arrivals=options.get("arrivals", CONSTANT),
        target=options.get("on"),
    )


def request_of(text: str) -> bytes:
    """Return the bytes of a text, or of the file whose name follows an @; raises UsageError."""
    return read_bytes(text[1:]) if text.startswith("@") else os.fsencode(text)


def _described(settings: ChurnSettings) -> str:
    """Return what is done at each rate in one line, so that it can be repeated."""
    parts = [f"for {format_exactly(settings.seconds)}"]
    if settings.cooldown:
        parts.append(f"cooldown {format_exactly(settings.cooldown)}")
    if settings.target:
        parts.append(f"on {settings.target}")
    parts.append(f"{format_count(len(settings.request), 'byte')} sent")
    parts.append(f"timeout {format_exactly(settings.timeout)}")
    parts.append(f"close {'rst' if settings.resets else 'fin'}")
    return ", ".join([*parts, f"arrivals {settings.arrivals}", f"seed {settings.seed}"])
