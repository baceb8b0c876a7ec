"""Tests of the queue of due times."""

import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from sys import getrefcount

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.deadlines import TICK, Deadlines


class Item:
    """The least that can be due."""

    def __init__(self) -> None:
        self.due = 0


def due_of(expired: Iterator[Item | None]) -> Iterator[Item]:
    """Yield what is due, without the breaks between many leftovers."""
    return (item for item in expired if item)


def middle(tick: int) -> float:
    """Return the middle of a tick: a time that no rounding brings into another one."""
    return (tick + 0.5) * TICK


def queue_of(ticks: Iterable[int]) -> tuple[Deadlines[Item], list[Item]]:
    """Return a queue with an item filed within each of these ticks, and the items."""
    queue: Deadlines[Item] = Deadlines()
    items = []
    for tick in ticks:
        items.append(Item())
        queue.file(items[-1], middle(tick))
    queue.check()
    return queue, items


def test_an_empty_queue_has_nothing_due() -> None:
    """Nothing comes out of a queue that nothing was filed in."""
    queue: Deadlines[Item] = Deadlines()
    assert len(queue) == 0
    assert not queue.any_expired(1e9)
    assert list(due_of(queue.expired(1e9))) == []
    queue.tidy()
    queue.check()


def test_an_item_is_due_once() -> None:
    """An item that came out is not filed any more."""
    queue, (item,) = queue_of([5])
    assert (len(queue), bool(item.due)) == (1, True)
    assert list(due_of(queue.expired(middle(6)))) == [item]
    assert (len(queue), item.due) == (0, 0)
    assert list(due_of(queue.expired(middle(1_000)))) == []
    queue.check()


@given(st.floats(0, 1e7), st.floats(0, 1e3))
def test_an_item_is_never_early(when: float, before: float) -> None:
    """Before its time an item does not come out, and it stays filed."""
    queue: Deadlines[Item] = Deadlines()
    item = Item()
    queue.file(item, when)
    now = when - before
    if 0 <= now < when:
        assert list(due_of(queue.expired(now))) == []
        assert len(queue) == 1


@given(st.floats(0, 1e7), st.floats(1.001, 1e3))
def test_an_item_is_at_most_a_tick_late(when: float, ticks: float) -> None:
    """A tick after its time an item comes out."""
    queue: Deadlines[Item] = Deadlines()
    item = Item()
    queue.file(item, when)
    assert queue.any_expired(when + ticks * TICK)
    assert list(due_of(queue.expired(when + ticks * TICK))) == [item]


def test_what_was_due_earlier_comes_out_earlier() -> None:
    """Items come out tick by tick."""
    queue, items = queue_of([9, 3, 7, 3, 1])
    first, *threes, seven, nine = due_of(queue.expired(middle(20)))
    assert [first, seven, nine] == [items[4], items[2], items[0]]
    assert set(map(id, threes)) == {id(items[1]), id(items[3])}


def test_an_item_filed_again_is_due_at_the_new_time_alone() -> None:
    """Filing an item again moves it, back or forth."""
    queue, (sooner, later) = queue_of([5, 5])
    queue.file(sooner, middle(2))
    queue.file(later, middle(8))
    assert len(queue) == 2
    assert list(due_of(queue.expired(middle(3)))) == [sooner]
    assert list(due_of(queue.expired(middle(8)))) == []
    assert list(due_of(queue.expired(middle(9)))) == [later]
    queue.check()


def test_an_item_that_comes_back_to_its_first_time_is_due_once() -> None:
    """What an item left behind under a tick does not count when it is filed there anew."""
    queue, (item,) = queue_of([5])
    for tick in (8, 5, 8, 5):
        queue.file(item, middle(tick))
        queue.check()
    assert list(due_of(queue.expired(middle(20)))) == [item]
    assert len(queue) == 0
    queue.check()


def test_a_cancelled_item_is_not_due() -> None:
    """Cancelling takes an item out, and may be done twice or without need."""
    queue, (item, other) = queue_of([5, 5])
    for _ in range(2):
        queue.cancel(item)
        assert (len(queue), item.due) == (1, 0)
    queue.cancel(Item())
    assert list(due_of(queue.expired(middle(9)))) == [other]
    queue.check()


