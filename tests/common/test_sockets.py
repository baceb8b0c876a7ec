"""Tests of what is done to the bare descriptors of sessions."""

import os
import socket

import pytest

from common.addresses import Address
from common.sockets import half_close, local_address, reset_at_close
from tests.support import reset, session


def test_a_close_sends_a_reset_where_that_was_asked_for() -> None:
    with session() as (ours, theirs):
        reset_at_close(ours.fileno())
        ours.sendall(b"still open")
        assert theirs.recv(100) == b"still open"
        os.close(ours.detach())
        with pytest.raises(ConnectionResetError):
            theirs.recv(100)


def test_a_close_sends_a_fin_otherwise() -> None:
    with session() as (ours, theirs):
        os.close(ours.detach())
        assert theirs.recv(100) == b""


def test_a_half_closed_session_still_receives() -> None:
    with session() as (ours, theirs):
        assert half_close(ours.fileno())
        assert theirs.recv(100) == b""
        theirs.sendall(b"answer")
        assert ours.recv(100) == b"answer"


def test_half_closing_twice_does_no_harm() -> None:
    with session() as (ours, theirs):
        assert half_close(ours.fileno())
        assert half_close(ours.fileno())
        assert theirs.recv(100) == b""


def test_half_closing_a_session_that_is_gone_says_so() -> None:
    with session() as (ours, theirs):
        reset(theirs)
        with pytest.raises(ConnectionResetError):
            ours.recv(100)
        assert not half_close(ours.fileno())


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_the_local_address_is_that_of_our_end(host: str, family: int) -> None:
    with session(host) as (ours, theirs):
        assert local_address(ours.fileno(), family) == Address(host, ours.getsockname()[1])
        assert local_address(theirs.fileno(), family) == Address(host, theirs.getsockname()[1])


def test_the_local_address_of_a_mapped_session_is_plain() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        ours = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
        theirs, _ = server.accept()
    with ours, theirs:
        assert local_address(theirs.fileno(), socket.AF_INET6) == Address("127.0.0.1", theirs.getsockname()[1])


def test_the_descriptor_stays_open() -> None:
    with session() as (ours, theirs):
        local_address(ours.fileno(), socket.AF_INET)
        reset_at_close(ours.fileno())
        half_close(theirs.fileno())
        assert ours.recv(100) == b""
        ours.sendall(b"open")
        assert theirs.recv(100) == b"open"


def test_no_address_can_be_told_of_a_closed_descriptor() -> None:
    with session() as (ours, _):
        descriptor = ours.fileno()
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            local_address(descriptor, socket.AF_INET)
