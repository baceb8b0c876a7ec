r"""Tests of backslash escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.escapes import unescape


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("plain", b"plain"),
        (r"\n\r\t\f\b", b"\n\r\t\f\b"),
        (r"\\n", rb"\n"),
        (r"\x41\xfF\x4g", b"A\xff\x04g"),
        (r"\0\012\0377", b"\x00\n\xff"),
        (r"\{message}", rb"\{message}"),
        ("ä\\n", "ä\n".encode()),
    ],
)
def test_an_escape_stands_for_its_byte(text: str, data: bytes) -> None:
    assert unescape(text) == data


@pytest.mark.parametrize("text", [r"\q", "at the end \\", r"\xg", r"\0400", r"\u1234"])
def test_what_is_no_escape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no escape"):
        unescape(text)


@given(st.binary())
def test_any_bytes_can_be_written(data: bytes) -> None:
    assert unescape("".join(f"\\x{byte:02x}" for byte in data)) == data
    assert unescape("".join(f"\\0{byte:03o}" for byte in data)) == data
