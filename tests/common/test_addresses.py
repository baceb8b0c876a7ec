"""Tests of addresses as they are typed, shown and turned into numbers."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import (
    FORM,
    HIGHEST_PORT,
    MOST_SOURCES,
    Address,
    Endpoint,
    address_key,
    host_number,
    key_address,
    parse_address,
    parse_endpoint,
    parse_sources,
    plain_host,
)
from common.errors import UsageError

hosts = st.ip_addresses().map(str)
ports = st.integers(0, HIGHEST_PORT)
words = st.text(alphabet="0123456789abf.:-[]%x _", max_size=24) | st.text(max_size=12)


def test_an_address_is_shown_as_it_is_typed() -> None:
    """An IPv6 address stands in brackets, so that its port can be told."""
    assert str(Address("10.0.0.1", 80)) == "10.0.0.1:80"
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Endpoint("::1", 80, 80)) == "[::1]:80"
    assert str(Endpoint("box.example", 80, 89)) == "box.example:80-89"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.0.0.1:5000", Endpoint("10.0.0.1", 5000, 5000)),
        ("10.0.0.1:5000-5999", Endpoint("10.0.0.1", 5000, 5999)),
        ("10.0.0.1:7-7", Endpoint("10.0.0.1", 7, 7)),
        ("0.0.0.0:1", Endpoint("0.0.0.0", 1, 1)),
        ("10.0.0.1:1-65535", Endpoint("10.0.0.1", 1, 65535)),
        ("10.0.0.1:65535", Endpoint("10.0.0.1", 65535, 65535)),
        ("[::1]:80", Endpoint("::1", 80, 80)),
        ("[::]:80-90", Endpoint("::", 80, 90)),
        ("[2001:DB8:0::1]:80", Endpoint("2001:db8::1", 80, 80)),
        ("[::ffff:10.0.0.1]:80", Endpoint("10.0.0.1", 80, 80)),
        ("[fe80::1%eth0]:80", Endpoint("fe80::1%eth0", 80, 80)),
        ("localhost:80", Endpoint("localhost", 80, 80)),
        ("test-b.example.net:80", Endpoint("test-b.example.net", 80, 80)),
        ("example.net.:80", Endpoint("example.net.", 80, 80)),
        ("box_1:80", Endpoint("box_1", 80, 80)),
        (f"{'a' * 63}.net:80", Endpoint(f"{'a' * 63}.net", 80, 80)),
    ],
)
def test_an_endpoint_is_a_host_and_its_ports(text: str, endpoint: Endpoint) -> None:
    """A host is a literal or a name, and its ports are one or a range with both ends."""
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no port"),
        ("1.2.3.4", "no port"),
        ("localhost", "no port"),
        ("[::1]", "not an address and a port"),
        ("::1:80", "not an address and a port"),
        ("1.2.3.4:", "not an address and a port"),
        ("1.2.3.4:x", "not an address and a port"),
        ("1.2.3.4:80-", "not an address and a port"),
        ("1.2.3.4:-80", "not an address and a port"),
        ("1.2.3.4:80-90-99", "not an address and a port"),
        ("1.2.3.4:8 0", "not an address and a port"),
        ("1.2.3.4:+80", "not an address and a port"),
        (":80", "no address before the port"),
        ("1.2.3.4:0", "ports go from 1 to 65535"),
        ("1.2.3.4:0-5", "ports go from 1 to 65535"),
        ("x:70000", "ports go from 1 to 65535"),
        ("x:65535-65536", "ports go from 1 to 65535"),
        ("a:9-3", "the range of ports ends before it begins"),
        ("1.2.3:80", "not an IPv4 address"),
        ("1.2.3.4.5:80", "not an IPv4 address"),
        ("1.2.3.256:80", "not an IPv4 address"),
        ("1.2.3.04:80", "not an IPv4 address"),
        ("[]:80", "not an address and a port"),
        ("[::g]:80", "no IPv6 address between the brackets"),
        ("[1.2.3.4]:80", "no IPv6 address between the brackets"),
        ("a b:80", "not an address or a host name"),
        ("-a:80", "not an address or a host name"),
        ("a..b:80", "not an address or a host name"),
        (f"{'a.' * 127}:80", "not an address or a host name"),
    ],
)
def test_what_is_no_endpoint_is_refused(text: str, why: str) -> None:
    """The refusal names what was typed, says what is wrong with it, and shows the form."""
    with pytest.raises(UsageError) as refusal:
        parse_endpoint(text)
    assert str(refusal.value) == f'bad address "{text}": {why}; {FORM}'


def test_a_part_of_a_name_that_no_resolver_takes_is_refused() -> None:
    """A label of a host name has at most 63 characters (RFC 1035)."""
    with pytest.raises(UsageError, match="not an address or a host name"):
        parse_endpoint(f"{'a' * 64}:80")


@pytest.mark.parametrize("text", [f"a:{'1' * 5_000}", f"a:80-{'1' * 5_000}"])
def test_a_port_of_thousands_of_digits_is_refused(text: str) -> None:
    """A port is out of range however long it is."""
    with pytest.raises(UsageError, match="ports go from 1 to 65535"):
        parse_endpoint(text)


@given(hosts, st.integers(1, HIGHEST_PORT), st.integers(1, HIGHEST_PORT))
def test_any_literal_and_range_is_read(host: str, one: int, other: int) -> None:
    """Every literal address with every range of ports reads as that."""
    first, last = sorted((one, other))
    written = f"[{host}]" if ":" in host else host
    assert parse_endpoint(f"{written}:{first}-{last}") == Endpoint(plain_host(host), first, last)


@given(words)
def test_a_text_is_an_endpoint_or_refused(text: str) -> None:
    """Whatever is typed for an endpoint is one, or refused in one line."""
    try:
        endpoint = parse_endpoint(text)
    except UsageError:
        return
    assert 1 <= endpoint.first <= endpoint.last <= HIGHEST_PORT
    assert endpoint.host


@given(hosts, st.integers(1, HIGHEST_PORT))
def test_an_address_that_is_shown_can_be_typed(host: str, port: int) -> None:
    """What `list` shows is what `list` takes."""
    shown = str(key_address(address_key(host, port)))
    assert str(parse_address(shown)) == shown


@pytest.mark.parametrize("text", ["localhost:80", "10.0.0.1:80-90", "[::1]:80-81"])
def test_what_is_more_than_one_address_is_refused(text: str) -> None:
    """A name or a range is not one address."""
    with pytest.raises(UsageError, match=r"is not one address; write one like 10\.0\.0\.1:5000") as refusal:
        parse_address(text)
    assert f'"{text}"' in str(refusal.value)


def test_a_range_of_one_port_is_one_address() -> None:
    """A range whose ends are the same is one address."""
    assert parse_address("10.0.0.1:80-80") == Address("10.0.0.1", 80)


def test_an_address_has_one_form() -> None:
    """IPv4 mapped into IPv6 is the IPv4 address, as everything that is shown and looked up has it."""
    assert parse_address("[::ffff:10.0.0.1]:80") == Address("10.0.0.1", 80)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("10.0.0.7", ["10.0.0.7"]),
        ("10.0.0.7-9", ["10.0.0.7", "10.0.0.8", "10.0.0.9"]),
        ("10.0.0.7-7", ["10.0.0.7"]),
        ("10.0.0.255-10.0.1.1", ["10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("::1", ["::1"]),
        ("2001:db8::ff-2001:db8::101", ["2001:db8::ff", "2001:db8::100", "2001:db8::101"]),
    ],
)
def test_sources_are_an_address_or_a_range(text: str, sources: list[str]) -> None:
    """A range of source addresses holds both ends, of which IPv4 may give the last number alone."""
    assert parse_sources(text) == sources


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-",
        "10.0.0",
        "10.0.0.7-",
        "-10.0.0.7",
        "10.0.0.7-256",
        "10.0.0.7-x",
        "::1-5x",
        "10.0.0.7-8-9",
        "10.0.0.7:80",
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    """The refusal names what was typed, and shows the forms."""
    with pytest.raises(UsageError) as refusal:
        parse_sources(text)
    assert str(refusal.value) == (
        f'bad source address "{text}": write one like 10.0.0.7, 10.0.0.7-10.0.0.9 or 10.0.0.7-9'
    )


@pytest.mark.parametrize("text", ["10.0.0.7-6", "10.0.1.0-10.0.0.255", "::2-::1", "10.0.0.7-::9", "::9-10.0.0.9"])
def test_sources_in_the_wrong_order_are_refused(text: str) -> None:
    """A range of source addresses goes up, within one family."""
    with pytest.raises(UsageError, match="the range ends before it begins"):
        parse_sources(text)


def test_sources_are_bounded() -> None:
    """A range as long as 10.0.0.0/16 is taken, and one address more is refused."""
    assert len(parse_sources("10.0.0.0-10.0.255.255")) == MOST_SOURCES
    with pytest.raises(UsageError, match=f"{MOST_SOURCES + 1} addresses, at most {MOST_SOURCES} can be used"):
        parse_sources("10.0.0.0-10.1.0.0")
    with pytest.raises(UsageError, match=f"at most {MOST_SOURCES} can be used"):
        parse_sources("::-ffff::")


@given(st.ip_addresses(), st.integers(0, 300))
def test_any_range_of_sources_is_every_address_of_it(low: IPv4Address | IPv6Address, more: int) -> None:
    """A range of source addresses is each of its addresses once, in order."""
    try:
        high = low + more
    except ValueError:
        return
    found = [ip_address(source) for source in parse_sources(f"{low}-{high}")]
    assert found == [low + step for step in range(more + 1)]


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:a00:1", "10.0.0.1"),
        ("::10.0.0.1", "::a00:1"),
    ],
)
def test_a_plain_host_is_the_shortest_form(host: str, plain: str) -> None:
    """IPv4 mapped into IPv6, as a dual-stack listener reports it, is plain IPv4."""
    assert plain_host(host) == plain


@given(st.ip_addresses(v=4))
def test_a_mapped_address_has_the_number_of_the_plain_one(address: IPv4Address) -> None:
    """A client over a dual-stack listener is found under its IPv4 address."""
    assert host_number(f"::ffff:{address}") == host_number(str(address)) == int(address) < 2**32


@given(st.ip_addresses(v=6).filter(lambda address: not IPv6Address(address).ipv4_mapped))
def test_an_ipv6_address_has_a_number_of_its_own(address: IPv6Address) -> None:
    """No IPv6 address, however small, has the number of an IPv4 one."""
    assert host_number(str(address)) == int(address) + 2**128


@given(hosts, ports)
def test_a_key_is_turned_back_into_its_address(host: str, port: int) -> None:
    """The number that a table keys an address by tells the address again."""
    assert key_address(address_key(host, port)) == Address(plain_host(host), port)


@pytest.mark.parametrize("host", ["0.0.0.0", "255.255.255.255", "::", "::1", "ffff:" * 7 + "ffff", "::ffff"])
@pytest.mark.parametrize("port", [0, 1, HIGHEST_PORT])
def test_a_key_at_the_edges_is_turned_back_too(host: str, port: int) -> None:
    """The first and the last address of each family keep their place beside the port."""
    assert key_address(address_key(host, port)) == Address(host, port)


@given(
    st.sets(st.tuples(st.ip_addresses().map(lambda address: plain_host(str(address))), ports), min_size=2, max_size=8)
)
def test_different_addresses_have_different_keys(addresses: set[tuple[str, int]]) -> None:
    """No two addresses share a key."""
    assert len({address_key(host, port) for host, port in addresses}) == len(addresses)
