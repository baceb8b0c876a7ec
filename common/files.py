"""Files that a user names, read whole."""

from pathlib import Path

from common.errors import UsageError


def read_bytes(path: str | Path, what: str = "file") -> bytes:
    """Return what a file holds; raises UsageError that says `what` cannot be read, and why."""
    try:
        return Path(path).read_bytes()
    except OSError as failure:
        raise _unreadable(path, what, failure.strerror) from None
    except ValueError as failure:  # a name with a NUL in it
        raise _unreadable(path, what, failure) from None


def read_text(path: str | Path, what: str = "file") -> str:
    """Return the text in a file, as `read_bytes` does; raises UsageError."""
    try:
        return read_bytes(path, what).decode()
    except UnicodeDecodeError:
        raise _unreadable(path, what, "it is no text in UTF-8") from None


def _unreadable(path: str | Path, what: str, why: object) -> UsageError:
    return UsageError(f"{what} {path} cannot be read: {why}")
