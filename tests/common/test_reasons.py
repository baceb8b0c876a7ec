"""Tests of the reasons of losses and failures."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import reasons
from common.reasons import NO_DESCRIPTORS, NO_MEMORY, by_every_reason, reason_of

ALL = {"fin", "rst", "timeout", "refused", "unreachable", "denied", "exhausted", "tls", "other", "worker"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ECONNRESET, "rst"),
        (errno.EPIPE, "rst"),
        (errno.ECONNABORTED, "rst"),
        (errno.ECONNREFUSED, "refused"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.ENETDOWN, "unreachable"),
        (errno.EHOSTDOWN, "unreachable"),
        (errno.EACCES, "denied"),
        (errno.EPERM, "denied"),
        (errno.EADDRNOTAVAIL, "exhausted"),
        (errno.EBADMSG, "tls"),
        (errno.EMFILE, "exhausted"),
        (errno.ENFILE, "exhausted"),
        (errno.ENOBUFS, "exhausted"),
        (errno.ENOMEM, "exhausted"),
        (errno.ENOSPC, "exhausted"),
        (errno.EINVAL, "other"),
        (errno.EIO, "other"),
        (0, "other"),
        (None, "other"),
    ],
)
def test_an_error_is_counted_under_its_reason(code: int | None, reason: str) -> None:
    """What the kernel says a connect, a read or a write failed of is told in one word."""
    assert reason_of(code) == reason


@pytest.mark.parametrize("code", sorted(NO_DESCRIPTORS | NO_MEMORY))
def test_what_has_run_out_is_exhausted(code: int) -> None:
    """Descriptors and memory that have run out are one reason."""
    assert reason_of(code) == reasons.EXHAUSTED


@given(st.integers())
def test_any_number_has_a_reason(code: int) -> None:
    """An error number that nobody expected is counted too."""
    assert reason_of(code) in ALL


def test_what_was_never_counted_is_none() -> None:
    assert by_every_reason({"rst": 3}) == dict.fromkeys(ALL, 0) | {"rst": 3}
