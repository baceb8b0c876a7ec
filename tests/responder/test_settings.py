"""Tests of what a responder process is."""

import pytest

from common.errors import UsageError
from responder.settings import MODES, Settings, check_mode


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_fine_where_there_is_what_it_needs(mode: str) -> None:
    """An empty content is an answer, too."""
    check_mode(mode, Settings(message=b"x", content=b""))


@pytest.mark.parametrize(
    ("mode", "settings", "option"),
    [
        ("active", Settings(content=b"x"), "--message TEXT"),
        ("active", Settings(message=b""), "--message TEXT"),
        ("serve", Settings(message=b"x"), "--content FILE"),
    ],
)
def test_what_a_mode_lacks_is_named(mode: str, settings: Settings, option: str) -> None:
    """The line says which mode it is, and how to start the responder."""
    with pytest.raises(UsageError, match=f"^mode {mode} has nothing to .*: start the responder with {option}$"):
        check_mode(mode, settings)


@pytest.mark.parametrize("mode", ["echo", "sink"])
def test_echo_and_sink_need_nothing(mode: str) -> None:
    """They send nothing of their own."""
    check_mode(mode, Settings())
