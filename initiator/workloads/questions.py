"""DNS queries as they go over TCP, built once; only the identifier changes from one to the next."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype

from common.errors import UsageError

DEFAULT_NAME: Final = "example.com"
DEFAULT_TYPE: Final = "A"

# Identifiers there are: RFC 1035, section 4.1.1.
IDENTIFIERS: Final = 1 << 16

_LOW_BYTES: Final = bytes(range(256)) * 256
_HIGH_BYTES: Final = b"".join(bytes([high]) * 256 for high in range(256))

# The payload size that is announced with EDNS, which is of no effect over TCP.
_EDNS_PAYLOAD: Final = 1232


@dataclass(frozen=True, slots=True)
class Question:
    """One query: the two-byte length it begins with on the wire (RFC 1035, 4.2.2), and what follows the identifier."""

    length: bytes
    rest: bytes

    @property
    def size(self) -> int:
        """The bytes on the wire."""
        return len(self.length) + 2 + len(self.rest)

    def message(self, identifier: int) -> bytes:
        """Return the query with this identifier as it goes over TCP."""
        return b"%b%b%b" % (self.length, identifier.to_bytes(2, "big"), self.rest)

    def every_message(self) -> bytes:
        """Return the queries with all identifiers from 0 on, one behind the other; it takes a millisecond."""
        messages = bytearray(self.message(0) * IDENTIFIERS)
        messages[2 :: self.size] = _HIGH_BYTES
        messages[3 :: self.size] = _LOW_BYTES
        return bytes(messages)


def build_question(name: str, kind: str, *, edns: bool = False, dnssec: bool = False) -> Question:
    """Return the query for a name and a type, with EDNS and the DO bit on request; raises UsageError."""
    try:
        query = dns.message.make_query(
            dns.name.from_text(name),
            dns.rdatatype.from_text(kind),
            use_edns=0 if edns or dnssec else None,
            want_dnssec=dnssec,
            payload=_EDNS_PAYLOAD if edns or dnssec else None,
            flags=dns.flags.RD,
            id=0,
        )
        wire = query.to_wire()
    except (dns.exception.DNSException, ValueError) as error:
        raise UsageError(f'no query can be made of "{name} {kind}": {error}; the form is: example.com A') from None
    return Question(len(wire).to_bytes(2, "big"), wire[2:])


def parse_names(text: str, build: Callable[[str, str], Question]) -> list[Question]:
    """Return the queries of a file with one `name type` a line, the type A where it is left out; raises UsageError."""
    questions = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2:
            raise UsageError(f'line {number}: "{line.strip()}" is more than a name and a type')
        try:
            questions.append(build(words[0], words[1] if len(words) == 2 else DEFAULT_TYPE))
        except UsageError as error:
            raise UsageError(f"line {number}: {error}") from None
    if not questions:
        raise UsageError("there is no name in it; the form of a line is: example.com A")
    return questions


class Draw:
    """Questions drawn at random from a list, each as likely as the other; always the same one from a list of one."""

    def __init__(self, questions: list[Question], seed: int) -> None:
        self._questions = questions
        self._choices = random.Random(f"{seed}/question").choices

    def take(self, count: int) -> list[Question]:
        """Return the questions of the next `count` queries."""
        return self._choices(self._questions, k=count)
