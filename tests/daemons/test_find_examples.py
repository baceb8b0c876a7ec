"""The examples of the probes, run with daemons over the loopback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT, environment, responder

FreePorts = Callable[[int], int]


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """Give the environment in which the daemons are programs, as an installation makes them, of this tree."""
    for name in ("initiator", "responder"):
        path = tmp_path / f"sessioner_{name}"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        path.chmod(0o755)
    return {**environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("example", "arguments", "lines"),
    [
        ("bench", ("50", "2"), ["Echoes verified          : 100 of 100", "round,session,target,corrected,raw,failure"]),
        ("bench", ("50", "2", "{target}"), ["Echoes verified          : 100 of 100"]),
        (
            "firewall-capacity",
            ("{target}", "40", "100ms"),
            ["Sessions the path takes  : at least 40, each confirmed by an echo", "Highest rate             : "],
        ),
        ("nat-idle", ("{target}", "500ms"), ["Idle sessions remembered : at least for 0.5"]),
    ],
)
def test_the_examples_do_what_they_say(
    free_ports: FreePorts,
    tmp_path: Path,
    programs: dict[str, str],
    example: str,
    arguments: tuple[str, ...],
    lines: list[str],
) -> None:
    port = free_ports(1)
    with responder(port):
        result = subprocess.run(
            [ROOT / "examples" / f"{example}.sh", *(text.format(target=f"127.0.0.1:{port}") for text in arguments)],
            cwd=tmp_path,
            env=programs,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    for line in lines:
        assert line in result.stderr + result.stdout
