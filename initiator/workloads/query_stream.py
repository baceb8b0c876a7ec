"""What a run of queries is to one session: what waits for an answer, and which identifiers must not be used."""

from itertools import islice
from struct import Struct, unpack
from typing import TYPE_CHECKING, Final

from initiator.workloads.query_answers import KEPT
from initiator.workloads.questions import IDENTIFIERS
from initiator.workloads.stream import Stream

if TYPE_CHECKING:
    from initiator.session import Session
    from initiator.workloads.query import Query

# A DNS message's length, identifier and flags: RFC 1035, 4.1.1 and 4.2.2. A header has 12 bytes.
_LENGTH_SIZE: Final = 2
_HEAD_SIZE: Final = 6
_SHORTEST: Final = 12
_SHORTEST_FRAME: Final = _LENGTH_SIZE + _SHORTEST
# Bytes from which answers are taken together, which is cheaper for a dozen.
_MANY: Final = 400

# Identifiers in use that are passed over at once in the search for a free one: some tens of microseconds.
_LOOKED_AT: Final = 512

_unpack_head: Final = Struct(">HHH").unpack_from


# Why an identifier is reserved.
LATE: Final = "late"
PING: Final = "ping"

# What an identifier that nobody waits for is taken for: due and sent before time began.
_NOBODYS: Final = (-1.0, -1.0)


class QueryStream(Stream):
    """One session's part: the queries that wait for an answer by identifier, and the beginning of a message.

    `pending` holds (due, sent) in monotonic seconds, oldest first. `reserved` are identifiers that must not be used
    for now and whose answers do not count: of queries that timed out (late), and of pings, the latest being `pinged`.
    `number` counts the sessions that have joined the run.
    """

    __slots__ = ("answers", "next_id", "number", "pending", "pinged", "query", "reserved", "tail")

    def __init__(self, session: "Session", query: "Query", number: int) -> None:
        super().__init__(session, query.traffic)
        self.query = query
        self.answers = query.answers
        self.number = number
        self.pending: dict[int, tuple[float, float]] = {}
        self.next_id = 0
        self.reserved: dict[int, str] | None = None
        self.pinged = 0
        self.tail = b""

    def heard(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Take the answers in the first `size` bytes, and keep the beginning of the next one."""
        answers = self.answers
        if size < _SHORTEST_FRAME or self.tail or answers.csv:
            self._heard_any(data, size, now)
            return
        length, identifier, flags = _unpack_head(data)
        times = self.pending.pop(identifier, None) if length == size - _LENGTH_SIZE else None
        if not times:
            self._heard_any(data, size, now)
            return
        # One answer alone that is waited for, as most are unless they are very many.
        due, sent = times
        answers.corrected.append(now - due)
        answers.raw.append(now - sent)
        answers.flags.append(flags)
        if len(answers.corrected) > KEPT:
            answers.settle()

    def _heard_any(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Take any number of answers and parts of them, whoever waits for them."""
        if self.tail:
            data = self.tail + data[:size]
            size = len(data)
            self.tail = b""
        answers, at = self.answers, 0
        if answers.csv:
            answers.csv.heard(self.number, self.pending, data, size, now)
        if size > _MANY:
            at = self._heard_many(data, size, now)
        while size - at >= _HEAD_SIZE:
            length, identifier, flags = _unpack_head(data, at)
            end = at + _LENGTH_SIZE + length
            if end > size:
                break
            at = end
            if length >= _SHORTEST:
                due, sent = self.pending.pop(identifier, _NOBODYS)
                if sent < 0:
                    self._heard_unasked(identifier)
                    continue
                answers.corrected.append(now - due)
                answers.raw.append(now - sent)
                answers.flags.append(flags)
            else:
                answers.malformed += 1
        if at < size:
            self.tail = bytes(data[at:size])
        if len(answers.corrected) > KEPT:
            answers.settle()

    def _heard_many(self, data: bytes | bytearray, size: int, now: float) -> int:
        """Take messages of one length that are all waited for, and return how many bytes they are; 0 for others."""
        frame = int.from_bytes(data[:_LENGTH_SIZE], "big") + _LENGTH_SIZE
        if not _SHORTEST_FRAME <= frame <= size:
            return 0
        end = size - size % frame
        lengths, identifiers, flags = (_numbers(data, at, end, frame) for at in (0, 2, 4))
        if lengths.count(frame - _LENGTH_SIZE) != len(lengths):
            return 0
        pending, answered = self.pending, set(identifiers)
        if len(answered) != len(identifiers) or not pending.keys() >= answered:
            return 0
        found = [pending.pop(identifier, _NOBODYS) for identifier in identifiers]
        answers, sents = self.answers, [sent for _, sent in found]
        answers.corrected += [now - due for due, _ in found]
        if flags.count(flags[0]) == len(flags):
            answers.add_alike(flags[0], len(flags))
        else:
            answers.flags += flags
        if sents.count(sents[0]) == len(sents):
            answers.add_raw_alike(now - sents[0], len(sents))
        else:
            answers.raw += [now - sent for sent in sents]
        return end

    def _heard_unasked(self, identifier: int) -> None:
        """Take an answer that nobody waits for."""
        reserved = self.reserved.pop(identifier, None) if self.reserved else None
        if reserved == LATE:
            self.answers.late += 1
        elif reserved is None:
            self.answers.unknown += 1

    def leave(self) -> None:
        """Send no more, and take the answers under way."""
        self.unsent = b""
        self.query.leave(self)

    def left(self) -> None:
        """Take note that the session is not held any more."""
        self.query.left(self)

    def ping(self) -> bytes:
        """Return a query whose answer does not count."""
        return self.query.ping(self)

    def heard_ping(self) -> bool:
        """Return whether the query that is a ping has been answered."""
        return not self.reserved or self.reserved.get(self.pinged) != PING

    def expired(self) -> None:
        """Handle that the oldest query may have waited for too long."""
        self.query.expired(self)

    def reserve(self, identifier: int, why: str) -> None:
        """Let an identifier not be used for now, nor its answer count."""
        if self.reserved is None:
            self.reserved = {}
        self.reserved[identifier] = why

    def free_ids(self, count: int) -> list[int]:
        """Return up to so many identifiers, from the next on, that are neither waited for nor reserved.

        Where hardly any is left, because nobody answers, only some are looked at, and the next time the following ones.
        """
        taken, reserved = self.pending, self.reserved or {}
        most = min(count + _LOOKED_AT, IDENTIFIERS)
        following = ((self.next_id + step) % IDENTIFIERS for step in range(most))
        free = list(islice((number for number in following if number not in taken and number not in reserved), count))
        if not free:
            self.next_id = (self.next_id + most) % IDENTIFIERS
        return free


def _numbers(data: bytes | bytearray, at: int, end: int, step: int) -> tuple[int, ...]:
    """Return the numbers of 16 bits that begin at every step: cutting out every first and second byte is cheapest."""
    high = data[at:end:step]
    both = bytearray(2 * len(high))
    both[::2], both[1::2] = high, data[at + 1 : end : step]
    return unpack(f">{len(high)}H", both)
