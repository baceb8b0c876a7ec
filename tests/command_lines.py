"""What tests of both daemons' command lines share."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Parse = Callable[[Sequence[str]], object]

# The options of the process, which both daemons have: what is given, and which of its values that is.
PROCESS: list[tuple[list[str], str, object]] = [
    (["-d"], "debug", True),
    (["--debug"], "debug", True),
    (["-u"], "no_ulimit", True),
    (["--no-ulimit"], "no_ulimit", True),
    (["--exec", "status", "--exec", "sleep 5"], "execute", ["status", "sleep 5"]),
    (["--script", "run.txt"], "script", Path("run.txt")),
    (["--no-prompt"], "no_prompt", True),
    (["--log", "run.log"], "log", Path("run.log")),
    (["--loop", "asyncio"], "loop", "asyncio"),
    (["--workers", "4"], "workers", 4),
    (["--workers", "auto"], "workers", None),
    (["--fleet", "10.0.0.1:6379"], "fleet", "10.0.0.1:6379"),
    (["--fleet", "[fd00::1]:6379"], "fleet", "[fd00::1]:6379"),
    (["--fleet", "head:6379", "--per-node", "2"], "per_node", 2),
    (["--fleet", "head:6379", "--name", "lab-1"], "name", "lab-1"),
]


def options_of(parse: Parse, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return every option that the help shows, short and long."""
    with pytest.raises(SystemExit) as end:
        parse(["--help"])
    assert not end.value.code
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out.partition("options:")[2]))


def refusal(parse: Parse, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command line is refused with."""
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith(f"sessioner_{parse.__module__.partition('.')[0]}: ")
    return line
