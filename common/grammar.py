"""The grammar of one command: a usage text that parsing, help and completion all read.

A word in capitals stands for a value of that kind (KINDS), any other word for itself. `[...]` may be left out, `a|b`
is one of these words, and `a B | c D` in brackets one of these sequences. `COMMAND...` takes all words but as many
as the usage has after it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from common.addresses import parse_address, parse_endpoint
from common.errors import UsageError
from common.units import parse_count, parse_duration, parse_hashsize, parse_interval, parse_positive, parse_timeout

KINDS: Final[dict[str, Callable[[str], Any]]] = {
    "N": parse_count,
    "RATE": parse_positive,
    "SIZE": parse_hashsize,
    "T": parse_duration,
    "TIMEOUT": parse_timeout,
    "TIMES": parse_interval,
    "ADDR": parse_address,
    "TARGET": parse_address,
    "ADDRS": parse_endpoint,
    "NAME": str,
}

REST: Final = "COMMAND..."
_TOKEN: Final = re.compile(r"\[|\]|[^\s\[\]]+")

Bound = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Word:
    """One word: a literal, or a value of a kind."""

    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of some sequences, or none of them where it is optional."""

    sequences: list[list["_Item"]]
    optional: bool


_Item = _Word | _Choice


@dataclass(slots=True)
class _Trace:
    """How far the matching came, what could have stood there, and what was wrong with what did."""

    at: int = 0
    expected: list[str] = field(default_factory=list)
    error: UsageError | None = None

    def tried(self, at: int, name: str, error: UsageError | None) -> None:
        if at > self.at:
            self.at, self.expected, self.error = at, [], None
        if at == self.at:
            self.expected.append(name)
            self.error = self.error or error


class Usage:
    """A parsed usage text."""

    def __init__(self, text: str) -> None:
        self.text = text
        assert text.count("[") == text.count("]"), f"unbalanced brackets in {text!r}"
        tokens = _TOKEN.findall(text)
        (self._sequence,) = _parse(tokens)
        assert not tokens, f"unbalanced brackets in {text!r}"

    def bind(self, words: Sequence[str]) -> Bound:
        """Return the values by the lower-case name of their kind, and True for each literal.

        Raises UsageError when the words do not fit; its text says what is wrong with the first one that does not.
        """
        trace = _Trace()
        longest = 0
        for end, bound in _match(self._sequence, words, 0, trace):
            if end == len(words):
                return bound
            longest = max(longest, end)
        if trace.at == len(words):
            raise UsageError(f"something is missing; the form is: {self.text}")
        if trace.error and trace.at >= longest:
            raise trace.error
        raise UsageError(f'"{words[max(trace.at, longest)]}" does not belong there; the form is: {self.text}')

    def expected(self, words: Sequence[str]) -> list[str]:
        """Return what may come after these words: literals as they are, kinds in capitals."""
        trace = _Trace()
        for _ in _match(self._sequence, words, 0, trace):
            pass
        return trace.expected if trace.at == len(words) else []


def _parse(tokens: list[str]) -> list[list[_Item]]:
    """Take the alternatives up to a closing bracket or the end."""
    sequences: list[list[_Item]] = [[]]
    while tokens:
        token = tokens.pop(0)
        if token == "]":
            break
        if token == "|":
            sequences.append([])
        elif token == "[":
            sequences[-1].append(_Choice(_parse(tokens), optional=True))
        elif "|" in token:
            sequences[-1].append(_Choice([[_Word(word)] for word in token.split("|")], optional=False))
        else:
            sequences[-1].append(_Word(token))
    return sequences


def _match(sequence: Sequence[_Item], words: Sequence[str], at: int, trace: _Trace) -> Iterator[tuple[int, Bound]]:
    """Yield every way to match the sequence from a word on: where it ends, and what it binds."""
    if not sequence:
        yield at, {}
        return
    head, tail = sequence[0], sequence[1:]
    for end, bound in _match_item(head, words, at, len(tail), trace):
        for last, more in _match(tail, words, end, trace):
            yield last, {**bound, **more}


def _match_item(item: _Item, words: Sequence[str], at: int, after: int, trace: _Trace) -> Iterator[tuple[int, Bound]]:
    if isinstance(item, _Choice):
        for sequence in item.sequences:
            yield from _match(sequence, words, at, trace)
        if item.optional:
            yield at, {}
    elif item.name == REST:
        end = max(at + 1, len(words) - after)
        trace.tried(at, REST, None)
        if at < len(words):
            yield end, {"command": words[at:end]}
    elif at == len(words):
        trace.tried(at, item.name, None)
    elif item.name not in KINDS:
        trace.tried(at, item.name, None)
        if words[at] == item.name:
            yield at + 1, {item.name: True}
    else:
        yield from _match_value(item.name, words, at, trace)


def _match_value(kind: str, words: Sequence[str], at: int, trace: _Trace) -> Iterator[tuple[int, Bound]]:
    try:
        value = KINDS[kind](words[at])
    except UsageError as error:
        trace.tried(at, kind, error)
    else:
        trace.tried(at, kind, None)
        yield at + 1, {kind.lower(): value}
