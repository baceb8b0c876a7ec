"""The grammar of one command: a usage text that parsing, help and completion all read.

A word in capitals stands for a value of that kind (KINDS), any other word for itself. `[...]` may be left out, `a|b`
is one of these words, and `a B | c D` in brackets one of these sequences. `COMMAND...` takes all words that are left,
those of what the usage has after it included. The @ of a kind is part of its values, and not of the name that they are
bound under.

Braces, which come last, hold options in any order, each of which may be left out and given once:
`{on TARGET | for T | seed N | arrivals poisson|constant | edns | first TEXT...}`. An option is a word alone, or one
before a value of a kind or a choice of words. Under its own name (`-` becomes `_`, and a word that Python claims gets
an underscore behind it: `for_`) it binds True, that value, or the word chosen. `KIND...` takes one value or more, up
to the next option or the end, and binds a list, in braces as well as before them.
"""

import keyword
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from common.addresses import parse_address, parse_endpoint
from common.errors import UsageError
from common.units import (
    parse_bandwidth,
    parse_count,
    parse_duration,
    parse_hashsize,
    parse_interval,
    parse_latency,
    parse_percentiles,
    parse_rate_or_latency,
    parse_real,
    parse_timeout,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: what reads one, raising UsageError, and what one is, for people."""

    parse: Callable[[str], Any]
    meaning: str


KINDS: Final = {
    "N": Kind(parse_count, "a whole number like 500, 100k or 1.5m"),
    "RATE": Kind(parse_real, "a number above 0 like 0.5, 200 or 1.5k"),
    "SIZE": Kind(parse_hashsize, "a whole number above 0 like 500 or 100k"),
    "T": Kind(parse_duration, "a time like 500ms, 10s or 1m30s"),
    "TIMEOUT": Kind(parse_timeout, "a time above 0 like 500ms, 10s or 1m30s"),
    "TIMES": Kind(parse_interval, "a range of times like 5-10s, or one time"),
    "ADDR": Kind(parse_address, "an address and a port like 10.0.0.1:5000 or [2001:db8::1]:5000"),
    "TARGET": Kind(parse_address, "the address and port of a target, like 10.0.0.1:5000"),
    "ADDRS": Kind(parse_endpoint, "an address or a host, and a port or a range of ports, like 10.0.0.1:5000-5999"),
    "NAME": Kind(str, "the name of a command"),
    "TEXT": Kind(str, "a word, or a text in quotes"),
    "FILE": Kind(str, "the name of a file"),
    "CONDITION": Kind(str, "a figure, a sign and a value, like p99 < 5ms, losses == 0 or rate > 0.99 asked"),
    "PERCENT": Kind(parse_real, "a number above 0 like 15"),
    "BW": Kind(parse_bandwidth, "a bandwidth like 10Mbps (bits a second), 500kBps (bytes a second) or 0"),
    "@LATENCY": Kind(parse_latency, "a latency above 0 like @5ms"),
    "RATE/@T": Kind(parse_rate_or_latency, "a number above 0 like 0.5 or 200, or a latency like @5ms"),
    "PERCENTILES": Kind(parse_percentiles, "a list like 50,95,99.9"),
}

# Those whose values are addresses.
ADDRESSES: Final = ("ADDR", "TARGET", "ADDRS")

REST: Final = "COMMAND..."
_MORE: Final = "..."
_TOKEN: Final = re.compile(r"[\[\]{}]|[^\s\[\]{}]+")
_BRACES_LAST: Final = re.compile(r"[^{}]*(\{[^{}\[\]]*\})?")

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


@dataclass(frozen=True, slots=True)
class _Options:
    """Options by name, in any order; what each takes is "", a kind, a kind with `...`, or words parted by `|`."""

    values: dict[str, str]


_Item = _Word | _Choice | _Options


@dataclass(slots=True)
class _Trace:
    """How far the matching came, what could have stood there, and what was wrong with what did, by that name."""

    at: int = 0
    expected: list[str] = field(default_factory=list)
    errors: dict[str, UsageError] = field(default_factory=dict)

    def tried(self, at: int, name: str, error: UsageError | None) -> None:
        if at > self.at:
            self.at, self.expected, self.errors = at, [], {}
        if at == self.at:
            self.expected.append(name)
            if error:
                self.errors[name] = error

    def refusal(self, word: str, form: str, options: Collection[str]) -> UsageError:
        """Return what is wrong with the word there, as what it looks like where it might be several things."""
        for name, error in self.errors.items():
            if len(set(self.expected)) == 1 or _looks_like(name, word):
                return error
        return UsageError(f"{self._why(word, options)}; the form is: {form}")

    def _why(self, word: str, options: Collection[str]) -> str:
        """Return why a word that looks like nothing of what is expected is refused."""
        if len(self.errors) != 1:
            return f'"{word}" does not belong there'
        ((kind, error),) = self.errors.items()
        words = [name for name in dict.fromkeys(self.expected) if name != kind and name not in options]
        # Where there is but one word, the value is what was meant; several are names, and so is what was typed.
        return f'"{word}" is no {kind}, and none of {", ".join(words)}' if len(words) > 1 else str(error)


class Usage:
    """A parsed usage text of a command; `form` is how a line is typed, which is shown where words do not fit."""

    def __init__(self, text: str, name: str = "", form: str = "") -> None:
        self._name = name
        self._form = form or text
        assert text.count("[") == text.count("]"), f"unbalanced brackets in {text!r}"
        assert _BRACES_LAST.fullmatch(text), f"braces elsewhere than at the end of {text!r}"
        tokens = _TOKEN.findall(text)
        (self._sequence,) = _parse(tokens)
        self._options = {name for item in self._sequence if isinstance(item, _Options) for name in item.values}
        assert not tokens, f"unbalanced brackets in {text!r}"

    def bind(self, words: Sequence[str]) -> Bound:
        """Return the values by the name of their option or the lower-case name of their kind; True for each literal.

        Raises UsageError when the words do not fit; its text says what is wrong with the first one that does not.
        """
        trace = _Trace()
        longest = 0
        for end, bound in _match(self._sequence, words, 0, trace, self._options):
            if end == len(words):
                return bound
            longest = max(longest, end)
        if trace.at == len(words):
            missing = " or ".join(map(_described, dict.fromkeys(trace.expected)))
            raise UsageError(f'after "{(self._name, *words)[-1]}" comes {missing}; the form is: {self._form}')
        if trace.at >= longest:
            raise trace.refusal(words[trace.at], self._form, self._options)
        raise UsageError(f'"{words[longest]}" does not belong there; the form is: {self._form}')

    def expected(self, words: Sequence[str]) -> list[str]:
        """Return what may come after these words, each once: literals as they are, kinds in capitals."""
        trace = _Trace()
        for _ in _match(self._sequence, words, 0, trace, self._options):
            pass
        return list(dict.fromkeys(trace.expected)) if trace.at == len(words) else []


def _parse(tokens: list[str]) -> list[list[_Item]]:
    """Take the alternatives up to a closing bracket or the end."""
    sequences: list[list[_Item]] = [[]]
    while tokens:
        token = tokens.pop(0)
        if token == "]":
            break
        if token == "{":
            sequences[-1].append(_parse_options(tokens))
            continue
        if token == "|":
            sequences.append([])
        elif token == "[":
            sequences[-1].append(_Choice(_parse(tokens), optional=True))
        elif "|" in token:
            sequences[-1].append(_Choice([[_Word(word)] for word in token.split("|")], optional=False))
        else:
            sequences[-1].append(_Word(token))
    return sequences


def _parse_options(tokens: list[str]) -> _Options:
    """Take the options up to the closing brace."""
    values: dict[str, str] = {}
    inside = tokens[: tokens.index("}")]
    del tokens[: len(inside) + 1]
    while inside:
        end = inside.index("|") if "|" in inside else len(inside)
        name, *value = inside[:end]
        del inside[: end + 1]
        assert name not in values and len(value) < 2, f"no option, or one that there is already: {name} {value}"
        values[name] = "".join(value)
        choices = values[name].split("|")
        assert len(choices) == 1 or KINDS.keys().isdisjoint(choices), f"a kind among the words of {name}"
    return _Options(values)


def _match(
    sequence: Sequence[_Item], words: Sequence[str], at: int, trace: _Trace, stops: set[str]
) -> Iterator[tuple[int, Bound]]:
    """Yield every way to match the sequence from a word on: where it ends, and what it binds.

    Values of which there may be several end before a word that is one of `stops`.
    """
    if not sequence:
        yield at, {}
        return
    head, tail = sequence[0], sequence[1:]
    for end, bound in _match_item(head, words, at, trace, stops):
        for last, more in _match(tail, words, end, trace, stops):
            yield last, {**bound, **more}


def _match_item(
    item: _Item, words: Sequence[str], at: int, trace: _Trace, stops: set[str]
) -> Iterator[tuple[int, Bound]]:
    if isinstance(item, _Choice):
        for sequence in item.sequences:
            yield from _match(sequence, words, at, trace, stops)
        if item.optional:
            yield at, {}
    elif isinstance(item, _Options):
        yield from _match_options(item, words, at, trace, stops)
    elif item.name == REST:
        trace.tried(len(words), REST, None)
        if at < len(words):
            yield len(words), {"command": words[at:]}
    elif item.name.endswith(_MORE):
        kind = item.name.removesuffix(_MORE)
        for end, values in _match_values(kind, words, at, trace, stops):
            yield end, {kind.lower(): values}
    elif item.name in KINDS:
        for end, value in _match_value(item.name, words, at, trace):
            yield end, {item.name.lower().lstrip("@"): value}
    else:
        trace.tried(at, item.name, None)
        if words[at : at + 1] == [item.name]:
            yield at + 1, {item.name: True}


def _match_options(
    options: _Options, words: Sequence[str], at: int, trace: _Trace, stops: set[str]
) -> Iterator[tuple[int, Bound]]:
    """Take options for as long as there are some: an option's name is nothing else, so there is but one way."""
    bound: Bound = {}
    left = dict(options.values)
    while True:
        for name in left:
            trace.tried(at, name, None)
        word = words[at] if at < len(words) else None
        if word in options.values and word not in left:
            trace.tried(at, word, UsageError(f'"{word}" is given twice'))
        if word not in left:
            yield at, bound
            return
        found = list(_match_option(left.pop(word), words, at + 1, trace, stops))
        if not found:
            return
        ((at, value),) = found
        bound[f"{word}_" if keyword.iskeyword(word) else word.replace("-", "_")] = value


def _match_option(
    value: str, words: Sequence[str], at: int, trace: _Trace, stops: set[str]
) -> Iterator[tuple[int, Any]]:
    if not value:
        yield at, True
    elif value.endswith(_MORE):
        yield from _match_values(value.removesuffix(_MORE), words, at, trace, stops)
    elif value in KINDS:
        yield from _match_value(value, words, at, trace)
    else:
        for choice in value.split("|"):
            trace.tried(at, choice, None)
            if words[at : at + 1] == [choice]:
                yield at + 1, choice


def _match_value(kind: str, words: Sequence[str], at: int, trace: _Trace) -> Iterator[tuple[int, Any]]:
    if at == len(words):
        trace.tried(at, kind, None)
        return
    try:
        value = KINDS[kind].parse(words[at])
    except UsageError as error:
        trace.tried(at, kind, error)
    else:
        trace.tried(at, kind, None)
        yield at + 1, value


def _match_values(
    kind: str, words: Sequence[str], at: int, trace: _Trace, stops: set[str]
) -> Iterator[tuple[int, list[Any]]]:
    values: list[Any] = []
    while at < len(words) and words[at] not in stops:
        found = list(_match_value(kind, words, at, trace))
        if not found:
            break
        ((at, value),) = found
        values.append(value)
    trace.tried(at, kind, None)
    if values:
        yield at, values


def _described(name: str) -> str:
    """Return a word that is expected, with what it stands for where it is a kind of value."""
    return f"{name} ({KINDS[name].meaning})" if name in KINDS else name


def _looks_like(name: str, word: str) -> bool:
    """Return whether a word is meant for a kind of value, or is the literal of that name itself."""
    if name in ADDRESSES:
        return ":" in word or word.count(".") > 1
    if name.startswith("@"):
        return word.startswith("@")
    return name == word or (word[:1] in "+-.0123456789" and ":" not in word and word.count(".") < 2)
