"""Tests of how a console joins a cluster, without one."""

import os
import subprocess
import sys

import pytest

from tests.support import PATIENCE, ROOT, environment

_WARNING = "[2026-01-02 03:04:05,678 W 147 147] network_util.cc:330: Failed to determine local IP"
_NEWS = "[2026-01-02 03:04:05,678 I 147 147] logging.cc:303: Set ray log level"
_ERROR = "[2026-01-02 03:04:05,678 E 147 147] core_worker.cc:1: it cannot be"

# Write lines while Ray begins, and end without a chance to do anything.
_ENDED = """
import os, sys
from common.fleet.cluster import _without_warnings
with _without_warnings():
    os.write(2, sys.argv[1].encode())
    if sys.argv[2] == "abort":
        os.abort()
os.write(2, b"after")
"""


@pytest.mark.parametrize(("how", "after"), [("abort", ""), ("go on", "after")])
def test_warnings_of_the_begin_are_left_out_and_errors_are_not(how: str, after: str) -> None:
    """Ray's native part ends the process at once where it fails, and its last words are let through."""
    pytest.importorskip("ray", reason="Ray is not installed")
    lines = "".join(f"{line}\n" for line in (_WARNING, _ERROR, _NEWS, "ours"))
    done = subprocess.run(
        [sys.executable, "-c", _ENDED, lines, how],
        cwd=ROOT,
        env={**environment(), "PYTHONWARNINGS": "default"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr.startswith(f"{_ERROR}\nours\n{after}"), done.stderr
    assert (done.returncode == 0) == (how == "go on"), os.strerror(abs(done.returncode))
