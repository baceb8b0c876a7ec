"""Random text that a regular expression matches, pure."""

import string
from collections.abc import Callable
from random import Random
from typing import Final

from common.errors import UsageError

# How often `*` and `+` repeat at most, and what a number in braces may be.
_MOST: Final = 16
_MOST_TIMES: Final = 1_000

_PRINTABLE: Final = "".join(chr(code) for code in range(32, 127))
_CLASSES: Final = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " \t",
}
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t"}
_SPECIAL: Final = "()[]{}|?*+"

Draw = Callable[[Random], str]


def parse_regex(text: str) -> Draw:
    r"""Return what draws a text that matches: literals, `.`, `[a-z]`, `[^a-z]`, `\d \w \s`, `(a|b)`, `? * + {n} {n,m}`.

    All bytes are drawn as ASCII; `*` and `+` repeat 16 times at most. Raises UsageError for anything else.
    """
    reader = _Reader(text)
    draw = reader.alternatives()
    if reader.at < len(text):
        raise reader.error(f'"{text[reader.at]}" stands alone')
    return draw


class _Reader:
    """A descent through the text of a regular expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def error(self, what: str) -> UsageError:
        return UsageError(f"no text can be drawn from the regular expression {self.text}: {what}")

    def alternatives(self) -> Draw:
        choices = [self._sequence()]
        while self._take("|"):
            choices.append(self._sequence())
        if len(choices) == 1:
            return choices[0]
        return lambda random: random.choice(choices)(random)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, wanted: str) -> bool:
        if self._peek() != wanted:
            return False
        self.at += 1
        return True

    def _next(self) -> str:
        if self.at == len(self.text):
            raise self.error("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _sequence(self) -> Draw:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return lambda random: "".join(part(random) for part in parts)

    def _atom(self) -> Draw:
        char = self._next()
        if char == "(":
            inside = self.alternatives()
            if not self._take(")"):
                raise self.error("a bracket is not closed")
            return inside
        if char == "[":
            return _one_of(self._class())
        if char == "\\":
            return _one_of(self._escaped())
        if char == ".":
            return _one_of(_PRINTABLE)
        if char in _SPECIAL:
            raise self.error(f'"{char}" stands alone')
        return _one_of(char)

    def _escaped(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _LETTERS:
            return _LETTERS[char]
        if char.isalnum():
            raise self.error(rf'"\{char}" is not known')
        return char

    def _class(self) -> str:
        """Return the characters of a class whose `[` is taken."""
        inverted = self._take("^")
        chars = ""
        while not (self._take("]") and chars):
            first = self._escaped() if self._take("\\") else self._next()
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("", "]"):
                self.at += 1
                last = self._next()
                if len(first) > 1 or ord(last) < ord(first):
                    raise self.error(f'"{first}-{last}" is no range')
                chars += "".join(map(chr, range(ord(first), ord(last) + 1)))
            else:
                chars += first
        if inverted:
            chars = "".join(char for char in _PRINTABLE if char not in chars)
        if not chars:
            raise self.error("a class has no character")
        return chars

    def _repeated(self, atom: Draw) -> Draw:
        if self._take("?"):
            low, high = 0, 1
        elif self._take("*"):
            low, high = 0, _MOST
        elif self._take("+"):
            low, high = 1, _MOST
        elif self._take("{"):
            low, high = self._times()
        else:
            return atom
        return lambda random: "".join(atom(random) for _ in range(random.randint(low, high)))

    def _times(self) -> tuple[int, int]:
        """Return the bounds in braces of which the first is taken."""
        end = self.text.find("}", self.at)
        first, comma, last = self.text[self.at : end].partition(",") if end >= 0 else ("", "", "")
        self.at = end + 1
        last = last if comma else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= _MOST_TIMES):
            raise self.error(f"a repetition is like {{3}} or {{2,5}}, up to {_MOST_TIMES}")
        return int(first), int(last)


def _one_of(chars: str) -> Draw:
    if len(chars) == 1:
        return lambda _random: chars
    return lambda random: random.choice(chars)
