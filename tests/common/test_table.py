"""Tests of the hashed session table."""

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.addresses import address_key
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
    for item in items:
        table.add(item)
    table.check()
    return table, items


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
    table.add(item)
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


@pytest.mark.parametrize(
    "numbers",
    [
        [address_key("10.0.0.1", port) for port in range(32_768, 60_999)],
        [address_key(f"10.{host >> 8}.{host & 255}.1", 5_000) for host in range(30_000)],
        [address_key(f"2001:db8::{host:x}", 5_000) for host in range(30_000)],
        [address_key(f"2001:db8:{host:x}::1", 5_000) for host in range(30_000)],
        [address_key("10.0.0.1", port) << 16 | 5_000 for port in range(32_768, 60_999)],
    ],
    ids=["ports", "hosts", "v6-hosts", "v6-networks", "clients"],
)
def test_neighbouring_addresses_are_spread(numbers: list[int]) -> None:
    """Keys that differ in a few bits, as those of real peers do, still make short chains."""
    table, _items = table_of(numbers, DEFAULT_HASHSIZE)
    assert table.max_depth < 32


@pytest.mark.parametrize(("begin", "end"), [(4, 64), (64, 4), (100, 101), (101, 100), (1, 1), (5, 1)])
def test_a_resize_is_brought_about_by_work(begin: int, end: int) -> None:
    """A resize changes no more buckets at a time than the work asked for, and is done when nothing is left to do."""
    table, items = table_of(range(4), begin)
    table.resize(end)
    assert table.hashsize == begin
    while table.resizing:
        before = table.hashsize
        table.work(3)
        table.check()
        assert 0 < abs(table.hashsize - before) <= 3
        assert all(table.find(item.key) == [item] for item in items)
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


def test_adding_and_removing_bring_a_resize_about_as_well() -> None:
    """A table in use reaches the size aimed at without any other work."""
    table, items = table_of(range(100), 25)
    table.resize(200)
    for key in range(100, 300):
        table.add(Item(key))
    assert table.hashsize == 200
    table.resize(100)
    for item in items:
        table.remove(item)
    assert table.hashsize == 100
    table.check()


class TableMachine(RuleBasedStateMachine):
    """A table beside a dict of lists, through everything that may be asked of it."""

    @initialize(hashsize=st.integers(1, 40))
    def start(self, hashsize: int) -> None:
        """Begin with an empty table."""
        self.table: SessionTable[Item] = SessionTable(hashsize)
        self.model: dict[int, list[Item]] = {}
        self.live: list[Item] = []

    @rule(key=keys)
    def add(self, key: int) -> None:
        """Add an item, of a key that is there already now and then."""
        item = Item(key)
        self.table.add(item)
        self.model.setdefault(key, []).append(item)
        self.live.append(item)

    @rule(first=st.integers(0, 2**40), count=st.integers(10, 60))
    def add_many(self, first: int, count: int) -> None:
        """Add so many that the table must grow."""
        for key in range(first, first + count):
            self.add(key)

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
