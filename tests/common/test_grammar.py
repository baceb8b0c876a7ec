"""Tests of the grammar of one command."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.grammar import KINDS, Usage

# A text of every kind, and the value it stands for.
VALUES: dict[str, tuple[str, Any]] = {
    "N": ("1.5k", 1_500),
    "RATE": ("100k", 100_000),
    "SIZE": ("10", 10),
    "T": ("1m30s", 90.0),
    "TIMEOUT": ("10s", 10.0),
    "TIMES": ("5-10s", (5.0, 10.0)),
    "ADDR": ("[::1]:80", Address("::1", 80)),
    "TARGET": ("10.0.0.1:80", Address("10.0.0.1", 80)),
    "ADDRS": ("10.0.0.1:80-90", Endpoint("10.0.0.1", 80, 90)),
    "NAME": ("status", "status"),
    "TEXT": ("hello", "hello"),
    "FILE": ("names.txt", "names.txt"),
    "CONDITION": ("losses", "losses"),
    "PERCENT": ("12.5", 12.5),
    "BW": ("8kbps", 1_000.0),
    "@LATENCY": ("@5ms", 0.005),
    "RATE/@T": ("@5ms", (None, 0.005)),
    "PERCENTILES": ("99.9,50/50", (50.0, 99.9)),
}

ANY_WORD = {"NAME", "TEXT", "FILE", "CONDITION"}

USAGES = [
    "",
    "N",
    "[N]",
    "N [TARGET]",
    "[N|ADDR]",
    "N|ADDR [rst|fin]",
    "add|remove ADDRS",
    "RATE|off",
    "[on | off | interval TIMES]",
    "[held | clients N] [TIMEOUT]",
    "COMMAND... [TIMEOUT]",
    "COMMAND...",
    "[N [TARGET]]",
    "N... {on TARGET | off | interval TIMES | add held|clients}",
    "[N] {on TARGET... | off | rst N... | add held|clients}",
]

words = st.lists(
    st.sampled_from(
        [
            "5",
            "10s",
            "10.0.0.1:80",
            "[::1]:80",
            "on",
            "off",
            "interval",
            "5-10s",
            "add",
            "held",
            "clients",
            "rst",
            "x",
            "",
        ]
    ),
    max_size=5,
)


def bind(usage: str, line: str) -> dict[str, Any]:
    """Return what a line binds under a usage."""
    return Usage(usage).bind(line.split())


def test_every_kind_has_an_example_here() -> None:
    """The tables below leave out no kind of value."""
    assert set(VALUES) == set(KINDS)


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_bound_under_the_name_of_its_kind(kind: str) -> None:
    """A word in capitals takes one value of its kind, under its name in lower case."""
    text, value = VALUES[kind]
    assert Usage(kind).bind([text]) == {kind.lower().lstrip("@"): value}


@pytest.mark.parametrize("kind", sorted(set(VALUES) - ANY_WORD))
def test_a_wrong_value_is_named(kind: str) -> None:
    """A word that is no value of the kind wanted is named in the refusal."""
    with pytest.raises(UsageError, match='"wrong!"'):
        Usage(f"go {kind}").bind(["go", "wrong!"])


@pytest.mark.parametrize(("kind", "text"), [("RATE", "0"), ("SIZE", "0"), ("TIMEOUT", "0"), ("TIMES", "10-5s")])
def test_a_value_out_of_range_is_refused(kind: str, text: str) -> None:
    """A kind whose values have a least one refuses what is less."""
    with pytest.raises(UsageError):
        Usage(kind).bind([text])


@pytest.mark.parametrize(
    ("usage", "line", "bound"),
    [
        ("", "", {}),
        ("[N]", "", {}),
        ("[N]", "5", {"n": 5}),
        ("N [TARGET]", "5", {"n": 5}),
        ("N [TARGET]", "5 10.0.0.1:80", {"n": 5, "target": Address("10.0.0.1", 80)}),
        ("[N|ADDR]", "", {}),
        ("[N|ADDR]", "5", {"n": 5}),
        ("[N|ADDR]", "10.0.0.1:80", {"addr": Address("10.0.0.1", 80)}),
        ("N|ADDR [rst|fin]", "5 fin", {"n": 5, "fin": True}),
        ("N|ADDR [rst|fin]", "10.0.0.1:80 rst", {"addr": Address("10.0.0.1", 80), "rst": True}),
        ("add|remove ADDRS", "remove a:1", {"remove": True, "addrs": Endpoint("a", 1, 1)}),
        ("RATE|off", "off", {"off": True}),
        ("[on | off | interval TIMES]", "", {}),
        ("[on | off | interval TIMES]", "off", {"off": True}),
        ("[on | off | interval TIMES]", "interval 1-2s", {"interval": True, "times": (1.0, 2.0)}),
        ("[held | clients N] [TIMEOUT]", "", {}),
        ("[held | clients N] [TIMEOUT]", "10s", {"timeout": 10.0}),
        ("[held | clients N] [TIMEOUT]", "held", {"held": True}),
        ("[held | clients N] [TIMEOUT]", "clients 5 10", {"clients": True, "n": 5, "timeout": 10.0}),
        ("COMMAND... [TIMEOUT]", "status 5s", {"command": ["status", "5s"]}),
        ("[N] COMMAND...", "5 list 5 --json", {"n": 5, "command": ["list", "5", "--json"]}),
        ("COMMAND...", "a b c", {"command": ["a", "b", "c"]}),
        ("[N [TARGET]]", "5 10.0.0.1:80", {"n": 5, "target": Address("10.0.0.1", 80)}),
    ],
)
def test_words_are_bound_as_the_usage_says(usage: str, line: str, bound: dict[str, Any]) -> None:
    """Literals are bound as True, values under their kind, and what may be left out need not be there."""
    assert bind(usage, line) == bound


@pytest.mark.parametrize(
    ("usage", "line", "word"),
    [
        ("", "junk", "junk"),
        ("[N]", "junk", "junk"),
        ("[N]", "5 junk", "junk"),
        ("N [TARGET]", "junk", "junk"),
        ("N [TARGET]", "5 junk", "junk"),
        ("N [TARGET]", "5 10.0.0.1:80 junk", "junk"),
        ("[N|ADDR]", "junk", "junk"),
        ("[N|ADDR]", "5 junk", "junk"),
        ("[N|ADDR]", "10.0.0.1:80 junk", "junk"),
        ("[N|ADDR]", "10.0.0.1:80-90", "10.0.0.1:80-90"),
        ("N|ADDR [rst|fin]", "junk rst", "junk"),
        ("N|ADDR [rst|fin]", "5 junk", "junk"),
        ("N|ADDR [rst|fin]", "5 rst fin", "fin"),
        ("add|remove ADDRS", "junk 10.0.0.1:80", "junk"),
        ("add|remove ADDRS", "add junk", "junk"),
        ("add|remove ADDRS", "add a:1 junk", "junk"),
        ("add|remove ADDRS", "Add a:1", "Add"),
        ("RATE|off", "on", "on"),
        ("[on | off | interval TIMES]", "junk", "junk"),
        ("[on | off | interval TIMES]", "on off", "off"),
        ("[on | off | interval TIMES]", "interval junk", "junk"),
        ("[held | clients N] [TIMEOUT]", "junk", "junk"),
        ("[held | clients N] [TIMEOUT]", "clients junk", "junk"),
        ("[held | clients N] [TIMEOUT]", "held junk", "junk"),
        ("[held | clients N] [TIMEOUT]", "10s held", "held"),
        ("[held | clients N] [TIMEOUT]", "clients 5 10s junk", "junk"),
    ],
)
def test_the_first_word_that_does_not_fit_is_named(usage: str, line: str, word: str) -> None:
    """A refusal tells which word is wrong, however far the words before it came."""
    with pytest.raises(UsageError, match=f'"{word}"'):
        bind(usage, line)


@pytest.mark.parametrize(
    ("usage", "line", "missing"),
    [
        ("N", "", 'after "go" comes N (a whole number like 500, 100k or 1.5m)'),
        ("add|remove ADDRS", "", 'after "go" comes add or remove'),
        ("add|remove ADDRS", "add", 'after "add" comes ADDRS (an address'),
        ("TIMEOUT|off", "", 'after "go" comes TIMEOUT (a time above 0 like 500ms, 10s or 1m30s) or off'),
        ("[on | off | interval TIMES]", "interval", 'after "interval" comes TIMES ('),
        ("[held | clients N] [TIMEOUT]", "clients", 'after "clients" comes N ('),
        ("COMMAND... [TIMEOUT]", "", 'after "go" comes COMMAND...'),
        ("COMMAND...", "", 'after "go" comes COMMAND...'),
    ],
)
def test_what_is_missing_is_told_with_the_form(usage: str, line: str, missing: str) -> None:
    """Words that end too early are answered with what comes next, and the form."""
    with pytest.raises(UsageError) as refusal:
        Usage(usage, "go").bind(line.split())
    assert str(refusal.value).startswith(missing)
    assert str(refusal.value).endswith(f"; the form is: {usage}")


def test_a_word_too_many_is_told_with_the_form() -> None:
    """A word after the last one wanted is answered with the form."""
    with pytest.raises(UsageError) as refusal:
        bind("N [TARGET]", "5 10.0.0.1:80 6")
    assert str(refusal.value) == '"6" does not belong there; the form is: N [TARGET]'


@pytest.mark.parametrize(
    ("usage", "line", "error"),
    [
        ("[N|ADDR]", "junk", '"junk" does not belong there; the form is: [N|ADDR]'),
        ("[N|ADDR]", "1.5", '"1.5" is not a whole number'),
        ("[N|ADDR]", "-1", '"-1" is not a whole number'),
        ("[N|ADDR]", "10.0.0.1", 'bad address "10.0.0.1": no port'),
        ("[N|ADDR]", "10.0.0.1:99999", 'bad address "10.0.0.1:99999": ports go from 1 to 65535'),
        ("[off] [RATE|@LATENCY]", "0", '"0" is not a number above 0'),
        ("[off] [RATE|@LATENCY]", "@x", '"@x" is not a latency above 0'),
        ("[off] [RATE|@LATENCY]", "on", '"on" does not belong there; the form is: [off] [RATE|@LATENCY]'),
        ("[held|query] [TIMEOUT]", "quary", '"quary" is no TIMEOUT, and none of held, query; the form'),
        ("[held|query] [TIMEOUT]", "5x", '"5x" is not a time'),
        ("[held|query] [TIMEOUT]", "held x", '"x" is not a time'),
        ("TIMEOUT|off", "of", '"of" is not a time; write one like 500ms, 10s, 1m30s or 2h; the form is: TIMEOUT|off'),
        ("[held|query] [TIMEOUT]", "0", '"0" is no time at all'),
        ("N [TARGET]", "5 6", 'bad address "6"'),
    ],
)
def test_a_word_that_may_be_several_things_is_refused_as_what_it_looks_like(usage: str, line: str, error: str) -> None:
    """A number is no bad address, an address no bad number, and what is neither gets the form."""
    with pytest.raises(UsageError, match=re.escape(error)):
        bind(usage, line)


@pytest.mark.parametrize(
    ("usage", "line", "expected"),
    [
        ("", "", []),
        ("N [TARGET]", "", ["N"]),
        ("N [TARGET]", "5", ["TARGET"]),
        ("N [TARGET]", "5 10.0.0.1:80", []),
        ("N [TARGET]", "junk", []),
        ("[N|ADDR]", "", ["N", "ADDR"]),
        ("N|ADDR [rst|fin]", "5", ["rst", "fin"]),
        ("N|ADDR [rst|fin]", "10.0.0.1:80", ["rst", "fin"]),
        ("add|remove ADDRS", "", ["add", "remove"]),
        ("add|remove ADDRS", "add", ["ADDRS"]),
        ("[on | off | interval TIMES]", "", ["on", "off", "interval"]),
        ("[on | off | interval TIMES]", "interval", ["TIMES"]),
        ("[on | off | interval TIMES]", "on", []),
        ("[held | clients N] [TIMEOUT]", "", ["held", "clients", "TIMEOUT"]),
        ("[held | clients N] [TIMEOUT]", "clients", ["N"]),
        ("[held | clients N] [TIMEOUT]", "clients 5", ["TIMEOUT"]),
        ("[held | clients N] [TIMEOUT]", "10s", []),
        ("COMMAND... [TIMEOUT]", "", ["COMMAND..."]),
        ("COMMAND... [TIMEOUT]", "status", ["COMMAND...", "TIMEOUT"]),
    ],
)
def test_what_may_come_next_is_told(usage: str, line: str, expected: list[str]) -> None:
    """Completion gets literals as they are and kinds in capitals, and nothing after a word that is wrong."""
    assert Usage(usage).expected(line.split()) == expected


@given(st.sampled_from(USAGES), words)
def test_words_are_bound_or_refused(usage: str, line: list[str]) -> None:
    """No words make binding fail in any other way than by a refusal of one line."""
    try:
        bound = Usage(usage).bind(line)
    except UsageError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert len(bound) <= len(line)


@given(st.sampled_from(USAGES), words)
def test_a_word_is_expected_exactly_where_more_is_taken_or_missing(usage: str, line: list[str]) -> None:
    """Words that are refused as incomplete expect a further one; those refused for a wrong one expect none."""
    expected = Usage(usage).expected(line)
    try:
        Usage(usage).bind(line)
    except UsageError as refusal:
        assert bool(expected) == (" comes " in str(refusal).partition(";")[0])
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize(
    "usage",
    [
        "[N",
        "[on | off",
        "N]",
        "N] x",
        "{on",
        "on}",
        "on} {off",
        "{on | off]",
        "{on {off}}",
        "{on [off]}",
        "{on} N",
        "{on} {off}",
        "[N {on}]",
        "{ | on}",
        "{on | on}",
        "{on TARGET N}",
        "{for T|off}",
    ],
)
def test_a_usage_that_is_not_well_formed_is_a_bug(usage: str) -> None:
    """A usage text that is wrong is found as soon as the row is made."""
    with pytest.raises((AssertionError, ValueError)):
        Usage(usage)


OPTIONS = "[RATE] {on TARGET | for T | arrivals poisson|constant | edns | first TEXT... | no-seed N...}"


@pytest.mark.parametrize(
    ("line", "bound"),
    [
        ("", {}),
        ("5", {"rate": 5.0}),
        ("5 edns", {"rate": 5.0, "edns": True}),
        ("edns for 2s", {"edns": True, "for_": 2.0}),
        ("for 2s edns", {"edns": True, "for_": 2.0}),
        ("5 arrivals constant on 10.0.0.1:80", {"rate": 5.0, "arrivals": "constant", "on": Address("10.0.0.1", 80)}),
        ("first a b edns", {"first": ["a", "b"], "edns": True}),
        ("edns first a", {"first": ["a"], "edns": True}),
        ("no-seed 1 2 for 1s first 3", {"no_seed": [1, 2], "for_": 1.0, "first": ["3"]}),
        ("first poisson constant arrivals poisson", {"first": ["poisson", "constant"], "arrivals": "poisson"}),
    ],
)
def test_options_come_in_any_order(line: str, bound: dict[str, Any]) -> None:
    """What braces hold is bound under the options' own names, whatever their order."""
    assert Usage(OPTIONS).bind(line.split()) == bound


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("5 edns edns", '"edns" is given twice'),
        ("for 1s for 2s", '"for" is given twice'),
        ("first a edns first b", '"first" is given twice'),
        ("edns first a edns b", '"edns" is given twice'),
        ("no-seed 1 no-seed", '"no-seed" is given twice'),
        ("for", 'after "for" comes T (a time'),
        ("for x", '"x" is not a time'),
        ("arrivals never", '"never" does not belong there'),
        ("edns 5", '"5" does not belong there'),
        ("first edns", '"edns" does not belong there'),
        ("for edns", '"edns" is not a time'),
        ("on junk edns edns", 'bad address "junk"'),
        ("no-seed 1 x edns", '"x" is not a whole number'),
        ("first", 'after "first" comes TEXT ('),
        ("5 6", '"6" does not belong there'),
        ("edns junk for 1s", f'"junk" does not belong there; the form is: {OPTIONS}'),
        ("5 arrivals", f'after "arrivals" comes poisson or constant; the form is: {OPTIONS}'),
    ],
)
def test_wrong_options_are_named(line: str, error: str) -> None:
    """One line says which option is wrong."""
    with pytest.raises(UsageError, match=re.escape(error)):
        Usage(OPTIONS).bind(line.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ["RATE", "on", "for", "arrivals", "edns", "first", "no-seed"]),
        ("5 edns", ["on", "for", "arrivals", "first", "no-seed"]),
        ("arrivals", ["poisson", "constant"]),
        ("for", ["T"]),
        ("edns first a", ["TEXT", "on", "for", "arrivals", "no-seed"]),
        ("first", ["TEXT"]),
        ("edns edns", []),
        ("edns junk", []),
        ("arrivals junk", []),
        ("edns for 1s on 10.0.0.1:80 arrivals poisson first a no-seed 1", ["N"]),
        ("edns for 1s on 10.0.0.1:80 first a no-seed 1 arrivals poisson", []),
    ],
)
def test_completion_offers_the_options_that_are_left(line: str, expected: list[str]) -> None:
    """An option that was given is not offered again; the values of one are."""
    assert Usage(OPTIONS).expected(line.split()) == expected


