"""Messages whose echo shows where it belongs: each carries its run, session and number, all of it is verified; pure."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

_MAGIC: Final = b"SessionerEcho-"
_HEADER: Final = re.compile(_MAGIC + rb"([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})\.")

# The bytes of a header, less than which no message can have.
SMALLEST: Final = len(_MAGIC) + 36

# Bytes shown of a message that is not as it was sent.
_AROUND: Final = 64


class Frame(NamedTuple):
    """Whose message it is."""

    run: int
    session: int
    number: int

    def encode(self, size: int) -> bytes:
        """Return the message: a word that it has only once, then numbers and a checksum, again and again."""
        numbers = b"%08x-%08x-%08x" % self
        numbers += b"-%08x." % crc32(_MAGIC + numbers)
        return (_MAGIC + numbers * (size // len(numbers) + 1))[:size]


class Verdict(NamedTuple):
    """What was heard: the number of a message that is well, or what is wrong; `text` tells of it.

    `kind` is "echoed", "foreign" (it belongs to another session or run), "repeated", "altered", "unexpected" (no
    message waited, and it is none), or "missing", and then so many messages from this number on, `how_many`, never
    came, though later ones did. `session` is the other session of the run whose message a foreign one is, 0 for none.
    """

    kind: str
    number: int
    text: str = ""
    how_many: int = 1
    session: int = 0


class Checker:
    """Verifies what one session hears, byte for byte; a session's numbers begin with 1."""

    __slots__ = ("_expected", "_run", "_session", "_size", "_tail")

    def __init__(self, run: int, session: int, size: int) -> None:
        self._run = run
        self._session = session
        self._size = size
        self._expected = 1
        self._tail = b""

    def heard(self, data: bytes, sent: int) -> Iterator[Verdict]:
        """Yield a verdict for each message that is whole now, one for all that is missing before it, keep what is not.

        Messages up to the number `sent` can come back.
        """
        data = self._tail + data
        size, at = self._size, 0
        while at < len(data):
            if self._expected > sent:
                begin = _next_header(data, at)
                if begin > at:
                    yield self._unexpected(data[at:begin])
                    at = begin
            if len(data) - at < size:
                break
            piece = data[at : at + size]
            if self._expected <= sent and piece == Frame(self._run, self._session, self._expected).encode(size):
                yield Verdict("echoed", self._expected)
                self._expected += 1
                at += size
            else:
                frame = _frame(piece)
                whole = frame is not None and frame.encode(size) == piece
                yield from self._wrong(piece, frame, whole, sent)
                at = at + size if whole else _next_header(data, at + 1)
        self._tail = data[at:]

    def _wrong(self, piece: bytes, frame: Frame | None, whole: bool, sent: int) -> Iterator[Verdict]:
        """Tell what is wrong with a message, by the frame that it begins with, and whether it is the whole of that."""
        if frame is None or not whole or (self._is_own(frame) and frame.number > sent):
            if self._expected > sent:
                yield self._unexpected(piece)
                return
            yield Verdict("altered", self._expected, self._difference(piece))
            if frame is None or self._is_own(frame):
                self._expected += 1
        elif not self._is_own(frame):
            session = frame.session if frame.run == self._run else 0
            whose = f"session {session}" if session else "another run"
            text = f"it heard message {frame.number} of {whose}"
            yield Verdict("foreign", frame.number, text, session=session)
        elif frame.number < self._expected:
            yield Verdict("repeated", frame.number, f"message {frame.number} came back again")
        else:
            first, missing = self._expected, frame.number - self._expected
            if missing:
                which = f"messages {first} to {frame.number - 1}" if missing > 1 else f"message {first}"
                yield Verdict("missing", first, f"{which} did not come back, {frame.number} did", missing)
            yield Verdict("echoed", frame.number)
            self._expected = frame.number + 1

    def _unexpected(self, data: bytes) -> Verdict:
        """Return the verdict on what came when no message waited for its echo."""
        text = f"{data[:_AROUND]!r} came, {len(data)} bytes, though no message waited for its echo"
        return Verdict("unexpected", self._expected, text)

    def _difference(self, piece: bytes) -> str:
        """Return, in words, how what came differs from the message that was to come, and where."""
        wanted = Frame(self._run, self._session, self._expected).encode(self._size)
        begin = max(0, _first_difference(piece, wanted) - _AROUND // 2)
        shown, sent = piece[begin : begin + _AROUND], wanted[begin : begin + _AROUND]
        return f"message {self._expected} came back as {shown!r} from byte {begin} on, sent was {sent!r}"

    def _is_own(self, frame: Frame) -> bool:
        return frame[:2] == (self._run, self._session)


def _frame(piece: bytes) -> Frame | None:
    found = _HEADER.match(piece)
    return Frame(*(int(group, 16) for group in found.groups()[:3])) if found else None


def _first_difference(one: bytes, other: bytes) -> int:
    """Return the first place at which two equally long texts differ; a binary search, for they may be long."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _next_header(data: bytes, at: int) -> int:
    """Return where the next message may begin: at a header, or at what may be the beginning of one."""
    found = data.find(_MAGIC, at)
    if found >= 0:
        return found
    for length in range(min(len(_MAGIC) - 1, len(data) - at), 0, -1):
        if data.endswith(_MAGIC[:length]):
            return len(data) - length
    return len(data)