def test_an_item_may_be_filed_again_as_it_comes_out() -> None:
    """What is due may be due again later, without coming out twice now."""
    queue, items = queue_of([1, 1, 2])
    for item in due_of(queue.expired(middle(5))):
        queue.file(item, middle(7))
    assert len(queue) == 3
    assert set(map(id, due_of(queue.expired(middle(8))))) == set(map(id, items))
    queue.check()


def test_an_item_cancelled_while_others_come_out_stays_in() -> None:
    """The end of one item may cancel others that are due at the same time."""
    queue, items = queue_of([1] * 10 + [2] * 10)
    out = []
    for item in due_of(queue.expired(middle(9))):
        out.append(item)
        for other in items:
            queue.cancel(other)
    assert len(out) == 1
    assert len(queue) == 0
    queue.check()


@pytest.mark.parametrize("taken", range(7))
def test_an_iteration_may_be_left_at_any_time(taken: int) -> None:
    """What an iteration was left before comes out of the next one."""
    queue, items = queue_of([1, 1, 2, 2, 3, 3])
    left = due_of(queue.expired(middle(9)))
    first = list(islice(left, taken))
    rest = list(due_of(queue.expired(middle(9))))
    assert len(first) == taken
    assert sorted(map(id, first + rest)) == sorted(map(id, items))
    queue.check()


def test_a_time_that_nothing_was_filed_under_is_not_worth_a_look() -> None:
    """Whether anything can be due is told without looking at the items."""
    queue, (item,) = queue_of([5])
    assert not queue.any_expired(middle(5))
    assert queue.any_expired(middle(6))
    queue.cancel(item)
    assert list(due_of(queue.expired(middle(6)))) == []
    assert not queue.any_expired(middle(6))


def swept(ticks: Iterable[int]) -> Iterable[int]:
    """Yield how many items, all of them cancelled, each tidying lets go of, until one lets go of none."""
    queue, items = queue_of(ticks)
    for item in items:
        queue.cancel(item)
    kept = weakref.WeakSet(items)
    del items, item
    while before := len(kept):
        queue.tidy()
        queue.check()
        if len(kept) == before:
            return
        yield before - len(kept)


