"""Tests of the hashed session table."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.addresses import address_key, host_number
from common.table import DEFAULT_HASHSIZE, SessionTable

# Enough single steps of work for every size that is aimed at here.
PLENTY = 100_000

# Few keys, so that some come again, and keys as large as those of addresses.
keys = st.integers(0, 5) | st.integers(0, 2**150)


class Item:
    """The least that a table holds."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.chain: Item | None = None


def table_of(numbers: Sequence[int], hashsize: int = 4) -> tuple[SessionTable[Item], list[Item]]:
    """Return a table with an item of each key, and the items."""
    table: SessionTable[Item] = SessionTable(hashsize)
    items = [Item(number) for number in numbers]
    table.add(items)
    table.check()
    return table, items


def client(host: str, port: int, local_port: int) -> int:
    """Return a key made of a peer's address and our port."""
    return host_number(host) << 32 | local_port << 16 | port


# Where sessions really come from: ports of one host in sequence, or of many hosts at random.
rng = random.Random(1)
KEYS = {
    "ports": [address_key("10.0.0.1", port) for port in range(32_768, 60_999)],
    "even-ports": [address_key("10.0.0.1", port) for port in range(32_768, 60_999, 2)],
    "sources": [address_key(f"10.1.{host >> 8}.{host & 255}", rng.randrange(32_768, 60_999)) for host in range(20_000)],
    "one-listener": [client("10.0.0.1", port, 3_000) for port in range(32_768, 60_999)],
    "hundred-listeners": [
        client("10.0.0.1", first + step, listener)
        for listener in range(3_000, 3_100)
        for first in [rng.randrange(32_768, 60_000)]
        for step in range(0, 560, 2)
    ],
    "peers": [client(f"10.{host >> 8}.{host & 255}.1", rng.randrange(32_768, 60_999), 3_000) for host in range(20_000)],
    "v6-peers": [client(f"2001:db8:{host:x}::1", rng.randrange(32_768, 60_999), 3_000) for host in range(20_000)],
}


def same(found: list[Item], wanted: list[Item]) -> bool:
    """Return whether two lists hold the same items, in any order."""
    return sorted(map(id, found)) == sorted(map(id, wanted))


def test_an_empty_table_finds_nothing() -> None:
    """A new table has its buckets, no entry and no depth."""
    table: SessionTable[Item] = SessionTable(DEFAULT_HASHSIZE)
    assert (len(table), table.count, table.hashsize, table.max_depth) == (0, 0, DEFAULT_HASHSIZE, 0)
    assert table.find(1) == []
    assert not table.resizing
    table.check()


def test_an_entry_is_found_by_its_key_until_it_is_removed() -> None:
    """What was added is found, what was removed is not, and the others stay."""
    table, items = table_of(range(100))
    assert all(table.find(item.key) == [item] for item in items)
    table.remove(items[50])
    assert table.find(50) == []
    assert all(table.find(item.key) == [item] for item in items if item.key != 50)
    assert len(table) == 99
    table.check()


def test_entries_with_the_same_key_are_all_found() -> None:
    """A local port may have sessions to many targets: each entry is told by itself, not by its key."""
    table, items = table_of([7, 7, 7, 8])
    assert same(table.find(7), items[:3])
    table.remove(items[1])
    assert same(table.find(7), [items[0], items[2]])
    table.check()


@pytest.mark.parametrize("key", [0, 1, address_key("255.255.255.255", 65535), address_key("ffff:" * 7 + "ffff", 65535)])
def test_a_key_may_be_as_large_as_any_address(key: int) -> None:
    """The number of any address is a key."""
    table, (item, *_) = table_of([key, key + 1])
    assert table.find(key) == [item]


def test_removing_what_is_not_there_changes_nothing() -> None:
    """An entry that is not in the table, though its key is, cannot be removed."""
    table, items = table_of([1, 2, 3])
    with pytest.raises(KeyError):
        table.remove(Item(2))
    with pytest.raises(KeyError):
        table.remove(Item(99))
    table.check()
    assert len(table) == 3
    assert all(table.find(item.key) == [item] for item in items)


def test_removing_twice_is_refused() -> None:
    """An entry that was removed is not there any more, and may be added anew."""
    table, (item, *_) = table_of([1, 2, 3])
    table.remove(item)
    assert item.chain is None
    with pytest.raises(KeyError):
        table.remove(item)
    table.add([item])
    assert table.find(1) == [item]
    table.check()


def test_the_depth_is_that_of_the_longest_chain_now() -> None:
    """Entries of one key are in one chain, whose length is told as it changes."""
    table, items = table_of([5] * 9, hashsize=100)
    assert table.max_depth == 9
    for left in range(8, -1, -1):
        table.remove(items.pop())
        assert table.max_depth == left
    table.check()


@pytest.mark.parametrize("hashsize", [1, 2, 3, 100])
def test_a_table_outgrows_a_small_start(hashsize: int) -> None:
    """However small it starts, a table ends with so many buckets that its chains are short."""
    table, items = table_of([address_key("10.0.0.1", port) for port in range(1024, 31_024)], hashsize)
    table.work(PLENTY)
    table.check()
    assert table.hashsize > len(items) // 8
    assert table.max_depth < 32


@pytest.mark.parametrize("name", KEYS)
def test_what_differs_in_its_ports_is_spread(name: str) -> None:
    """The keys that real sessions have make short chains."""
    table, _items = table_of(KEYS[name], DEFAULT_HASHSIZE)
    assert table.max_depth < 32