@pytest.mark.parametrize(
    ("usage", "line", "bound"),
    [
        ("TEXT...", "a b", {"text": ["a", "b"]}),
        ("TEXT... {rate RATE}", "a", {"text": ["a"]}),
        ("TEXT... {rate RATE}", "a b rate 5", {"text": ["a", "b"], "rate": 5.0}),
        ("TEXT... {first TEXT... | off}", "a first b c off", {"text": ["a"], "first": ["b", "c"], "off": True}),
        ("[N...] {off}", "off", {"off": True}),
        ("[N...] {off}", "1 2k off", {"n": [1, 2_000], "off": True}),
    ],
)
def test_several_values_stand_before_the_options(usage: str, line: str, bound: dict[str, Any]) -> None:
    """Values of which there may be several end where an option begins."""
    assert bind(usage, line) == bound


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", 'after "go" comes TEXT (a word, or a text in quotes); the form is: TEXT... {rate RATE}'),
        ("rate 5", '"rate" does not belong there; the form is: TEXT... {rate RATE}'),
        (
            "a rate",
            'after "rate" comes RATE (a number above 0 like 0.5, 200 or 1.5k); the form is: TEXT... {rate RATE}',
        ),
        ("a rate 5 b", '"b" does not belong there; the form is: TEXT... {rate RATE}'),
    ],
)
def test_at_least_one_of_several_values_is_needed(line: str, error: str) -> None:
    """An option's name is none of the values before it, and no value stands behind the options."""
    with pytest.raises(UsageError) as refusal:
        Usage("TEXT... {rate RATE}", "go").bind(line.split())
    assert str(refusal.value) == error


@given(st.permutations(["on", "for", "seed", "timeout", "arrivals", "name", "type", "names", "edns", "dnssec", "csv"]))
def test_a_dozen_options_in_any_order_are_bound_at_once(names: list[str]) -> None:
    """Options in any order have but one meaning, found without trying every order."""
    usage = Usage("{" + " | ".join(f"{name} TEXT" for name in sorted(names)) + "}")
    words = [word for name in names for word in (name, "x")]
    assert set(usage.bind(words)) == {"for_" if name == "for" else name for name in names}
