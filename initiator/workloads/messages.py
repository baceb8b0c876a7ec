"""The messages of a run, one after the other on each session."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from time import time_ns
from typing import TYPE_CHECKING, Final

from initiator.workloads.expressions import Moment, Template
from initiator.workloads.frames import Frame

if TYPE_CHECKING:
    from initiator.workloads.send import SendSettings
    from initiator.workloads.send_stream import SendStream

# Bytes given to one write.
BLOCK: Final = 1 << 16


class Messages:
    """What comes next on a session, which is moved on by it."""

    def __init__(self, settings: "SendSettings") -> None:
        self._templates = settings.messages
        self._run = settings.seed & 0xFFFFFFFF
        self._check = settings.check
        self._sequence = _Sequence(settings.messages)
        self._random = Random(f"{settings.seed}/text")

    def render(self, template: Template, stream: "SendStream") -> bytes:
        """Return a message of this moment."""
        if stream.drawn is None:
            stream.drawn = {}
        return template.render(Moment(stream.uid, stream.number, time_ns() // 1000, self._random, stream.drawn))

    def take(self, stream: "SendStream", count: int) -> list[bytes]:
        """Return the next messages of a session."""
        first = stream.number
        if self._check:
            stream.number += count
            return [Frame(self._run, stream.uid, number).encode(self._check) for number in range(first, first + count)]
        data = []
        for number in range(first, first + count):
            template = self._templates[(number - 1) % len(self._templates)]
            data.append(template.constant or self.render(template, stream))
            stream.number += 1
        return data

    def take_bytes(self, stream: "SendStream", size: int) -> tuple[bytes | memoryview, int]:
        """Return the next bytes, so many where messages are constant, whole messages otherwise, and how many end."""
        if self._sequence.ring:
            data = self._sequence.ring[stream.offset : stream.offset + size]
            stream.offset, count = self._sequence.after(stream.offset, size)
            stream.number += count
            return data, count
        messages: list[bytes] = []
        while size > 0:
            messages += self.take(stream, 1)
            size -= len(messages[-1])
        return b"".join(messages), len(messages)


class _Sequence:
    """The bytes of the messages one after the other, again and again, where they are always the same."""

    def __init__(self, templates: Sequence[Template]) -> None:
        constants = [template.constant for template in templates]
        known = [constant for constant in constants if constant is not None]
        self.ring = memoryview(b"")
        self._ends: list[int] = []
        if known and len(known) == len(constants):
            whole = b"".join(known)
            self._ends = list(accumulate(map(len, known)))
            self.ring = memoryview(whole * (BLOCK // len(whole) + 2))

    def after(self, offset: int, size: int) -> tuple[int, int]:
        """Return the place after so many bytes from an offset, and how many messages end in between."""
        length, ends = self._ends[-1], self._ends
        wraps, place = divmod(offset + size, length)
        return place, wraps * len(ends) + bisect_right(ends, place) - bisect_right(ends, offset)