@pytest.mark.parametrize(
    "ticks",
    [[at // 50 for at in range(20_000)], list(range(20_000)), [7] * 20_000],
    ids=["some-a-tick", "one-a-tick", "one-tick"],
)
def test_leftovers_are_dropped_a_bounded_number_at_a_time(ticks: list[int]) -> None:
    """Tidying lets go of what was cancelled, and never of so much at once that others wait for it."""
    counts = list(swept(ticks))
    assert sum(counts) >= 16_000
    assert max(counts) <= 4_000


def test_what_is_left_to_tidy_may_come_due_before() -> None:
    """A tick that has come while the tidying was under way is passed over by it."""
    queue, items = queue_of(at // 10 for at in range(20_000))
    for item in items[:-10]:
        queue.cancel(item)
    queue.tidy()
    assert list(due_of(queue.expired(middle(1_990)))) == []
    for _ in range(20):
        queue.tidy()
        queue.check()
    assert len(list(due_of(queue.expired(middle(2_000))))) == 10


def test_leftovers_behind_what_is_live_are_found() -> None:
    """Tidying gets past what it keeps, within one tick as well."""
    queue, items = queue_of([7] * 20_000)
    live = items[:5_000]
    for item in items[5_000:]:
        queue.cancel(item)
    kept = weakref.WeakSet(items)
    del items, item
    for _ in range(100):
        queue.tidy()
    queue.check()
    assert len(queue) == len(live)
    assert len(kept) <= len(live) + 2_500


def test_what_an_item_left_behind_when_it_was_filed_again_is_dropped() -> None:
    """An item that was moved from time to time is kept once."""
    queue, items = queue_of([5] * 5_000)
    once = [getrefcount(item) for item in items]
    for tick in range(6, 10):
        for item in items:
            queue.file(item, middle(tick))
    for _ in range(100):
        queue.tidy()
    queue.check()
    assert sum(getrefcount(item) for item in items) - sum(once) <= len(items) + 2_500
    assert len(list(due_of(queue.expired(middle(10))))) == len(items)


def test_tidying_keeps_what_is_live() -> None:
    """What is still to come is not swept away with the leftovers."""
    queue, items = queue_of(at // 10 for at in range(20_000))
    live = items[::100]
    for item in set(items) - set(live):
        queue.cancel(item)
    for _ in range(100):
        queue.tidy()
    queue.check()
    assert len(queue) == len(live)
    assert list(map(id, sorted(due_of(queue.expired(middle(9_999))), key=items.index))) == list(map(id, live))


class DeadlinesMachine(RuleBasedStateMachine):
    """A queue beside a dict of times, through everything that may be asked of it."""

    @initialize()
    def start(self) -> None:
        """Begin with an empty queue."""
        self.queue: Deadlines[Item] = Deadlines()
        self.items: list[Item] = []
        self.model: dict[Item, int] = {}
        self.clock = 0

    def due(self, clock: int) -> set[Item]:
        """Return what is due in the middle of a tick."""
        return {item for item, tick in self.model.items() if tick < clock}

    @rule(ticks=st.integers(0, 20), count=st.integers(1, 5))
    def file_new(self, ticks: int, count: int) -> None:
        """File new items."""
        for _ in range(count):
            self.items.append(Item())
            self.file(len(self.items) - 1, ticks)

    @precondition(lambda self: self.items)
    @rule(at=st.integers(0, 100), ticks=st.integers(0, 20))
    def file(self, at: int, ticks: int) -> None:
        """File an item, which may be filed already."""
        item = self.items[at % len(self.items)]
        self.queue.file(item, middle(self.clock + ticks))
        self.model[item] = self.clock + ticks

    @precondition(lambda self: self.items)
    @rule(at=st.integers(0, 100))
    def cancel(self, at: int) -> None:
        """Cancel an item, which may not be filed."""
        item = self.items[at % len(self.items)]
        self.queue.cancel(item)
        self.model.pop(item, None)

    @rule(ticks=st.integers(0, 8), most=st.none() | st.integers(0, 5))
    def expire(self, ticks: int, most: int | None) -> None:
        """Let time pass, and take what is due, or some of it."""
        self.clock += ticks
        due = self.due(self.clock)
        if due:
            assert self.queue.any_expired(middle(self.clock))
        out = list(islice(due_of(self.queue.expired(middle(self.clock))), most))
        assert len(set(out)) == len(out)
        assert set(out) <= due
        assert most is not None or set(out) == due
        assert len(out) == len(due) or len(out) == most
        times = [self.model.pop(item) for item in out]
        assert times == sorted(times)
        assert all(times[-1] <= self.model[item] for item in due - set(out) if times)

    @rule(ticks=st.integers(1, 8), again=st.integers(0, 3), cancelled=st.integers(0, 3), later=st.integers(0, 10))
    def expire_with_changes(self, ticks: int, again: int, cancelled: int, later: int) -> None:
        """Take what is due, filing some of it again and cancelling others meanwhile."""
        self.clock += ticks
        for item in due_of(self.queue.expired(middle(self.clock))):
            assert self.model.pop(item) < self.clock
            if again:
                again -= 1
                self.queue.file(item, middle(self.clock + later))
                self.model[item] = self.clock + later
            elif cancelled and self.model:
                cancelled -= 1
                other = next(iter(self.model))
                self.queue.cancel(other)
                del self.model[other]
        assert not self.due(self.clock)

    @rule()
    def tidy(self) -> None:
        """Tidy up."""
        self.queue.tidy()

    @invariant()
    def agrees(self) -> None:
        """Check the queue's own invariants, and that it holds what the model holds."""
        self.queue.check()
        assert len(self.queue) == len(self.model)
        assert all(bool(item.due) == (item in self.model) for item in self.items)


class FloodedMachine(DeadlinesMachine):
    """The same with so many leftovers that tidying has something to do, and is under way while all else goes on."""

    floods = 0

    @precondition(lambda self: self.floods < 3)
    @rule(ticks=st.lists(st.integers(0, 20), min_size=1, max_size=4), every=st.integers(2, 500))
    def flood(self, ticks: list[int], every: int) -> None:
        """File many items under few ticks, and cancel all but some of them."""
        self.floods += 1
        for at in range(3_000):
            item, tick = Item(), self.clock + ticks[at % len(ticks)]
            self.queue.file(item, middle(tick))
            if at % every:
                self.queue.cancel(item)
            else:
                self.items.append(item)
                self.model[item] = tick


DeadlinesMachine.TestCase.settings = settings(deadline=None, stateful_step_count=30)
FloodedMachine.TestCase.settings = settings(deadline=None, stateful_step_count=15, max_examples=40)
TestDeadlines = DeadlinesMachine.TestCase
TestFlooded = FloodedMachine.TestCase
