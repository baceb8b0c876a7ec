"""The hashed session table, growing and shrinking a few buckets at a time.

Separate chaining: the chain's link (`chain`) is in the entry itself, and an entry's `key` is the number of its
address. The number of buckets alone says where a key belongs (linear hashing): with P the greatest power of
two not above the number of buckets, a key's hash modulo 2P, less P where that bucket does not exist yet. So one
bucket more splits one bucket, one bucket less merges two, and no operation ever moves more than a few entries.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import Final, Generic, Protocol, Self, TypeVar

DEFAULT_HASHSIZE: Final = 10_000

# Entries for each bucket beyond which the table grows: a chain of four is walked in a fifth of a microsecond, and a
# bucket more for every entry would cost an insertion ten times that.
_LOAD: Final = 4

# Buckets that one insertion adds at most: enough for the table to outrun what is inserted.
_STEPS: Final = 2

# A key's hash is its remainder by a prime just above a million: every part of the key takes part in it, neighbouring
# ports, which the kernel gives out in sequence, get neighbouring buckets, and one division is all it costs.
_PRIME: Final = 1_000_003


class Entry(Protocol):
    """What a table holds: an object with its key, and a link that the table owns."""

    chain: Self | None

    @property
    def key(self) -> int:
        """The number of its address."""


E = TypeVar("E", bound=Entry)


class SessionTable(Generic[E]):
    """Entries by key, in chains; `depths` counts the chains by length as they change."""

    __slots__ = ("_buckets", "_full", "_goal", "_mask", "count", "depths")

    def __init__(self, hashsize: int) -> None:
        self._buckets: list[E | None] = [None] * hashsize
        self._mask = (1 << hashsize.bit_length()) - 1
        self._goal = hashsize
        self._full = hashsize * _LOAD
        self.count = 0
        self.depths = [hashsize]

    def __len__(self) -> int:
        return self.count

    @property
    def hashsize(self) -> int:
        """The number of buckets now."""
        return len(self._buckets)

    @property
    def max_depth(self) -> int:
        """The length of the longest chain now; O(1)."""
        return len(self.depths) - 1

    @property
    def resizing(self) -> bool:
        """Whether `work` has something to do."""
        return len(self._buckets) != self._goal

    def add(self, entries: Iterable[E]) -> None:
        """Insert entries, of which several may have the same key; O(1) each.

        Many at once cost half of what they cost one by one.
        """
        buckets, mask, depths = self._buckets, self._mask, self.depths
        size, count, full = len(buckets), self.count, self._full
        for entry in entries:
            index = entry.key % _PRIME & mask
            if index >= size:
                index &= mask >> 1
            at = entry.chain = buckets[index]
            buckets[index] = entry
            depth = 1
            while at is not None:
                depth += 1
                at = at.chain
            depths[depth - 1] -= 1
            if depth < len(depths):
                depths[depth] += 1
            else:
                depths.append(1)
            count += 1
            if count > full:
                self.count = count
                self._grow()
                mask, size, full = self._mask, len(buckets), self._full
        self.count = count

    def remove(self, entry: E) -> None:
        """Take out an entry; O(1). Raises KeyError when it is not in the table."""
        index = self._index(entry.key)
        depth, before, at = 0, None, self._buckets[index]
        while at is not entry:
            if at is None:
                raise KeyError(entry.key)
            depth, before, at = depth + 1, at, at.chain
        if before is None:
            self._buckets[index] = entry.chain
        else:
            before.chain = entry.chain
        at = entry.chain
        entry.chain = None
        while at is not None:
            depth, at = depth + 1, at.chain
        self.depths[depth + 1] -= 1
        self.depths[depth] += 1
        self._drop_empty_depths()
        self.count -= 1

    def find(self, key: int) -> list[E]:
        """Return the entries with this key; O(1)."""
        return [entry for entry in self._chain(self._index(key)) if entry.key == key]

    def resize(self, hashsize: int) -> None:
        """Aim at this many buckets, or at those the entries need if that is more; `work` brings it about."""
        self._goal = max(hashsize, -(-self.count // _LOAD), 1)
        self._full = self._goal * _LOAD

    def work(self, steps: int) -> None:
        """Add or take away at most `steps` buckets on the way to the size aimed at."""
        missing = self._goal - len(self._buckets)
        for _ in range(min(missing, steps)):
            self._split()
        for _ in range(min(-missing, steps)):
            self._merge()

    def finish(self, steps: int) -> Generator[None, None, None]:
        """Work until the size aimed at is reached, and yield after every `steps` buckets."""
        while self.resizing:
            self.work(steps)
            yield

    def check(self) -> None:
        """Assert every invariant; O(n), for tests."""
        size = len(self._buckets)
        assert size >= 1
        assert self._mask == (1 << size.bit_length()) - 1
        assert self._full == self._goal * _LOAD
        seen: set[int] = set()  # by identity: keys need not be unique
        depths: dict[int, int] = {}
        for index in range(size):
            chain = list(self._chain(index))
            depths[len(chain)] = depths.get(len(chain), 0) + 1
            for entry in chain:
                assert self._index(entry.key) == index
                assert id(entry) not in seen
                seen.add(id(entry))
        assert len(seen) == self.count <= self._goal * _LOAD
        assert self.depths[-1]
        assert {depth: n for depth, n in enumerate(self.depths) if n} == depths

    def _grow(self) -> None:
        """Aim at one bucket more, and make it, and another one if the table is behind."""
        self._goal += 1
        self._full += _LOAD
        self.work(_STEPS)

    def _index(self, key: int) -> int:
        index = key % _PRIME & self._mask
        return index if index < len(self._buckets) else index & self._mask >> 1

    def _chain(self, index: int) -> Iterator[E]:
        at = self._buckets[index]
        while at is not None:
            yield at
            at = at.chain

    def _split(self) -> None:
        """Add a bucket, and give it what belongs there."""
        buckets = self._buckets
        new = len(buckets)
        half = 1 << new.bit_length() - 1
        old, bits = new - half, 2 * half - 1
        at = buckets[old]
        buckets[old] = None
        buckets.append(None)
        self._mask = (1 << (new + 1).bit_length()) - 1
        stay = move = 0
        while at is not None:
            after = at.chain
            if at.key % _PRIME & bits == new:
                at.chain = buckets[new]
                buckets[new] = at
                move += 1
            else:
                at.chain = buckets[old]
                buckets[old] = at
                stay += 1
            at = after
        depths = self.depths
        depths[stay + move] -= 1
        depths[stay] += 1
        depths[move] += 1
        self._drop_empty_depths()

    def _merge(self) -> None:
        """Take the last bucket away, and give what was there to the one it was split from."""
        buckets = self._buckets
        last = len(buckets) - 1
        into = last - (1 << last.bit_length() - 1)
        moved = list(self._chain(last))
        length = sum(1 for _ in self._chain(into))
        buckets.pop()
        self._mask = (1 << last.bit_length()) - 1
        for entry in moved:
            entry.chain = buckets[into]
            buckets[into] = entry
        depths = self.depths
        depths.extend([0] * (length + len(moved) + 1 - len(depths)))
        depths[length] -= 1
        depths[len(moved)] -= 1
        depths[length + len(moved)] += 1
        self._drop_empty_depths()

    def _drop_empty_depths(self) -> None:
        while not self.depths[-1]:
            self.depths.pop()
