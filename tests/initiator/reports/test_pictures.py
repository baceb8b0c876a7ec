"""Tests of what all pictures have in common."""

import re
from pathlib import Path

import pytest

from common.errors import UsageError
from initiator.reports.pictures import check_picture, dress, new_picture, write_picture
from initiator.reports.style import LIGHT

pytestmark = pytest.mark.usefixtures("fonts")


@pytest.mark.parametrize("name", ["a.png", "b.svg", "there/is none.png"])
def test_a_picture_can_have_this_name(name: str) -> None:
    check_picture(Path(name))


@pytest.mark.parametrize("name", ["a.jpg", "png", "a.PNG", "a."])
def test_a_picture_cannot_have_this_name(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{re.escape(name)} ends with none of \.png or \.svg$"):
        check_picture(Path(name))


def test_titles_and_legend_are_drawn_in_the_colours_of_the_page(tmp_path: Path) -> None:
    figure = new_picture(4, 3)
    axes = figure.add_subplot()
    axes.plot([1, 2], [3, 4], label="line")
    dress(axes, "Title", "across", "up")
    write_picture(tmp_path / "a.svg", figure)
    text = (tmp_path / "a.svg").read_text()
    assert LIGHT["card"] in text
    assert LIGHT["soft"] in text
    for said in ("Title", "across", "up", "line"):
        assert f"<!-- {said} -->" in text
