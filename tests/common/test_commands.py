"""Tests of the registry of commands, over the rows that both daemons really have."""

import asyncio
import inspect
import keyword
import re
from collections.abc import Iterator
from contextlib import aclosing
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.commands import JSON, Call, Command, Registry, one_line
from common.errors import UsageError
from common.grammar import KINDS, REST
from common.logs import Logs
from common.shell import Shell
from initiator.commands import Commands as InitiatorCommands
from initiator.engine import Engine as Initiator
from initiator.settings import Settings as InitiatorSettings
from responder.commands import Commands as ResponderCommands
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings

# A text of every kind of value.
VALUES = {
    "N": "5",
    "RATE": "100k",
    "SIZE": "10",
    "T": "1m30s",
    "TIMEOUT": "10s",
    "TIMES": "5-10s",
    "ADDR": "[::1]:80",
    "TARGET": "10.0.0.1:80",
    "ADDRS": "10.0.0.1:80-90",
    "NAME": "status",
    "TEXT": "hello",
    "FILE": "names.txt",
    "CONDITION": "losses",
    "PERCENT": "20",
    "BW": "10Mbps",
    "@LATENCY": "@5ms",
    "RATE/@T": "@5ms",
    "PERCENTILES": "50,99.9",
}

# Options may come in any order, so the lines of many are beyond counting: words up to which they are followed.
MOST_WORDS = 5

both = pytest.mark.parametrize("daemon", ["initiator", "responder"])
daemons = st.sampled_from(["initiator", "responder"])


@cache
def rows_of(daemon: str) -> list[Command]:
    """Return the rows of a daemon, as it makes them at its start; their `help` knows them all."""
    return asyncio.run(make_rows(daemon))


async def make_rows(daemon: str) -> list[Command]:
    """Make the rows of a daemon, and end it."""
    shell, logs = Shell(), Logs(lambda _text: None)
    try:
        if daemon == "initiator":
            async with aclosing(Initiator(InitiatorSettings(seed=1))) as opening:
                rows = InitiatorCommands(opening, shell, logs, 100).rows()
        else:
            async with aclosing(Responder(ResponderSettings())) as accepting:
                rows = ResponderCommands(accepting, shell, logs).rows()
    finally:
        logs.close()
    shell.registry = Registry(rows)
    return rows


def registry_of(daemon: str) -> Registry:
    """Return the registry of a daemon."""
    return Registry(rows_of(daemon))


def beginnings(registry: Registry, words: list[str]) -> Iterator[list[str]]:
    """Yield these words and every way that completion leads on from them, --json left out."""
    yield words
    for name in registry.expected(words):
        if name != JSON and len(words) < MOST_WORDS:
            yield from beginnings(registry, [*words, VALUES.get(name, name)])


def whole_lines(registry: Registry) -> Iterator[list[str]]:
    """Yield every line, a value of each kind given, that completion has nothing to add to."""
    for name in registry.commands:
        for words in beginnings(registry, [name]):
            if not set(registry.expected(words)) - {JSON}:
                yield words


def run_help(registry: Registry, line: str) -> list[str]:
    """Return what `help` says."""
    call = registry.parse(line)

    async def run() -> list[str]:
        return list(await call.command.run(**call.arguments))

    return asyncio.run(run())


@both
def test_help_and_completion_know_exactly_the_commands_there_are(daemon: str) -> None:
    """Every row is in the registry, in the help and in the completion, once and in one order."""
    names = [row.name for row in rows_of(daemon)]
    registry = registry_of(daemon)
    assert len(set(names)) == len(names)
    assert list(registry.commands) == names
    assert registry.expected([]) == names
    assert [line.split()[0] for line in run_help(registry, "help")] == names


@both
def test_help_shows_each_form_and_what_it_does(daemon: str) -> None:
    """A line of help is the form and one line about it; `help NAME` is that line, with more for each option."""
    registry = registry_of(daemon)
    for row, line in zip(registry.commands.values(), run_help(registry, "help"), strict=True):
        assert re.split(r"\s{2,}", line) == [row.short_form, row.help]
        first, *others = run_help(registry, f"help {row.name}")
        assert first == f"{row.short_form}  {row.help}"
        shown = [re.split(r"\s{2,}", other.strip()) for other in others if other.startswith("    ")]
        options = shown[: len(row.options)]
        assert [option for option, _meaning in options] == row.options
        assert {name for name, _meaning in shown[len(row.options) :]} >= kinds_of(row)
        assert all(meaning for _name, meaning in shown)


def kinds_of(row: Command) -> set[str]:
    """Return the kinds of values that a row's usage has."""
    return {word.removesuffix("...") for word in re.split(r"[\s\[\]{}|]+", row.usage)} & KINDS.keys()


