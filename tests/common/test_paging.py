"""Tests of long listings in pages."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.paging import ROWS, Page, all_rows, page_of

# More items than one page looks at.
MANY = 10_000


def double(item: int | None) -> int | None:
    """Return the row of an item: none for none."""
    return None if item is None else 2 * item


def rows_of(items: Sequence[int | None], most: int | None = None, first: bool = False) -> list[int]:
    """Return all rows of a listing, the first page made before where that is asked for."""

    async def page_at(start: int) -> Page[int]:
        return page_of(items, start, double)

    async def collect() -> list[int]:
        page = await page_at(0) if first else None
        return [row async for row in all_rows(page_at, most, page)]

    return asyncio.run(collect())


def test_an_empty_listing_is_one_page() -> None:
    """Without items there are no rows, and no next page."""
    assert page_of([], 0, double) == Page([], None)
    assert rows_of([]) == []


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS])
def test_a_short_listing_is_one_page(count: int) -> None:
    """As many rows as a page holds need no second one."""
    assert page_of(range(count), 0, double) == Page(list(range(0, 2 * count, 2)), None)


def test_a_long_listing_goes_on_at_the_next_page() -> None:
    """A full page tells where the next one starts."""
    page = page_of(range(ROWS + 1), 0, double)
    assert (len(page.rows), page.next) == (ROWS, ROWS)
    assert page_of(range(ROWS + 1), ROWS, double) == Page([2 * ROWS], None)


def test_a_page_starts_where_it_is_told() -> None:
    """A page does not look at what is before its start, nor past the end."""
    assert page_of([1, 2, 3, 4], 2, double).rows == [6, 8]
    assert page_of([1, 2], 2, double) == Page([], None)
    assert page_of([1, 2], 5, double) == Page([], None)


def test_an_item_without_a_row_is_passed_over() -> None:
    """What has no row is not shown, and takes no place."""
    assert page_of([None, 1, None, 2, None], 0, double) == Page([2, 4], None)


def test_a_page_looks_at_a_bounded_number_of_items() -> None:
    """Where few items have a row, a page ends before it is full, and the listing goes on."""
    looked_at = []

    def row(item: int) -> None:
        looked_at.append(item)

    page: Page[int] = page_of(range(MANY), 0, row)
    assert page.rows == []
    assert page.next == len(looked_at) < MANY // 2
    assert looked_at == list(range(len(looked_at)))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 1_000), st.integers(1, 3_000)), max_size=8),
    st.none() | st.integers(0, 5_000),
    st.booleans(),
)
def test_all_rows_are_those_of_every_page(runs: list[tuple[int | None, int]], most: int | None, first: bool) -> None:
    """Page after page gives every row once, in order, and no more than are wanted."""
    items = [item for item, count in runs for _ in range(count)]
    wanted = [2 * item for item in items if item is not None]
    assert rows_of(items, most, first) == wanted[:most]


def test_a_listing_ends_when_enough_rows_were_given() -> None:
    """Pages that nobody wants are not made."""
    starts = []

    async def page_at(start: int) -> Page[int]:
        starts.append(start)
        return page_of(range(MANY), start, double)

    async def collect() -> int:
        return len([row async for row in all_rows(page_at, ROWS + 1)])

    assert asyncio.run(collect()) == ROWS + 1
    assert starts == [0, ROWS]


def test_a_first_page_that_is_there_is_not_made_again() -> None:
    """A page that was made to see whether there is anything to list is used."""
    starts = []

    async def page_at(start: int) -> Page[int]:
        starts.append(start)
        return page_of(range(ROWS + 1), start, double)

    async def collect() -> int:
        return len([row async for row in all_rows(page_at, None, page_of(range(ROWS + 1), 0, double))])

    assert asyncio.run(collect()) == ROWS + 1
    assert starts == [ROWS]
