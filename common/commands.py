"""The registry of commands: one row each, read by dispatch, help, completion and validation alike."""

import difflib
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import UsageError
from common.grammar import KINDS, REST, Usage
from common.units import parse_timeout

JSON: Final = "--json"

# What the command that is watched is bound to.
_WATCHED: Final = "command"

_OPTIONS: Final = re.compile(r"\{.*\}")

# What a usage text has beside words and kinds of values.
_SIGNS: Final = re.compile(r"[\s\[\]{}|]+|\.\.\.")

# Seconds between two runs of what is watched, unless it is said.
_WATCHED_EVERY: Final = 1.0


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows that are rendered one by one as they come, under a title that JSON leaves out."""

    title: str
    rows: AsyncIterator[Any]


def one_line(result: object) -> Iterable[str]:
    """Render a result that is its own text."""
    return (str(result),)


@dataclass(frozen=True, slots=True)
class Command:
    """One row: `run` takes what `usage` binds, and `text` renders what it returns, or each row of a Listing.

    The errors of both are shown behind the name. A command that `reports` takes --json at its end, and changes nothing,
    as others that only `look` or wait. `missing` is said, and nothing before it, where nothing follows the name though
    something must.

    `about` has a short text for each option, and for what else of the usage needs one, by its word or kind. `takes` has
    the options that go with a word, where not all do. `offers` are words to complete a kind of value with.
    """

    name: str
    usage: str
    help: str
    run: Callable[..., Awaitable[Any]]
    text: Callable[[Any], Iterable[str]] = one_line
    reports: bool = False
    looks: bool = False
    missing: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, Collection[str]] = field(default_factory=dict)
    offers: Mapping[str, Collection[str]] = field(default_factory=dict)
    grammar: Usage = field(init=False)

    def __post_init__(self) -> None:
        more = f" (`help {self.name}` lists them)" if self.options else ""
        object.__setattr__(self, "grammar", Usage(self.usage, self.name, f"{self.short_form}{more}"))

    @property
    def form(self) -> str:
        """How the command is typed."""
        return " ".join(filter(None, (self.name, self.usage, f"[{JSON}]" if self.reports else "")))

    @property
    def options(self) -> list[str]:
        """Those that may stand in any order, as they are typed."""
        found = _OPTIONS.search(self.form)
        return found[0][1:-1].split(" | ") if found else []

    @property
    def short_form(self) -> str:
        """How the command is typed, without its options."""
        return _OPTIONS.sub("{...}", self.form)

    @property
    def described(self) -> list[str]:
        """The lines of `help NAME`: the form, each option, and what the words and kinds in capitals stand for."""
        options = [(option, self.about.get(option.split()[0], "")) for option in self.options]
        rest = [(word, self._meaning(word)) for word in dict.fromkeys(_SIGNS.split(self.usage))]
        lines = [f"{self.short_form}  {self.help}"]
        for title, rows in (
            ("{...} are, in any order (what holds without one):", options),
            ("where:", [row for row in rest if row[1]]),
        ):
            width = max((len(name) for name, _ in rows), default=0)
            lines += [f"  {title}"] * bool(rows)
            lines += [f"    {name:<{width}}  {meaning}".rstrip() for name, meaning in rows]
        return lines

    def _meaning(self, word: str) -> str:
        """Return what a word of the usage that is no option means, or a kind of value is."""
        own = "" if any(option.split()[0] == word for option in self.options) else self.about.get(word, "")
        return "; ".join(filter(None, (own, KINDS[word].meaning if word in KINDS else "")))


@dataclass(frozen=True, slots=True)
class Call:
    """A line that was understood: a row, what its usage bound, and whether JSON is wanted."""

    command: Command
    arguments: dict[str, Any]
    as_json: bool


class Registry:
    """The commands by name, in the order in which help shows them."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self.commands = {command.name: command for command in commands}

    def parse(self, line: str) -> Call:
        """Return the call that a line stands for; raises UsageError, and nothing is changed."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"the line cannot be read: {error}") from None
        return self.parse_words(words)

    def parse_words(self, words: Sequence[str]) -> Call:
        """Return the call that the words of a line stand for; raises UsageError."""
        name, *rest = words or [""]
        command = self.commands.get(name)
        if command is None:
            listed = f'Unknown command "{name}", valid commands are:\n  {" ".join(self.commands)}'
            raise UsageError(f"{listed}\n  {self._hint(name)}")
        as_json = command.reports and rest[-1:] == [JSON]
        if as_json:
            rest.pop()
        try:
            bound = command.grammar.bind(rest)
            if _WATCHED in bound:
                bound = self._watch(rest)
        except UsageError as error:
            if command.missing and not rest:
                raise UsageError(command.missing) from None
            raise UsageError(f"{name}: {error}") from None
        return Call(command, bound, as_json)

    def _watch(self, words: Sequence[str]) -> dict[str, Any]:
        """Return what these words stand for: a command's line, and behind it the seconds between two runs of it.

        A bare number is the command's where that takes one: `list 5` and `status 5`. Raises UsageError.
        """
        if words[0] not in self.commands:
            raise UsageError(f'there is no command "{words[0]}"; {self._hint(words[0])}')
        if REST in self.commands[words[0]].usage:
            raise UsageError(f"a {words[0]} cannot be watched")
        with suppress(UsageError):
            if not words[-1].isdigit() or not self._is_line(words):
                timeout = parse_timeout(words[-1])
                return {_WATCHED: self.parse_words(words[:-1]), "timeout": timeout}
        return {_WATCHED: self.parse_words(words), "timeout": _WATCHED_EVERY}

    def _is_line(self, words: Sequence[str]) -> bool:
        try:
            self.parse_words(words)
        except UsageError:
            return False
        return True

    def _hint(self, name: str) -> str:
        """Return where to look instead of a name that no command has."""
        near = [f"the nearest is `{near}`, " for near in difflib.get_close_matches(name, self.commands, 1)]
        return f"{''.join(near)}`help` tells of all, `quit` leaves"

    def expected(self, words: Sequence[str]) -> list[str]:
        """Return what may come after these words: literals as they are, kinds of values in capitals."""
        if not words:
            return list(self.commands)
        command = self.commands.get(words[0])
        if command is None:
            return []
        expected = command.grammar.expected(words[1:])
        if REST in expected:
            expected = self._expected_watched(words[1:])
        for word in set(words[1:2]) & command.takes.keys():
            options = {option.split()[0] for option in command.options} - set(command.takes[word])
            expected = [name for name in expected if name not in options]
        if command.reports and _is_whole(command.grammar, words[1:]):
            expected.append(JSON)
        return expected

    def _expected_watched(self, words: Sequence[str]) -> list[str]:
        watchable = [name for name, command in self.commands.items() if REST not in command.usage]
        if not words:
            return watchable
        return self.expected(words) if words[0] in watchable else []

    def offered(self, name: str, kind: str) -> Collection[str]:
        """Return the words to complete a kind of value with, behind the name of a command."""
        command = self.commands.get(name)
        return command.offers.get(kind, ()) if command else ()


def _is_whole(usage: Usage, words: Sequence[str]) -> bool:
    try:
        usage.bind(words)
    except UsageError:
        return False
    return True