@both
def test_what_is_said_about_a_word_is_about_one_of_the_usage(daemon: str) -> None:
    """Each option has its short text, and there is none of what the usage has not."""
    for row in rows_of(daemon):
        words = {word.removesuffix("...") for word in re.split(r"[\s\[\]{}|]+", row.usage)}
        options = {option.split()[0] for option in row.options}
        assert options <= row.about.keys() <= words, row.name
        assert all(0 < len(text) <= 200 and "\n" not in text for text in row.about.values())
        assert options >= {option for taken in row.takes.values() for option in taken}
        assert row.takes.keys() <= words
        assert row.offers.keys() <= kinds_of(row)


@both
def test_every_help_text_is_one_short_line(daemon: str) -> None:
    """What is said about a command fits on its line."""
    for row in rows_of(daemon):
        assert row.help.strip() == row.help
        assert 0 < len(row.help) <= 80
        assert "\n" not in row.help


@both
def test_help_about_an_unknown_command_is_refused(daemon: str) -> None:
    """Help names the command that there is not."""
    with pytest.raises(UsageError, match=r'^there is no command "junk"'):
        run_help(registry_of(daemon), "help junk")


def test_what_may_come_next_is_told_once_where_a_word_may_be_two_things() -> None:
    """Behind `send off` the word is one to end what is sent, or a text to send; the options are the same."""
    expected = registry_of("initiator").expected(["send", "off"])
    assert "rate" in expected
    assert len(expected) == len(set(expected))


@both
def test_a_handler_takes_exactly_what_its_usage_can_bind(daemon: str) -> None:
    """The keyword parameters of each handler are the words and kinds of its usage; it takes options as they come."""
    for row in rows_of(daemon):
        plain, _, options = row.usage.partition("{")
        names = re.findall(r"[^\s\[\]|]+", plain)
        kinds = {name.removesuffix("...") for name in names if name != REST}
        bound = {kind.lower().lstrip("@") if kind in KINDS else kind for kind in kinds}
        bound |= {"command"} if REST in names else set()
        bound |= {option_name(option) for option in options.rstrip("}").split(" | ") if option}
        taken = inspect.signature(row.run).parameters.values()
        named = {parameter.name for parameter in taken if parameter.kind is not parameter.VAR_KEYWORD}
        assert named <= bound if len(named) < len(taken) else named == bound, row.form


def option_name(option: str) -> str:
    """Return the parameter that an option of a usage is bound to."""
    name = option.split()[0].replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


@both
def test_completion_leads_to_lines_that_are_understood(daemon: str) -> None:
    """Each word that completion offers is taken, and what it leads to can be given to the handler."""
    registry = registry_of(daemon)
    for name, command in registry.commands.items():
        for words in beginnings(registry, [name]):
            try:
                call = registry.parse_words(words)
            except UsageError as refusal:
                missing = registry.commands[words[-1]].missing if words[-1] in registry.commands else None
                assert str(refusal).endswith(missing or "") and (
                    missing or f': after "{words[-1]}" comes ' in str(refusal)
                )
                assert registry.expected(words)
            else:
                assert call.command is command
                inspect.signature(command.run).bind(**call.arguments)  # raises TypeError where it does not fit


@both
def test_a_line_that_completion_cannot_add_to_is_whole(daemon: str) -> None:
    """Where nothing more is offered, nothing is missing."""
    registry = registry_of(daemon)
    for words in whole_lines(registry):
        assert registry.parse(" ".join(words)).command.name == words[0]


@both
def test_a_line_with_junk_behind_it_is_refused(daemon: str) -> None:
    """A word too many is named, whatever the command."""
    registry = registry_of(daemon)
    for words in whole_lines(registry):
        with pytest.raises(UsageError, match='"junk!"') as refusal:
            registry.parse_words([*words, "junk!"])
        assert str(refusal.value).startswith(f"{words[0]}: ")


@both
def test_nothing_is_offered_behind_junk(daemon: str) -> None:
    """Completion has nothing to add to a line that would be refused."""
    registry = registry_of(daemon)
    for words in whole_lines(registry):
        assert registry.expected([*words, "junk!"]) == [], words


def shown_by(registry: Registry, words: list[str]) -> Call:
    """Return the call whose result a line shows, which may be that of what it watches."""
    call = registry.parse_words(words)
    watched: Call = call.arguments.get("command", call)
    return watched


@both
def test_json_is_for_commands_that_report_alone(daemon: str) -> None:
    """At the end of a reporting command --json changes how it is shown; behind any other it is a word too many."""
    registry = registry_of(daemon)
    for words in whole_lines(registry):
        plain = shown_by(registry, words)
        assert not plain.as_json
        if not plain.command.reports:
            with pytest.raises(UsageError, match=f'"{JSON}"'):
                registry.parse_words([*words, JSON])
            assert JSON not in registry.expected(words)
            continue
        call = shown_by(registry, [*words, JSON])
        assert (call.command, call.arguments, call.as_json) == (plain.command, plain.arguments, True)
        assert JSON in registry.expected(words)
        assert registry.expected([*words, JSON]) == []


