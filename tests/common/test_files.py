"""Tests of common.files."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UsageError
from common.files import read_bytes, read_text


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    """Bytes come as they are, a text as its characters."""
    path = tmp_path / "text"
    path.write_bytes("zwölf\r\n".encode())
    assert read_bytes(str(path)) == "zwölf\r\n".encode()
    assert read_text(path) == "zwölf\r\n"


@pytest.mark.parametrize("read", [read_bytes, read_text])
@pytest.mark.parametrize(
    ("name", "why"),
    [("none", "No such file or directory"), (".", "Is a directory"), ("a\0b", "embedded null")],
)
def test_what_cannot_be_read_is_named_with_the_reason(
    read: Callable[[str, str], object], name: str, why: str, tmp_path: Path
) -> None:
    """One line says what it was to be, which one, and what the system said, without its numbers."""
    path = str(tmp_path / name)
    with pytest.raises(UsageError, match=re.escape(f"script {path} cannot be read: {why}")):
        read(path, "script")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """A text is in UTF-8."""
    path = tmp_path / "bytes"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read: it is no text in UTF-8"):
        read_text(path)
