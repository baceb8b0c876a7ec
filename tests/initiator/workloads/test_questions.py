"""DNS queries as they go over TCP."""

import dns.flags
import dns.message
import pytest

from common.errors import UsageError
from initiator.workloads.questions import IDENTIFIERS, Draw, build_question, parse_names


@pytest.mark.parametrize(
    ("name", "kind"), [("example.com", "A"), ("a.b.example.", "TXT"), (".", "NS"), ("x", "TYPE65")]
)
@pytest.mark.parametrize("identifier", [0, 1, 258, 65_535])
def test_a_query_is_what_a_dns_library_reads(name: str, kind: str, identifier: int) -> None:
    wire = build_question(name, kind).message(identifier)
    assert int.from_bytes(wire[:2], "big") == len(wire) - 2
    message = dns.message.from_wire(wire[2:])
    assert message.id == identifier
    assert message.flags == dns.flags.RD
    assert str(message.question[0].name) in (name, f"{name}.")
    assert message.edns == -1


@pytest.mark.parametrize(("edns", "dnssec"), [(True, False), (False, True), (True, True)])
def test_edns_is_there_on_request(edns: bool, dnssec: bool) -> None:
    message = dns.message.from_wire(build_question("example.com", "A", edns=edns, dnssec=dnssec).message(1)[2:])
    assert message.edns == 0
    assert bool(message.ednsflags & dns.flags.DO) == dnssec


def test_the_query_that_other_tools_send_has_31_bytes() -> None:
    assert build_question("example.com", "A").size == 31


def test_every_message_is_each_one_behind_the_other() -> None:
    question = build_question("example.com", "AAAA")
    every = question.every_message()
    assert len(every) == IDENTIFIERS * question.size
    for identifier in (0, 255, 256, 40_000, 65_535):
        assert every[identifier * question.size :][: question.size] == question.message(identifier)


@pytest.mark.parametrize(
    ("name", "kind"), [("a..b", "A"), ("x" * 64 + ".com", "A"), ("example.com", "NOTYPE"), ("a", "")]
)
def test_what_is_no_query_is_refused(name: str, kind: str) -> None:
    with pytest.raises(UsageError, match="no query can be made"):
        build_question(name, kind)


def test_a_file_of_names_has_one_a_line() -> None:
    questions = parse_names("# names\nexample.com MX\n\nexample.org\n", build_question)
    assert questions == [build_question("example.com", "MX"), build_question("example.org", "A")]


@pytest.mark.parametrize(
    ("text", "error"),
    [("", "no name in it"), ("a b c", "line 1"), ("example.com\na..b", "line 2"), ("x NOTYPE", "line 1")],
)
def test_a_bad_file_is_refused(text: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        parse_names(text, build_question)


def test_questions_are_drawn_evenly_and_repeated_by_the_seed() -> None:
    questions = [build_question(f"{name}.example", "A") for name in "abcd"]
    drawn = Draw(questions, 3).take(4000)
    assert drawn == Draw(questions, 3).take(4000)
    assert all(850 < drawn.count(question) < 1150 for question in questions)
