r"""Messages with expressions in them, like `id=\{message}`, pure but for the files that they name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from common.errors import UsageError
from common.files import read_bytes
from initiator.workloads.random_text import parse_regex, shown

_KNOWN: Final = (
    r"\{session}, \{message}, \{time}, \{session % N}, \{<file>}, \{re REGEX}, \{session.re REGEX}, \{once.re REGEX}"
)
_NUMBER: Final = re.compile(r"(session|message)(?:\s*%\s*(\d{1,18}))?")
_RANDOM: Final = re.compile(r"(?:(session|once)\.)?re\s+(.+)", re.DOTALL)
_FILE: Final = re.compile(r'<"?([^"]{1,4096}?)"?>')  # PATH_MAX of linux/limits.h
_BRACE: Final = re.compile(rb"[{}]")

# Bytes of the longest expression: some milliseconds' work, and more than what it may draw.
_LONGEST: Final = 10_000

# The word in front of a timestamp, which the responder's marker knows.
_STAMP: Final = b"SessionerTS-%016x."


@dataclass(slots=True)
class Moment:
    """What a message is made of: session and message by number, both from 1 on, and the time.

    `microseconds` are since the epoch; `per_session` keeps what was drawn once for the session.
    """

    session: int
    message: int
    microseconds: int
    random: Random
    per_session: dict[int, bytes]


Part = bytes | Callable[[Moment], bytes]


class Template:
    """A message as it was written; `constant` is its bytes when it has no expression."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        plain = [part for part in parts if isinstance(part, bytes)]
        self.constant = b"".join(plain) if len(plain) == len(parts) else None

    def render(self, moment: Moment) -> bytes:
        """Return the message of this moment."""
        return b"".join([part if type(part) is bytes else part(moment) for part in self.parts])  # type: ignore[operator]


class Number:
    """The number of the session or of the message, as it is or by a modulus."""

    def __init__(self, name: str, modulus: int | None) -> None:
        self.name = name
        self.modulus = modulus

    def __call__(self, moment: Moment) -> bytes:
        """Return its digits."""
        number = moment.session if self.name == "session" else moment.message
        return b"%d" % (number % self.modulus if self.modulus else number)


def parse_message(text: bytes, seed: int) -> Template:
    r"""Return the template of a text with expressions; raises UsageError for one that does not exist.

    `seed` decides what `\{once.re ...}` is.
    """
    parts: list[Part] = []
    at = 0
    while (begin := text.find(b"\\{", at)) >= 0:
        if begin > at:
            parts.append(text[at:begin])
        end = _closing(text, begin + 2)
        parts.append(_expression(text[begin + 2 : end].decode(errors="replace").strip(), len(parts), seed))
        at = end + 1
    if at < len(text):
        parts.append(text[at:])
    return Template(parts)


def _closing(text: bytes, at: int) -> int:
    """Return where the brace is that closes an expression: those of a repetition in it come in pairs."""
    depth, most = 1, at + _LONGEST
    for brace in _BRACE.finditer(text, at, most + 1):
        depth += 1 if brace[0] == b"{" else -1
        if not depth:
            return brace.start()
    begin = shown(text[at:most].decode(errors="replace"))
    if len(text) > most:
        raise UsageError(rf"the expression \{{{begin} is longer than {_LONGEST} bytes, or is not closed by a brace")
    raise UsageError(rf"the expression \{{{begin} is not closed by a brace")


def _expression(text: str, place: int, seed: int) -> Part:
    if text == "time":
        return lambda moment: _STAMP % moment.microseconds
    if number := _NUMBER.fullmatch(text):
        if number[2] is not None and not int(number[2]):
            raise UsageError(rf"the expression \{{{shown(text)}}} divides by 0")
        return Number(number[1], int(number[2]) if number[2] else None)
    if file := _FILE.fullmatch(text):
        return read_bytes(file[1])
    if wanted := _RANDOM.fullmatch(text):
        draw = parse_regex(wanted[2])
        if wanted[1] == "once":
            return draw(Random(f"{seed}/once/{place}")).encode()
        if wanted[1] == "session":
            return lambda moment: _drawn_once(moment, place, lambda: draw(moment.random).encode())
        return lambda moment: draw(moment.random).encode()
    raise UsageError(rf"there is no expression \{{{shown(text)}}}; there are {_KNOWN}")


def _drawn_once(moment: Moment, place: int, draw: Callable[[], bytes]) -> bytes:
    if place not in moment.per_session:
        moment.per_session[place] = draw()
    return moment.per_session[place]