@both
def test_the_commands_that_show_figures_report(daemon: str) -> None:
    """What a program may want to read is there as JSON."""
    reporting = {row.name for row in rows_of(daemon) if row.reports}
    own = {"initiator": {"details", "latency", "report", "found", "ages"}, "responder": {"listeners"}}
    assert reporting == {"status", "list", "limits", *own[daemon]}


@both
@pytest.mark.parametrize("line", ["list --json 5", "status --json --json", "--json", "--json status"])
def test_json_stands_at_the_end_once(daemon: str, line: str) -> None:
    """Anywhere but at the end of the line --json is refused."""
    with pytest.raises(UsageError):
        registry_of(daemon).parse(line)


@both
@pytest.mark.parametrize("name", ["junk", "Status", "stat", "''"])
def test_an_unknown_command_is_answered_with_those_there_are(daemon: str, name: str) -> None:
    """A command must be spelt in full; the refusal lists all of them."""
    registry = registry_of(daemon)
    with pytest.raises(UsageError) as refusal:
        registry.parse(f"{name} 5")
    said, listed, hint = str(refusal.value).splitlines()
    assert said == f'Unknown command "{name.strip(chr(39))}", valid commands are:'
    assert listed == f"  {' '.join(registry.commands)}"
    assert hint.endswith("`help` tells of all, `quit` leaves")
    assert ("the nearest is `status`" in hint) == (name.lower().startswith("stat"))


@pytest.mark.parametrize("line", ["", "  ", "\t"])
def test_a_blank_line_stands_for_no_command(line: str) -> None:
    """What a blank line means is for the shell to say; here it is refused like any other line without a command."""
    with pytest.raises(UsageError):
        registry_of("initiator").parse(line)


def test_set_without_a_number_says_what_it_always_said() -> None:
    """Scripts read this text already."""
    with pytest.raises(UsageError) as refusal:
        registry_of("initiator").parse("set")
    assert str(refusal.value) == "You need to specify the number to requested connections!"


def test_set_with_a_wrong_number_names_it() -> None:
    """What is there and wrong is told as for any command."""
    with pytest.raises(UsageError, match=r'^set: "many" is not a whole number'):
        registry_of("initiator").parse("set many")


def test_words_may_be_quoted() -> None:
    """A line is split as a shell does it."""
    call = registry_of("initiator").parse("  drop   '10.0.0.1:80'  \"rst\" ")
    assert (call.command.name, set(call.arguments)) == ("drop", {"addr", "rst"})


@pytest.mark.parametrize("line", ["status '", 'list "5', "status \\"])
def test_a_line_that_does_not_end_is_refused(line: str) -> None:
    """A quote that is not closed costs one line."""
    with pytest.raises(UsageError, match=r"^the line cannot be read: No "):
        registry_of("initiator").parse(line)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["junk"], []),
        (["set"], ["N"]),
        (["set", "5"], ["TARGET"]),
        (["set", "many"], []),
        (["list"], ["N", "ADDR", JSON]),
        (["target"], ["add", "remove"]),
        (["ping"], ["on", "off", "interval"]),
        (["watch", "status"], [JSON]),
        (["watch", "target"], ["add", "remove"]),
        (["find"], ["sessions", "rate", "idle"]),
        (["find", "sessions"], ["limit", "rate", "for", "on"]),
        (["find", "idle"], ["up-to", "on"]),
        (["find", "idle", "on", "10.0.0.1:80"], ["up-to"]),
    ],
)
def test_what_may_come_next_is_told(words: list[str], expected: list[str]) -> None:
    """Completion reads the same usage texts as everything else."""
    assert registry_of("initiator").expected(words) == expected


@both
def test_any_command_may_be_watched(daemon: str) -> None:
    """Behind `watch` completion offers the commands themselves, but for `watch`."""
    registry = registry_of(daemon)
    assert registry.expected(["watch"]) == [name for name in registry.commands if name != "watch"]
    assert registry.expected(["watch", "watch"]) == []


@pytest.mark.parametrize(
    ("line", "words", "seconds"),
    [
        ("status", ["status"], 1.0),
        ("status 5", ["status"], 5.0),
        ("status 50ms", ["status"], 0.05),
        ("status --json 2s", ["status", "--json"], 2.0),
        ("list", ["list"], 1.0),
        ("list 5", ["list", "5"], 1.0),
        ("list 5 2", ["list", "5"], 2.0),
        ("list 5s", ["list"], 5.0),
        ("sleep 5s", ["sleep", "5s"], 1.0),
        ("sleep 1 1", ["sleep", "1"], 1.0),
    ],
)
@both
def test_a_bare_number_is_the_watched_command_s_where_it_takes_one(
    daemon: str, line: str, words: list[str], seconds: float
) -> None:
    """A time with a unit is how often, and so is a number that the command has no use for; else it is each second."""
    registry = registry_of(daemon)
    assert registry.parse(f"watch {line}").arguments == {"command": registry.parse_words(words), "timeout": seconds}


