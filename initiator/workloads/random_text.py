"""Random text that a regular expression matches, pure."""

import string
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from common.errors import UsageError

# How often `*` and `+` repeat at most, and what a number in braces may be.
_MOST: Final = 16
_MOST_TIMES: Final = 1_000

# How deep brackets may be nested, and the characters of the longest text: some milliseconds' work.
_DEEPEST: Final = 50
_LONGEST: Final = 10_000

# Characters that a text is named by.
_SHOWN: Final = 200

_PRINTABLE: Final = "".join(chr(code) for code in range(32, 127))
_CLASSES: Final = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " \t",
}
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t"}
_SPECIAL: Final = "()[]{}|?*+"

Draw = Callable[[Random], str]


def shown(text: str) -> str:
    """Return what a text is named by: itself, or its beginning where it is long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class _Part(NamedTuple):
    """What draws a text, and how long that is at most: a part that may be empty counts as well, for it is drawn too."""

    draw: Draw
    longest: int


def parse_regex(text: str) -> Draw:
    r"""Return what draws a text that matches: literals, `.`, `[a-z]`, `[^a-z]`, `\d \w \s`, `(a|b)`, `? * + {n} {n,m}`.

    All bytes are drawn as ASCII; `*` and `+` repeat 16 times at most. Raises UsageError for anything else, and for
    brackets that are nested too deeply or a text that may be too long.
    """
    reader = _Reader(text)
    draw, _ = reader.alternatives()
    if reader.at < len(text):
        raise reader.error(f'"{text[reader.at]}" stands alone')
    return draw


class _Reader:
    """A descent through the text of a regular expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._depth = 0

    def error(self, what: str) -> UsageError:
        return UsageError(f"no text can be drawn from the regular expression {shown(self.text)}: {what}")

    def alternatives(self) -> _Part:
        choices = [self._sequence()]
        while self._take("|"):
            choices.append(self._sequence())
        if len(choices) == 1:
            return choices[0]
        draws = [choice.draw for choice in choices]
        return _Part(lambda random: random.choice(draws)(random), max(choice.longest for choice in choices))

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

    def _sequence(self) -> _Part:
        draws, longest = [], 0
        while self._peek() not in ("", "|", ")"):
            draw, length = self._repeated(self._atom())
            draws.append(draw)
            longest += length
            if longest > _LONGEST:
                raise self.error(f"it may be longer than {_LONGEST} characters")
        return _Part(lambda random: "".join(draw(random) for draw in draws), max(1, longest))

    def _atom(self) -> _Part:
        char = self._next()
        if char == "(":
            return self._bracket()
        if char == "[":
            return _one_of(self._class())
        if char == "\\":
            return _one_of(self._escaped())
        if char == ".":
            return _one_of(_PRINTABLE)
        if char in _SPECIAL:
            raise self.error(f'"{char}" stands alone')
        return _one_of(char)

    def _bracket(self) -> _Part:
        """Return what is in a bracket that is open already."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self.error(f"brackets are nested more than {_DEEPEST} deep")
        inside = self.alternatives()
        if not self._take(")"):
            raise self.error("a bracket is not closed")
        self._depth -= 1
        return inside

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

    def _repeated(self, atom: _Part) -> _Part:
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
        draw, longest = atom
        return _Part(lambda random: "".join(draw(random) for _ in range(random.randint(low, high))), longest * high)

    def _times(self) -> tuple[int, int]:
        """Return the bounds in braces of which the first is taken."""
        end = self.text.find("}", self.at)
        first, comma, last = self.text[self.at : end].partition(",") if end >= 0 else ("", "", "")
        self.at = end + 1
        last = last if comma else first
        numbers = first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= len(str(_MOST_TIMES))
        if not (numbers and int(first) <= int(last) <= _MOST_TIMES):
            raise self.error(f"a repetition is like {{3}} or {{2,5}}, up to {_MOST_TIMES}")
        return int(first), int(last)


def _one_of(chars: str) -> _Part:
    if len(chars) == 1:
        return _Part(lambda _random: chars, 1)
    return _Part(lambda random: random.choice(chars), 1)
