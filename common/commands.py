"""The registry of commands: one row each, read by dispatch, help, completion and validation alike."""

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import UsageError
from common.grammar import REST, Usage

JSON: Final = "--json"

_OPTIONS: Final = re.compile(r"\{.*\}")


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
    """

    name: str
    usage: str
    help: str
    run: Callable[..., Awaitable[Any]]
    text: Callable[[Any], Iterable[str]] = one_line
    reports: bool = False
    looks: bool = False
    missing: str | None = None
    grammar: Usage = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grammar", Usage(self.usage, self.form))

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
            raise UsageError(f'Unknown command "{name}", valid commands are:\n  {" ".join(self.commands)}')
        as_json = command.reports and rest[-1:] == [JSON]
        if as_json:
            rest.pop()
        try:
            return Call(command, command.grammar.bind(rest), as_json)
        except UsageError as error:
            if command.missing and not rest:
                raise UsageError(command.missing) from None
            raise UsageError(f"{name}: {error}") from None

    def expected(self, words: Sequence[str]) -> list[str]:
        """Return what may come after these words: literals as they are, kinds of values in capitals."""
        if not words:
            return list(self.commands)
        command = self.commands.get(words[0])
        if command is None:
            return []
        expected = command.grammar.expected(words[1:])
        if REST in expected:
            expected = self.expected(words[1:])
        if command.reports and _is_whole(command.grammar, words[1:]):
            expected.append(JSON)
        return expected


def _is_whole(usage: Usage, words: Sequence[str]) -> bool:
    try:
        usage.bind(words)
    except UsageError:
        return False
    return True
