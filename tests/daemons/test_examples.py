"""The examples that nothing else runs: the first try, the hundred ports, the tuning; each in a network of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support import PATIENCE, ROOT, environment

pytestmark = [
    pytest.mark.namespace,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

ALONE: Final = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")


def run(name: str, *arguments: str, state: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run an example to its end, at which its daemons find their input closed."""
    scripts = Path(sys.executable).parent
    known = {"SESSIONER_TUNE_STATE": str(state)} if state else {}
    return subprocess.run(
        [*ALONE, "bash", ROOT / "examples" / name, *arguments],
        env={**environment(), **known, "PATH": f"{scripts}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


def test_the_first_run_holds_a_thousand_sessions() -> None:
    done = run("first-run.sh", "3000-3001")
    assert done.returncode == 0, done.stderr
    assert "Connected clients        : 1000\n" in done.stdout
    assert "Configured targets       : 2\n" in done.stdout


def test_a_hundred_ports_are_seen_from_both_ends() -> None:
    done = run("hundred-ports.sh", "2000")
    assert done.returncode == 0, done.stderr
    connected = [line for line in done.stdout.splitlines() if "Connected clients" in line]
    held = [line.split()[-1] for line in connected if line.startswith("initiator: ")]
    clients = [line.split()[-1] for line in connected if line.startswith("responder: ")]
    assert [held[0], *held[2:]] == ["100", "2000", "0"]
    assert [clients[0], clients[-1]] == ["0", "2000"]


def test_a_million_sessions_may_be_less() -> None:
    done = run("million.sh", "3000", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines if "s  Connected clients" in line] == ["3000", "3000", "0"]
    assert "responder: Connected clients        : 3000" in lines
    assert all(line.endswith(": 0") for line in lines if "Lost sessions" in line)


def test_what_is_tuned_is_put_back(tmp_path: Path) -> None:
    names = ("ip_local_port_range", "tcp_tw_reuse", "tcp_max_syn_backlog")
    state = tmp_path / "state"
    show = " ".join(f"/proc/sys/net/ipv4/{name}" for name in names)
    tune = f"bash {ROOT / 'examples' / 'tune.sh'}"
    done = subprocess.run(
        [
            *ALONE,
            "sh",
            "-c",
            f"cat {show}; {tune} apply 2k && cat {show}; {tune} undo >&2; cat {show}; {tune} undo >&2",
        ],
        env={**environment(), "SESSIONER_TUNE_STATE": str(state)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    before, after = done.stdout.splitlines()[:3], done.stdout.splitlines()[-3:]
    assert before == after
    assert "net.ipv4.tcp_tw_reuse: 2 -> 1" in done.stdout
    assert done.stderr.splitlines()[-1] == f"nothing to undo: {state} is not there"


@pytest.mark.parametrize("arguments", [(), ("apply", "x"), ("undo", "now"), ("apply", "0")])
def test_a_wrong_use_of_the_tuning_changes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("tune.sh", *arguments, state=tmp_path / "state")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: tune.sh apply [SESSIONS] | undo")
    assert not (tmp_path / "state").exists()
