"""The commands of the message workload: one row each."""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.commands import Command
from common.errors import SessionerError, UsageError
from common.escapes import unescape
from common.files import read_bytes
from common.units import format_bandwidth, format_exactly, format_milliseconds
from initiator.load_render import rate_found_table, rate_found_text, send_table, send_text
from initiator.runs import Outcome, Run, Runs, outcome_of
from initiator.snapshot import RateFound
from initiator.workers import AnyEngine
from initiator.workloads.expressions import Template, parse_message
from initiator.workloads.frames import SMALLEST
from initiator.workloads.markers import Marker
from initiator.workloads.random_text import shown
from initiator.workloads.search import START_EACH
from initiator.workloads.send import SendSettings

_NAME: Final = "send"

_SEND: Final = (
    "[off] [TEXT...] {first TEXT... | rate RATE/@T | up BW | down BW | delay T | for TIMEOUT | marker TEXT | skip N"
    " | stop-on TEXT | escape | combine on|off | on TARGET | seed N}"
)
_ECHO: Final = "check|off {rate RATE | size N | for TIMEOUT | on TARGET | seed N}"

# Messages a second and session, and their bytes, of an echo check that is not told.
_CHECK_RATE: Final = 1.0
_CHECK_SIZE: Final = 64
_LARGEST: Final = 1 << 20

_SEND_ABOUT: Final = {
    "off": "no more are sent",
    "TEXT": r"in a message \{session}, \{message} and \{time} stand for values, and @FILE for what the file holds",
    "first": "once on each session, before the others (nothing)",
    "rate": "messages a second on each session; @T: the most with p95 within it, needs `marker` (as fast as can be)",
    "up": "what each session sends at most, instead of `rate` (no limit)",
    "down": "what each session reads at most (no limit)",
    "delay": "the first byte goes out so long after the session was established (0s)",
    "for": "end after this time (`send off` or `stop send` does)",
    "marker": "what each answer has once: the latency from message to answer is measured (it is not)",
    "skip": "do not look at the first N answers of each session (0)",
    "stop-on": "end when a session hears this, with exit code 1 (nothing)",
    "escape": r"\n \r \t \f \b \\ \xHH \0ooo in the texts stand for bytes (for themselves)",
    "combine": "on: messages that are due together on a session go out in one write (on)",
    "on": "only on the sessions of this target (of all)",
    "seed": "repeat the random texts of the run that showed this seed (drawn)",
}
_ECHO_ABOUT: Final = {
    "check": "begin",
    "off": "end",
    "rate": f"messages a second on each session ({_CHECK_RATE:g})",
    "size": f"bytes of each message, from {SMALLEST} to {_LARGEST} ({_CHECK_SIZE})",
    "for": "end after this time (`echo off` or `stop send` does)",
    "on": "only on the sessions of this target (of all)",
    "seed": "repeat the bytes of the run that showed this seed (drawn)",
}

# Messages a second and session that can be asked for: more than any core sends.
_HIGHEST: Final = 1_000_000


class SendCommands:
    """What runs behind the rows of the message workload."""

    def __init__(self, engine: AnyEngine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command(
                _NAME,
                _SEND,
                "send messages on every session: at a rate, a bandwidth, or at full speed",
                self.send,
                about=_SEND_ABOUT,
            ),
            Command(
                "echo",
                _ECHO,
                "verify every echoed byte, and that it belongs to the session",
                self.echo,
                about=_ECHO_ABOUT,
            ),
        ]

    async def adopt(self, settings: SendSettings | None) -> None:
        """Go on with messages that another console has begun."""
        now = (await self._engine.snapshot()).send
        if settings and now and now.running:
            self._runs.begin(self._run(settings))

    async def send(self, off: bool = False, text: Sequence[str] = (), **options: Any) -> str:
        """Send messages, change their rate, or end them."""
        if off:
            return await self._off(_NAME, text, options)
        now = (await self._engine.snapshot()).send
        rate, latency = options.get("rate", (None, None))
        _check_rate(rate)
        if not text and rate and len(options) == 1 and now and now.running:
            if not now.sending:
                raise UsageError(
                    "send: the messages' time is over, and what they wait for is awaited;"
                    f" `wait send`, then `send TEXT rate {rate:g}` begins anew"
                )
            await self._engine.change_send(rate)
            return f"Messages: {rate:g} a second and session from now on"
        settings = _send_settings(text, options)
        await self._runs.settle(await self._engine.snapshot())
        await self._engine.start_send(settings)
        self._runs.begin(self._search(settings, latency) if latency else self._run(settings))
        return f"Messages: {settings.asking}"

    async def echo(self, check: bool = False, off: bool = False, **options: Any) -> str:  # noqa: ARG002 - one of both
        """Verify echoes, or end that."""
        if off:
            return await self._off("echo", (), options)
        settings = _check_settings(options)
        await self._runs.settle(await self._engine.snapshot())
        await self._engine.start_send(settings)
        self._runs.begin(self._run(settings))
        return f"Messages: {settings.asking}"

    async def _off(self, name: str, text: Sequence[str], options: Mapping[str, Any]) -> str:
        if text or options:
            raise UsageError(f"`{name} off` takes nothing else")
        await self._runs.stop(_NAME, f"{name} off")
        return "Messages: no more are sent"

    def _run(self, settings: SendSettings) -> Run:
        return Run(_NAME, settings.asking, self._ended, self._outcome, self._engine.stop_send)

    def _search(self, settings: SendSettings, latency: float) -> Run:
        found: list[RateFound] = []

        async def ended() -> None:
            found.append(await self._engine.search_send_rate(latency))

        async def outcome() -> Outcome:
            return outcome_of(found[0], rate_found_text, rate_found_table) if found else await self._outcome()

        return Run(_NAME, settings.asking, ended, outcome, self._engine.stop_send)

    async def _ended(self) -> None:
        await self._engine.wait_send()
        now = (await self._engine.snapshot()).send
        if now and now.stopped_on:
            raise SessionerError(f"send: stopped: {now.stopped_on}")

    async def _outcome(self) -> Outcome:
        return outcome_of((await self._engine.snapshot()).send, send_text, send_table)


