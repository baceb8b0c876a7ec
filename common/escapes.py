r"""Backslash escapes in text that stands for bytes, pure."""

import re
from typing import Final

from common.errors import UsageError

_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|0([0-7]{0,3})|(.)|\Z)", re.DOTALL)

_LETTERS: Final = {
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"f": b"\f", b"b": b"\b", b"\\": b"\\", b"{": b"\\{",
}  # fmt: skip


def unescape(text: str) -> bytes:
    r"""Return the bytes that a text stands for: `\n \r \t \f \b \\ \xHH \0ooo`; `\{` stays what it is.

    Raises UsageError for any other escape, and for an octal number above 255.
    """
    return _ESCAPE.sub(_meant, text.encode())


def _meant(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes((int(found[1], 16),))
    if found[2] is not None:
        number = int(found[2] or b"0", 8)
        if number < 256:
            return bytes((number,))
    elif found[3] in _LETTERS:
        return _LETTERS[found[3]]
    wrong = found[0].decode(errors="replace")
    raise UsageError(rf'"{wrong}" is no escape; those are \n \r \t \f \b \\ \xHH and \0ooo')
