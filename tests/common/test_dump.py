"""Tests of the dump of traffic."""

import codecs
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.dump import LEVEL, MOST, WIDEST, Dump, escape


class Peer(SimpleNamespace):
    """What a dump knows of a client."""

    def __str__(self) -> str:
        return str(self.name)


def peer(name: str) -> Any:
    return Peer(name=name, descriptor=7)


def texts(logged: list[logging.LogRecord]) -> list[str]:
    assert all(record.levelno == LEVEL for record in logged)
    return [record.getMessage() for record in logged]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello\n", r"hello\n"),
        (b"\t\r\n\\", r"\t\r\n\\"),
        (b"\x00\x1b[2J\x7f\xff", r"\x00\x1b[2J\x7f\xff"),
        (b'it\'s "so" []', 'it\'s "so" []'),
        ("\u00fc".encode(), r"\xc3\xbc"),
        (b"", ""),
    ],
)
def test_what_is_no_printable_text_is_escaped(data: bytes, text: str) -> None:
    assert escape(data) == text


@given(st.binary())
def test_the_bytes_can_be_read_off_the_text(data: bytes) -> None:
    text = escape(memoryview(data))
    assert all(" " <= char <= "~" for char in text)
    assert codecs.escape_decode(text.encode())[0] == data


def test_each_read_and_write_is_a_line(logged: list[logging.LogRecord]) -> None:
    dump = Dump(every=True, incoming=True, outgoing=True)
    client = peer("127.0.0.1:33444->127.0.0.1:3000")
    dump.received(client, memoryview(b"hello\n"), 1.0)
    dump.sent(client, memoryview(b"hi"), 1.0)
    assert texts(logged) == [
        r"Rcv 127.0.0.1:33444->127.0.0.1:3000 6: [hello\n]",
        "Snd 127.0.0.1:33444->127.0.0.1:3000 2: [hi]",
    ]


@pytest.mark.parametrize(
    ("incoming", "outgoing", "words", "text"),
    [
        (True, True, ["Rcv", "Snd"], "all sessions, in and out"),
        (True, False, ["Rcv"], "all sessions, in"),
        (False, True, ["Snd"], "all sessions, out"),
    ],
)
def test_one_direction_may_be_left_out(
    logged: list[logging.LogRecord], incoming: bool, outgoing: bool, words: list[str], text: str
) -> None:
    dump = Dump(every=True, incoming=incoming, outgoing=outgoing)
    assert str(dump) == text
    dump.received(peer("a"), memoryview(b"x"), 1.0)
    dump.sent(peer("a"), memoryview(b"x"), 1.0)
    assert [line.split()[0] for line in texts(logged)] == words


def test_one_client_is_followed_to_its_end_and_then_the_next(logged: list[logging.LogRecord]) -> None:
    dump = Dump(every=False, incoming=True, outgoing=True)
    assert str(dump) == "one session, in and out"
    first, second, third = map(peer, "abc")
    for client in (first, second, first, third):
        dump.received(client, memoryview(b"x"), 1.0)
    first.descriptor = -1
    for client in (second, third, second):
        dump.sent(client, memoryview(b"x"), 1.0)
    assert [line.split()[1] for line in texts(logged)] == ["a", "a", "b", "b"]


def test_the_one_that_is_followed_has_traffic_of_the_wanted_direction(logged: list[logging.LogRecord]) -> None:
    dump = Dump(every=False, incoming=False, outgoing=True)
    dump.received(peer("a"), memoryview(b"x"), 1.0)
    dump.sent(peer("b"), memoryview(b"x"), 1.0)
    assert texts(logged) == ["Snd b 1: [x]"]


def test_no_more_than_so_many_lines_are_shown_in_a_second_and_the_rest_is_counted(
    logged: list[logging.LogRecord],
) -> None:
    dump, client = Dump(every=True, incoming=True, outgoing=True), peer("a")
    for _ in range(MOST + 5):
        dump.received(client, memoryview(b"x"), 10.2)
        dump.sent(client, memoryview(b"y"), 10.9)
    assert len(logged) == MOST
    dump.received(client, memoryview(b"z"), 11.0)
    dump.received(client, memoryview(b"z"), 11.0)
    assert texts(logged)[-2:] == [
        f"({MOST + 10} reads and writes before the next one were left out)\nRcv a 1: [z]",
        "Rcv a 1: [z]",
    ]
    assert dump.left_out == MOST + 10


@pytest.mark.parametrize("more", [0, 1, 70_000])
def test_of_much_data_the_beginning_is_shown(logged: list[logging.LogRecord], more: int) -> None:
    dump = Dump(every=True, incoming=True, outgoing=True)
    dump.received(peer("a"), memoryview(b"x" * (WIDEST + more)), 1.0)
    end = f" and {more} bytes more" if more else ""
    assert texts(logged) == [f"Rcv a {WIDEST + more}: [{'x' * WIDEST}]{end}"]
