"""The messages of a run, one after the other on each session."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final

from initiator.workloads.expressions import Moment, Template
from initiator.workloads.frames import Frame

if TYPE_CHECKING:
    from initiator.workloads.send import SendSettings
    from initiator.workloads.send_stream import SendStream

# Bytes given to one write.
BLOCK: Final = 1 << 16

# Messages that are made or waited for at once, and their bytes: under half a millisecond's work.
AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 1 << 20


class Messages:
    """What comes next on a session, which is moved on by it."""

    def __init__(self, settings: "SendSettings") -> None:
        self._templates = settings.messages
        self._run = settings.seed & 0xFFFFFFFF
        self._check = settings.check
        self._sequence = _Sequence(settings.messages)
        self._awaited = bool(settings.marker or settings.check)
        self._random = Random(f"{settings.seed}/text")

    def render(self, template: Template, stream: "SendStream") -> bytes:
        """Return a message of this moment."""
        if stream.drawn is None:
            stream.drawn = {}
        return template.render(Moment(stream.uid, stream.number, time_ns() // 1000, self._random, stream.drawn))

    @property
    def plain(self) -> bool:
        """Whether they are always the same, and not waited for: any number of them is as good as one."""
        return bool(self._sequence.ring) and not self._awaited

    def take(self, stream: "SendStream", count: int, until: float) -> list[bytes]:
        """Return the next messages of a session: at most so many, and at least the one; what is made by `until`."""
        count = min(count, AT_ONCE)
        if self._sequence.ring and self._sequence.length(count) < _BYTES_AT_ONCE:
            return self._constants(stream, count)
        data: list[bytes] = []
        size = 0
        for number in range(stream.number, stream.number + count):
            if self._check:
                message = Frame(self._run, stream.uid, number).encode(self._check)
            else:
                template = self._templates[(number - 1) % len(self._templates)]
                message = template.constant or self.render(template, stream)
            data.append(message)
            stream.number += 1
            size += len(message)
            if size >= _BYTES_AT_ONCE or monotonic() >= until:
                break
        return data

    def _constants(self, stream: "SendStream", count: int) -> list[bytes]:
        """Return the next messages where all are constant."""
        first, constants = stream.number - 1, self._sequence.constants
        stream.number += count
        if len(constants) == 1:
            return constants * count
        return [constants[number % len(constants)] for number in range(first, first + count)]

    def take_bytes(self, stream: "SendStream", size: int, until: float) -> tuple[bytes | memoryview, int]:
        """Return the next bytes, and how many messages end in them.

        They are so many at most where messages are constant, otherwise whole messages: what is made by `until`.
        """
        if self._sequence.ring:
            if self._awaited:
                size = min(size, self._sequence.length(AT_ONCE))
            data = self._sequence.ring[stream.offset : stream.offset + size]
            stream.offset, count = self._sequence.after(stream.offset, size)
            stream.number += count
            return data, count
        messages: list[bytes] = []
        while size > 0:
            messages += self.take(stream, 1, until)
            size -= len(messages[-1])
            if monotonic() >= until:
                break
        return b"".join(messages), len(messages)


class _Sequence:
    """The bytes of the messages one after the other, again and again, where they are always the same."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self.constants = [template.constant for template in templates if template.constant is not None]
        self.ring = memoryview(b"")
        self._ends: list[int] = []
        if self.constants and len(self.constants) == len(templates):
            whole = b"".join(self.constants)
            self._ends = list(accumulate(map(len, self.constants)))
            self.ring = memoryview(whole * (BLOCK // len(whole) + 2))

    def length(self, count: int) -> int:
        """Return how many bytes so many messages have, about."""
        return self._ends[-1] * count // len(self._ends)

    def after(self, offset: int, size: int) -> tuple[int, int]:
        """Return the place after so many bytes from an offset, and how many messages end in between."""
        length, ends = self._ends[-1], self._ends
        wraps, place = divmod(offset + size, length)
        return place, wraps * len(ends) + bisect_right(ends, place) - bisect_right(ends, offset)
