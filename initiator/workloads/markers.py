"""Markers in what is heard: how answers are told from other bytes, and matched to the messages; pure."""

import re
from collections.abc import Iterator
from typing import Final

from common.errors import UsageError
from initiator.workloads.expressions import Number, Template

# A number in a marker has at most so many digits.
_DIGITS: Final = rb"(\d{1,19})"


class Marker:
    r"""A text that each answer has once.

    With `\{message}` in it answers are matched by that number, otherwise in the order of the messages. With
    `\{session}` only those of the session itself count. `longest` bounds how many bytes at the end of what was heard
    may be the beginning of one.
    """

    def __init__(self, template: Template) -> None:
        """Raises UsageError when there is nothing to look for, or an expression that answers cannot be told by."""
        self._parts: list[bytes | Number] = []
        for part in template.parts:
            if not isinstance(part, (bytes, Number)) or (isinstance(part, Number) and part.modulus):
                raise UsageError(r"a marker is made of text, \{session} and \{message} alone")
            self._parts.append(part)
        numbers = [part.name for part in self._parts if isinstance(part, Number)]
        if len(numbers) == len(self._parts):
            raise UsageError("a marker needs text to be found by")
        if numbers.count("message") > 1:
            raise UsageError(r"a marker takes \{message} once")
        self.numbered = "message" in numbers
        self.longest = sum(20 if isinstance(part, Number) else len(part) for part in self._parts)
        self._constant = b"".join(part for part in self._parts if isinstance(part, bytes)) if not numbers else None
        self._general = None if "session" in numbers or self._constant else self._compiled(0)

    def pattern(self, session: int) -> "re.Pattern[bytes] | bytes":
        """Return what to look for in what a session hears: a text, or a pattern whose group is the message's number."""
        return self._constant or self._general or self._compiled(session)

    def _compiled(self, session: int) -> "re.Pattern[bytes]":
        pattern = b""
        for part in self._parts:
            if isinstance(part, bytes):
                pattern += re.escape(part)
            else:
                pattern += b"%d" % session if part.name == "session" else _DIGITS
        # A number at the end is whole only when something comes after it.
        return re.compile(pattern + (rb"(?=\D)" if isinstance(self._parts[-1], Number) else b""))


def find_markers(pattern: "re.Pattern[bytes] | bytes", data: bytes) -> tuple[list[int], int]:
    """Return the number of the message of each marker found (0 for none in it), and where the last one ends."""
    if isinstance(pattern, bytes):
        between = data.split(pattern)
        return [0] * (len(between) - 1), len(data) - len(between[-1])
    found: Iterator[re.Match[bytes]] = pattern.finditer(data)
    numbers, end = [], 0
    for match in found:
        numbers.append(int(match[1]) if pattern.groups else 0)
        end = match.end()
    return numbers, end
