"""The dump: what goes over the sessions, escaped, a line for each read and write, at a bounded rate."""

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from responder.client import Client

log = logging.getLogger("sessioner.responder")

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


class Dump:
    """Shows the traffic of every client, or of one until that ends, and then of the next one that has any.

    `left_out` counts the reads and writes that were too many to be shown.
    """

    def __init__(self, *, every: bool, incoming: bool, outgoing: bool) -> None:
        self.left_out = 0
        self.every = every
        self._incoming = incoming
        self._outgoing = outgoing
        self._followed: Client | None = None
        self._second = 0
        self._shown = 0
        self._untold = 0

    def __str__(self) -> str:
        """Return what is shown, as `status` does."""
        directions = (word for word, wanted in (("in", self._incoming), ("out", self._outgoing)) if wanted)
        return f"{'all clients' if self.every else 'one client'}, {' and '.join(directions)}"

    def __getstate__(self) -> dict[str, object]:
        """Return what a pickle carries: all but the client that is followed."""
        return {**vars(self), "_followed": None}

    def received(self, client: "Client", data: memoryview, now: float) -> None:
        """Show what was read, at `now` (monotonic seconds)."""
        if self._incoming:
            self._show("Rcv", client, data, now)

    def sent(self, client: "Client", data: memoryview, now: float) -> None:
        """Show what was written, at `now` (monotonic seconds)."""
        if self._outgoing:
            self._show("Snd", client, data, now)

    def _show(self, word: str, client: "Client", data: memoryview, now: float) -> None:
        if not self.every and client is not self._followed:
            if self._followed is not None and self._followed.descriptor >= 0:
                return
            self._followed = client
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
        log.log(LEVEL, "%s%s %s %d: [%s]%s", note, word, client, len(data), escape(data[:WIDEST]), more)
