"""Tests of the picture of a bench, drawn by matplotlib itself."""

import re
from pathlib import Path

import pytest

from initiator.probes.figures import BenchSample
from initiator.reports.bench_plot import write_plot

pytestmark = pytest.mark.usefixtures("fonts")

SAMPLES = [
    BenchSample(1, 1, "127.0.0.1:1", 0.002, 0.001, ""),
    BenchSample(1, 2, "127.0.0.1:1", 0.004, 0.003, ""),
    BenchSample(2, 1, "127.0.0.1:1", 0.002, 0.002, ""),
    BenchSample(2, 2, "127.0.0.1:1", None, None, "rst"),
]


def test_there_is_a_point_for_each_echo_and_each_mean(tmp_path: Path) -> None:
    write_plot(tmp_path / "a.svg", SAMPLES)
    text = (tmp_path / "a.svg").read_text()
    assert "3 echoes verified, 1 failed" in text
    points = [len(re.findall("<use ", line)) for line in re.findall(r'<g id="line2d_\d+">.*?</g>\s*</g>', text, re.S)]
    # Those of the ticks and of the legend are one each.
    assert [count for count in points if count > 1] == [3, 2]


@pytest.mark.parametrize("samples", [[], SAMPLES[-1:]])
def test_a_bench_without_an_echo_has_a_picture_too(tmp_path: Path, samples: list[BenchSample]) -> None:
    write_plot(tmp_path / "a.png", samples)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_file_that_cannot_be_written_is_an_error_of_the_os(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_plot(tmp_path / "none" / "a.png", SAMPLES)