@both
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("watch", 'watch: after "watch" comes COMMAND'),
        ("watch exit", 'watch: there is no command "exit"; '),
        ("watch status now", 'watch: status: "now" does not belong there'),
        ("watch status 0s", 'watch: status: "0s" does not belong there'),
        ("watch watch status", "watch: a watch cannot be watched"),
        (f"watch {'watch ' * 500} status", "watch: a watch cannot be watched"),
    ],
)
def test_what_cannot_be_watched_is_refused(daemon: str, line: str, error: str) -> None:
    """The refusal is about the line that would be watched."""
    with pytest.raises(UsageError) as refusal:
        registry_of(daemon).parse(line)
    assert str(refusal.value).startswith(error)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "query 10 for",
            'query: after "for" comes TIMEOUT (a time above 0 like 500ms, 10s or 1m30s); the form is: query ',
        ),
        ("send x marker", 'send: after "marker" comes TEXT ('),
        ("target", 'target: after "target" comes add or remove; the form is: target add|remove ADDRS'),
    ],
)
def test_what_is_missing_is_named(line: str, error: str) -> None:
    """One line says what comes next, and shows the form without all options."""
    with pytest.raises(UsageError) as refusal:
        registry_of("initiator").parse(line)
    assert str(refusal.value).startswith(error)
    assert "\n" not in str(refusal.value)
    assert "arrivals" not in str(refusal.value)


VOCABULARY = """
status details list set target rate ping hashsize drop wait sleep watch limits debug help quit prompt listeners listen
on off interval held clients add remove rst fin --json
0 5 -1 1.5 10s 5-10s 10-5s 10.0.0.1:80 10.0.0.1:0 [::1]:80-90 [::1 a:1 :80 ' " \\ | [ ]
"""
lines = st.text(max_size=60) | st.lists(st.sampled_from(VOCABULARY.split()) | st.text(max_size=8), max_size=6).map(
    " ".join
)


@settings(max_examples=400, deadline=None)
@given(daemons, lines.filter(str.strip))
def test_any_line_is_understood_or_refused(daemon: str, line: str) -> None:
    """Whatever is typed is a call that its handler takes, or one refusal, and nothing else is raised."""
    registry = registry_of(daemon)
    try:
        call = registry.parse(line)
    except UsageError as refusal:
        assert str(refusal)
    else:
        inspect.signature(call.command.run).bind(**call.arguments)  # raises TypeError where it does not fit
        assert call.command is registry.commands[call.command.name]


@both
def test_a_number_of_thousands_of_digits_is_refused(daemon: str) -> None:
    """No number is so long that the refusal is anything else."""
    for usage in ("list", "drop", "limits", "wait", "sleep", "hashsize"):
        for digits in ("9" * 400, "9" * 5_000, f"a:{'9' * 5_000}", f"1.2.3.4:{'9' * 5_000}"):
            with pytest.raises(UsageError):
                registry_of(daemon).parse(f"{usage} {digits}")


async def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("row", "form"),
    [
        (Command("quit", "", "leave", nothing), "quit"),
        (Command("set", "N [TARGET]", "hold", nothing), "set N [TARGET]"),
        (Command("status", "", "figures", nothing, reports=True), "status [--json]"),
        (Command("list", "[N|ADDR]", "sessions", nothing, reports=True), "list [N|ADDR] [--json]"),
    ],
)
def test_a_form_is_how_a_command_is_typed(row: Command, form: str) -> None:
    """The form is the name, the usage and, where it reports, --json."""
    assert row.form == form


@pytest.mark.parametrize(
    ("row", "form"),
    [
        (Command("quit", "", "leave", nothing), "quit"),
        (Command("list", "[N|ADDR]", "sessions", nothing, reports=True), "list [N|ADDR] [--json]"),
    ],
)
def test_a_refusal_shows_how_the_whole_line_is_typed(row: Command, form: str) -> None:
    """The form behind what is wrong is that of help, with nothing behind it."""
    with pytest.raises(UsageError) as refusal:
        Registry([row]).parse(f"{row.name} junk")
    assert str(refusal.value) == f'{row.name}: "junk" does not belong there; the form is: {form}'


def test_a_result_is_its_own_text_unless_the_row_says_otherwise() -> None:
    """A plain result is shown as one line."""
    assert list(one_line("3 targets added")) == ["3 targets added"]
    assert Command("quit", "", "leave", nothing).text is one_line