def _send_settings(text: Sequence[str], options: Mapping[str, Any]) -> SendSettings:
    """Return what `send` and its options ask for; raises UsageError."""
    if not text:
        raise UsageError("a message is missing; the form is: send TEXT, send @FILE, or send off")
    rate, latency = options.get("rate", (None, None))
    if "rate" in options and "up" in options:
        raise UsageError("`rate` goes without `up`, it is one or the other that sets the pace")
    if options.get("up") == 0:
        raise UsageError("`up` takes a bandwidth above 0")
    if latency and "marker" not in options:
        raise UsageError("`rate @T` needs `marker TEXT`, or no latency is known")
    seed = _seed(options)

    def template(word: str) -> Template:
        return parse_message(_bytes_of(word, "escape" in options), seed)

    marker = template(options["marker"]) if "marker" in options else None
    if marker:
        Marker(marker)
    if "skip" in options and not marker:
        raise UsageError("`skip N` goes with `marker TEXT`")
    messages = tuple(map(template, text))
    if any(message.constant == b"" for message in messages):
        raise UsageError("a message is empty")
    return SendSettings(
        seed=seed,
        messages=messages,
        first=tuple(map(template, options.get("first", ()))),
        rate=START_EACH if latency else rate,
        up=options.get("up"),
        down=options.get("down"),
        delay=options.get("delay", 0.0),
        seconds=options.get("for_"),
        marker=marker,
        skip=options.get("skip", 0),
        stop_on=_bytes_of(options.get("stop_on", ""), "escape" in options),
        combine=options.get("combine", "on") == "on",
        target=options.get("on"),
        asking=_described(_quoted(text), options, seed),
    )


def _check_settings(options: Mapping[str, Any]) -> SendSettings:
    """Return what `echo check` and its options ask for; raises UsageError."""
    size, rate, seed = options.get("size", _CHECK_SIZE), options.get("rate", _CHECK_RATE), _seed(options)
    _check_rate(rate)
    if not SMALLEST <= size <= _LARGEST:
        raise UsageError(f"a size goes from {SMALLEST} to {_LARGEST} bytes")
    return SendSettings(
        seed=seed,
        rate=rate,
        check=size,
        seconds=options.get("for_"),
        target=options.get("on"),
        asking=_described(f"echo check of {size} bytes", {**options, "rate": (rate, None)}, seed),
    )


def _check_rate(rate: float | None) -> None:
    """Raise UsageError for more messages a second and session than can be asked for."""
    if rate is not None and rate > _HIGHEST:
        raise UsageError(f"{rate:.0f} a second and session is too much; at most {_HIGHEST} can be asked for")


def _seed(options: Mapping[str, Any]) -> int:
    seed: int | None = options.get("seed")
    return secrets.randbits(32) if seed is None else seed


def _bytes_of(word: str, escaped: bool) -> bytes:
    """Return what a TEXT stands for, or what the file of an @FILE holds; raises UsageError."""
    if word.startswith("@"):
        return read_bytes(word[1:])
    return unescape(word) if escaped else word.encode()


def _described(what: str, options: Mapping[str, Any], seed: int) -> str:
    """Return what a run is in one line, so that it can be repeated."""
    rate, latency = options.get("rate", (None, None))
    parts = [what]
    if rate:
        parts.append(f"{rate:g} a second and session")
    elif latency:
        parts.append(f"the highest rate with p95 within {format_milliseconds(latency)}")
    elif "up" in options:
        parts.append(f"{format_bandwidth(options['up'])} up")
    else:
        parts.append("as fast as can be")
    for name, text in (
        ("down", format_bandwidth),
        ("for_", format_exactly),
        ("on", str),
        ("first", _quoted),
        ("delay", format_exactly),
        ("marker", shlex.quote),
        ("skip", str),
        ("stop_on", shlex.quote),
        ("combine", str),
    ):
        if name in options:
            parts.append(f"{name.rstrip('_').replace('_', '-')} {text(options[name])}")
    if "escape" in options:
        parts.append("escape")
    return ", ".join([*parts, f"seed {seed}"])


def _quoted(texts: Sequence[str]) -> str:
    return " ".join(shlex.quote(shown(text)) for text in texts)
