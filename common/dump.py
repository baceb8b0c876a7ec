"""The dump: what goes over the sessions, escaped, a line for each read and write, at a bounded rate."""

import logging
from typing import Final, Protocol

from common.commands import Command

log = logging.getLogger("sessioner")

# A level of its own: it is shown whenever it is asked for, and takes nothing from what warnings may say in a second.
LEVEL: Final = 35
logging.addLevelName(LEVEL, "DUMP")

# Lines shown in a second, and bytes shown of one read or write: little enough for a terminal to keep up.
MOST: Final = 100
WIDEST: Final = 512

_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in range(256) if not 32 <= code < 127},
    **{ord(char): escape for char, escape in (("\\", r"\\"), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t"))},
}


def escape(data: bytes | memoryview) -> str:
    r"""Return bytes as printable text: `\n`, `\r`, `\t`, `\\`, and `\x00` for all else that is not ASCII text."""
    return str(data, "latin-1").translate(_ESCAPES)


class Session(Protocol):
    """Whose traffic is shown, under its text; `descriptor` is below 0 once it has ended."""

    @property
    def descriptor(self) -> int:
        """The descriptor."""


class Dump:
    """Shows the traffic of every session, or of one until that ends, and then of the next one that has any.

    `word` is what a session is called. `left_out` counts the reads and writes that were too many to be shown.
    """

    def __init__(self, *, every: bool, incoming: bool, outgoing: bool, word: str = "session") -> None:
        self.left_out = 0
        self.every = every
        self._incoming = incoming
        self._outgoing = outgoing
        self._word = word
        self._followed: Session | None = None
        self._second = 0
        self._shown = 0
        self._untold = 0

    def __str__(self) -> str:
        """Return what is shown, as `status` does."""
        directions = (word for word, wanted in (("in", self._incoming), ("out", self._outgoing)) if wanted)
        return f"{f'all {self._word}s' if self.every else f'one {self._word}'}, {' and '.join(directions)}"

    def __getstate__(self) -> dict[str, object]:
        """Return what a pickle carries: all but the session that is followed."""
        return {**vars(self), "_followed": None}

    def received(self, session: Session, data: memoryview, now: float) -> None:
        """Show what was read, at `now` (monotonic seconds)."""
        if self._incoming:
            self._show("Rcv", session, data, now)

    def sent(self, session: Session, data: memoryview, now: float) -> None:
        """Show what was written, at `now` (monotonic seconds)."""
        if self._outgoing:
            self._show("Snd", session, data, now)

    def _show(self, word: str, session: Session, data: memoryview, now: float) -> None:
        if not self.every and session is not self._followed:
            if self._followed is not None and self._followed.descriptor >= 0:
                return
            self._followed = session
        if self._second != int(now):
            self._second, self._shown = int(now), 0
        if self._shown >= MOST:
            self.left_out += 1
            self._untold += 1
            return
        self._shown += 1
        note = f"({self._untold} reads and writes before the next one were left out)\n" if self._untold else ""
        self._untold = 0
        more = f" and {len(data) - WIDEST} bytes more" if len(data) > WIDEST else ""
        log.log(LEVEL, "%s%s %s %d: [%s]%s", note, word, session, len(data), escape(data[:WIDEST]), more)


class _Snapshot(Protocol):
    @property
    def dump(self) -> str | None:
        """What is shown."""


class _Engine(Protocol):
    async def snapshot(self) -> _Snapshot:
        """Return the figures of this moment."""

    async def set_dump(self, dump: Dump | None) -> Dump | None:
        """Show traffic, or stop; return what was shown before."""


def dump_command(engine: _Engine, word: str) -> Command:
    """Return the row that switches an engine's dump, over if neither on nor off is said."""

    async def run(on: bool = False, off: bool = False, **options: bool) -> str:
        if off or (not on and (await engine.snapshot()).dump):
            before = await engine.set_dump(None)
            left_out = before.left_out if before else 0
            return f"Dump disabled, {left_out} reads and writes were left out" if left_out else "Dump disabled"
        dump = Dump(every="all" in options, incoming="out" not in options, outgoing="in" not in options, word=word)
        await engine.set_dump(dump)
        return f"Dump enabled: {dump}"

    return Command(
        "dump",
        "[on [one|all] [in|out] | off]",
        f"show the traffic of one {word} or of all, at a bounded rate",
        run,
    )
