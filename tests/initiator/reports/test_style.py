"""Tests of the colours: everything that is drawn or written can be seen, in both themes (WCAG 2.2)."""

from collections.abc import Mapping
from itertools import pairwise

import pytest

from initiator.reports.style import DARK, DASHES, LIGHT, STYLE

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@THEMES
@pytest.mark.parametrize("ground", ["page", "card"])
def test_texts_can_be_read(theme: Mapping[str, str], ground: str) -> None:
    for name in ("text", "soft"):
        assert contrast(theme[name], theme[ground]) >= 4.5, name
    assert contrast(theme["mark"], theme["card"]) >= 4.5


@THEMES
def test_lines_can_be_seen_and_told_apart(theme: Mapping[str, str]) -> None:
    lines = [theme[f"s{number}"] for number in range(len(DASHES))]
    for colour in lines:
        assert contrast(colour, theme["card"]) >= 3
    assert len(set(lines)) == len(lines)
    assert all(one != other for one, other in pairwise(DASHES))
    assert len(set(DASHES)) == len(DASHES)


def test_both_themes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()


def test_the_style_sheet_needs_nothing_from_elsewhere() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert STYLE.count("{") == STYLE.count("}")
