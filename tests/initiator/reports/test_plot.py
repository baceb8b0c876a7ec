"""Tests of the charts as a picture, drawn by matplotlib itself."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.errors import UsageError
from initiator.reports.plot import draw
from initiator.reports.timeline import Mark
from tests.initiator.reports.sample import history
from tests.support import ROOT, environment

pytestmark = pytest.mark.usefixtures("fonts")

FAILURES = ("losses", "failures", "queries_failed", "messages_failed", "transactions_failed")

PNG = b"\x89PNG\r\n\x1a\n"


def size_of(path: Path) -> tuple[int, int]:
    """Return the width and the height of a PNG, of which it says so in its first chunk."""
    data = path.read_bytes()
    assert data.startswith(PNG)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.mark.parametrize(("kind", "charts"), [("held", 1), ("rates", 5), ("failures", 5), ("latency", 4), (None, 15)])
def test_a_picture_grows_with_its_charts(tmp_path: Path, kind: str | None, charts: int) -> None:
    draw(tmp_path / "a.png", history(), kind)
    columns = 1 if charts < 3 else 2
    assert size_of(tmp_path / "a.png") == (864 * columns, 444 * -(-charts // columns))


def test_a_drawing_has_a_line_for_each_series(tmp_path: Path) -> None:
    draw(tmp_path / "a.svg", history(), "held")
    svg = ElementTree.parse(tmp_path / "a.svg").getroot()
    ids = [str(group.get("id")) for group in svg.iter("{http://www.w3.org/2000/svg}g")]
    assert "legend_1" in ids
    assert [one for one in ids if one.startswith("axes_")] == ["axes_1"]


def test_what_somebody_typed_does_no_harm(tmp_path: Path) -> None:
    hostile = replace(history(), marks=[Mark(0.5, "$\\frac{$ \N{SNOWMAN}")])
    draw(tmp_path / "a.png", hostile, None)


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("a.jpg", None, r"a\.jpg ends with none of \.png or \.svg"),
        ("none/a.png", "held", r"none/a\.png cannot be written: No such file"),
        ("a.png", "failures", "there is nothing to draw for `failures` so far"),
    ],
)
def test_what_cannot_be_drawn_costs_one_line(tmp_path: Path, name: str, kind: str | None, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        draw(tmp_path / name, history(**{failure: {} for failure in FAILURES}), kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [True, False])
def test_matplotlib_is_imported_only_when_something_is_drawn(tmp_path: Path, missing: bool) -> None:
    """In a process of its own: an entry None in sys.modules is how Python itself says that there is no such module."""
    code = f"""
import sys
from pathlib import Path
import initiator.__main__
from common.errors import UsageError
from initiator.reports.plot import draw
from tests.initiator.reports.sample import history
assert "matplotlib" not in sys.modules
if {missing}:
    sys.modules["matplotlib"] = None
try:
    draw(Path({str(tmp_path / "a.png")!r}), history(), "held")
    print("drawn")
except UsageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    expected = "matplotlib is missing; install it with: pip install 'sessioner[plot]'" if missing else "drawn"
    assert done.stdout == f"{expected}\n"
    assert done.stderr == ""
