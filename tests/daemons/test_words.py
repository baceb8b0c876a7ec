"""What users read beside the programs: the README's tables are those of the commands and the options that there are."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import pytest

from tests.support import ROOT, environment, initiator, responder

FreePorts = Callable[[int], int]

README: Final = (ROOT / "README.md").read_text()

# A row whose first cell is code; a bar within a cell is escaped.
_ROW: Final = re.compile(r"^\| `(.+?)` \| (.+) \|$", re.MULTILINE)

# The first line of an option in what --help prints: its names, and its meaning unless that stands on the next lines.
_OPTION: Final = re.compile(r"  (-\S.*?)(?:  +(\S.*))?")


def section(level: str, heading: str) -> str:
    """Return the text under a heading, up to the next one that is no lower."""
    _, _, rest = README.partition(f"\n{level} {heading}\n")
    assert rest, heading
    return re.split(rf"\n#{{2,{len(level)}}} ", rest)[0]


def rows(text: str) -> dict[str, str]:
    """Return the rows of all tables in a text, the first cell with the second."""
    return {first.replace("\\|", "|"): second.replace("\\|", "|") for first, second in _ROW.findall(text)}


def offered(name: str) -> dict[str, str]:
    """Return the long names of a daemon's options, with what --help says of each."""
    command = [sys.executable, "-m", name, "--help"]
    wide = {**environment(), "COLUMNS": "1000"}
    lines = subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, text=True, check=True).stdout.splitlines()
    options: dict[str, str] = {}
    for line in lines[lines.index("options:") + 1 :]:
        if match := _OPTION.fullmatch(line):
            last = long_name(match[1])
            options[last] = match[2] or ""
        else:
            options[last] = f"{options[last]} {line.strip()}".strip()
    return options


def long_name(text: str) -> str:
    """Return the long name of an option out of all that is shown of it."""
    found = re.search(r"--[a-z-]+", text)
    assert found, text
    return found[0]


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_the_readme_has_every_command_as_help_says_it(free_ports: FreePorts, name: str) -> None:
    start = initiator if name == "initiator" else responder
    with start(free_ports(1)) as daemon:
        listed, _, _ = daemon.end("help")
    with start(free_ports(1)) as daemon:
        described, _, _ = daemon.end(*(f"help {line.split()[0]}" for line in listed.splitlines()))
    block = re.compile(r"^(\S.*?)  (.*)\n(?:  \{\.\.\.\} .*:\n)?((?:    .*\n)*)", re.MULTILINE)
    commands = {}
    for form, meaning, options in block.findall(described):
        among = " | ".join(line.strip().split("  ")[0] for line in options.splitlines())
        commands[form.replace("{...}", f"{{{among}}}")] = meaning
    assert len(commands) == len(listed.splitlines())
    assert rows(section("###", f"Of the {name}")) == commands


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_the_readme_has_every_option_as_help_says_it(name: str) -> None:
    shown = rows(section("###", "Of both")) | rows(section("###", f"Of the {name} alone"))
    assert {long_name(option): meaning for option, meaning in shown.items()} == offered(name)
