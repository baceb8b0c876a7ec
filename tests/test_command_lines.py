"""Tests of what the command lines of both daemons have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from initiator.cli import parse_options as parse_initiator
from responder.cli import parse_options as parse_responder
from tests.command_lines import PROCESS, refusal

PARSERS: dict[str, Callable[[Sequence[str]], Any]] = {"initiator": parse_initiator, "responder": parse_responder}

# What each needs at least.
ADDRESSED = {"initiator": ("--target", "10.0.0.1:5000"), "responder": ("--listen", "10.0.0.1:5000")}

each = pytest.mark.parametrize("name", PARSERS)


@each
@pytest.mark.parametrize(("arguments", "option", "value"), PROCESS)
def test_an_option_of_the_process_is_taken(name: str, arguments: list[str], option: str, value: object) -> None:
    assert getattr(PARSERS[name]([*ADDRESSED[name], *arguments]).process, option) == value


@each
def test_what_is_of_statsd_is_refused_without_a_server(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(PARSERS[name], capsys, *ADDRESSED[name], "--statsd-window", "2s")
    assert "--statsd-window needs a server to send to; add --statsd HOST:PORT" in line


@each
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fleet", "head"], '"head" is no address of a Ray cluster'),
        (["--fleet", "head:70000"], '"head:70000" is no address of a Ray cluster'),
        (["--fleet", "head:6379", "--workers", "2"], "leave out --workers with --fleet"),
        (["--fleet", "head:6379", "--workers", "auto"], "leave out --workers with --fleet"),
        (["--fleet", "head:6379", "--per-node", "0"], "no number of engines"),
        (["--fleet", "head:6379", "--per-node", "auto"], "no number of engines"),
        (["--fleet", "head:6379", "--name", "a b"], '"a b" is no name of a fleet'),
        (["--fleet", "head:6379", "--attach", "lab", "--name", "lab"], "leave out --name and --per-node with"),
        (["--fleet", "head:6379", "--attach", "lab", "--per-node", "2"], "leave out --name and --per-node with"),
        (["--per-node", "2"], "--per-node needs --fleet"),
        (["--name", "lab"], "--name needs --fleet"),
        (["--attach", "lab"], "--attach needs --fleet"),
        (["--fleet", "head:6379", "--attach", "lab"], "leave out {address} with --attach"),
    ],
)
def test_a_wrong_fleet_is_refused(
    name: str, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """What is no fleet, or does not go with one, is named."""
    assert named.format(address=ADDRESSED[name][0]) in refusal(PARSERS[name], capsys, *ADDRESSED[name], *arguments)


@each
def test_a_fleet_that_is_attached_to_is_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options that say what engines are go without --attach, those of the console itself do not."""
    attached = ["--fleet", "head:6379", "--attach", "lab"]
    options = PARSERS[name]([*attached, "--exec", "status", "--prometheus", "9464"])
    assert (options.process.attach, options.process.execute) == ("lab", ["status"])
    assert "leave out --keepalive with --attach" in refusal(PARSERS[name], capsys, *attached, "--keepalive", "60s")