@pytest.mark.parametrize(
    "numbers",
    [
        [address_key(f"10.0.{host >> 8}.{host & 255}", 5_000) for host in range(2_000)],
        [address_key(f"2001:db8::{host:x}", 5_000) for host in range(2_000)],
        [address_key(f"2001:db8:{host:x}::1", 5_000) for host in range(2_000)],
        [client(f"10.0.{host >> 8}.{host & 255}", 5_000, 3_000) for host in range(2_000)],
    ],
    ids=["hosts", "v6-hosts", "v6-networks", "clients"],
)
def test_what_differs_in_its_hosts_alone_is_spread_too(numbers: list[int]) -> None:
    """Peers that all use the same port, as a box that keeps ports lets them, do not share one chain."""
    table, _items = table_of(numbers, DEFAULT_HASHSIZE)
    assert table.max_depth < 32


@pytest.mark.parametrize(("begin", "end"), [(4, 64), (64, 4), (100, 101), (101, 100), (1, 1), (5, 1)])
def test_a_resize_is_brought_about_by_work(begin: int, end: int) -> None:
    """A resize changes no more buckets at a time than the work asked for, and is done when nothing is left to do."""
    table, items = table_of(range(4), begin)
    table.resize(end)
    assert table.hashsize == begin
    before = table.hashsize
    for _ in table.finish(3):
        table.check()
        assert 0 < abs(table.hashsize - before) <= 3
        assert all(table.find(item.key) == [item] for item in items)
        before = table.hashsize
    assert not table.resizing
    assert table.hashsize == end
    table.work(PLENTY)
    assert table.hashsize == end


def test_a_table_does_not_shrink_below_its_entries() -> None:
    """A size too small for the entries that are there is taken for the least that does."""
    table, items = table_of(range(4_000), 1_000)
    table.resize(1)
    table.work(PLENTY)
    table.check()
    assert 1 < table.hashsize <= 1_000
    assert table.max_depth < 32
    for item in items:
        table.remove(item)
    table.resize(1)
    table.work(PLENTY)
    table.check()
    assert table.hashsize == 1


def test_a_table_that_fills_up_on_its_way_to_another_size_keeps_up() -> None:
    """Entries that come while a resize is under way find room, whatever the size aimed at."""
    for end in (1, 1_000):
        table, items = table_of(range(100), 25)
        table.resize(end)
        more = [Item(key) for key in range(100, 3_000)]
        table.add(more)
        table.check()
        assert table.max_depth < 500
        table.work(PLENTY)
        table.check()
        assert table.max_depth < 32
        assert all(table.find(item.key) == [item] for item in items + more)


def test_entries_are_added_at_once_or_one_by_one() -> None:
    """However they are added, the same entries make the same table."""
    at_once, _items = table_of(range(0, 9_000, 7), 3)
    one_by_one: SessionTable[Item] = SessionTable(3)
    for key in range(0, 9_000, 7):
        one_by_one.add(iter([Item(key)]))
    one_by_one.add([])
    one_by_one.check()
    assert (one_by_one.hashsize, one_by_one.depths) == (at_once.hashsize, at_once.depths)


class TableMachine(RuleBasedStateMachine):
    """A table beside a dict of lists, through everything that may be asked of it."""

    @initialize(hashsize=st.integers(1, 40))
    def start(self, hashsize: int) -> None:
        """Begin with an empty table."""
        self.table: SessionTable[Item] = SessionTable(hashsize)
        self.model: dict[int, list[Item]] = {}
        self.live: list[Item] = []

    @rule(numbers=st.lists(keys, max_size=5))
    def add(self, numbers: list[int]) -> None:
        """Add items, of keys that are there already now and then."""
        items = [Item(number) for number in numbers]
        self.table.add(items)
        self.live += items
        for item in items:
            self.model.setdefault(item.key, []).append(item)

    @rule(first=st.integers(0, 2**40), count=st.integers(10, 60))
    def add_many(self, first: int, count: int) -> None:
        """Add so many at once that the table must grow."""
        self.add(list(range(first, first + count)))

    @precondition(lambda self: self.live)
    @rule(at=st.integers(0, 1_000), count=st.integers(1, 60))
    def remove(self, at: int, count: int) -> None:
        """Remove some items, the oldest or any others."""
        for _ in range(min(count, len(self.live))):
            item = self.live.pop(at % len(self.live))
            self.table.remove(item)
            self.model[item.key].remove(item)

    @rule(key=keys)
    def remove_absent(self, key: int) -> None:
        """Try to remove an item that was never added."""
        with pytest.raises(KeyError):
            self.table.remove(Item(key))

    @rule(hashsize=st.integers(1, 80))
    def resize(self, hashsize: int) -> None:
        """Aim at another size, which changes nothing yet."""
        before = self.table.hashsize
        self.table.resize(hashsize)
        assert self.table.hashsize == before

    @rule(steps=st.integers(1, 20))
    def work(self, steps: int) -> None:
        """Work on the resize."""
        before, resizing = self.table.hashsize, self.table.resizing
        self.table.work(steps)
        assert abs(self.table.hashsize - before) <= steps
        assert (self.table.hashsize != before) == resizing

    @rule(key=keys)
    def find(self, key: int) -> None:
        """Look a key up, which may be there or not."""
        assert same(self.table.find(key), self.model.get(key, []))

    @invariant()
    def agrees(self) -> None:
        """Check the table's own invariants, and that it holds what the model holds."""
        self.table.check()
        assert len(self.table) == self.table.count == len(self.live)
        for key, items in self.model.items():
            assert same(self.table.find(key), items)


TableMachine.TestCase.settings = settings(deadline=None, stateful_step_count=30)
TestTable = TableMachine.TestCase
