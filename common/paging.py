"""Long listings in pages, so that none holds the loop."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

# Rows of one page: two milliseconds of rendering.
ROWS: Final = 200

# Items looked at for one page: a millisecond.
_LOOKED_AT: Final = 4_000

T = TypeVar("T")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a listing, and where the next page starts; None after the last one."""

    rows: list[Row]
    next: int | None


def page_of(items: Sequence[T], start: int, row: Callable[[T], Row | None]) -> Page[Row]:
    """Return the page that starts at an index of `items`; an item whose row is None is passed over."""
    rows: list[Row] = []
    at, end = start, min(start + _LOOKED_AT, len(items))
    while at < end and len(rows) < ROWS:
        made = row(items[at])
        if made is not None:
            rows.append(made)
        at += 1
    return Page(rows, at if at < len(items) else None)


async def all_rows(
    page_at: Callable[[int], Awaitable[Page[Row]]], most: int | None = None, first: Page[Row] | None = None
) -> AsyncIterator[Row]:
    """Yield the rows of page after page, at most `most` of them; the first page may be there already."""
    page = first or await page_at(0)
    left = most
    while True:
        for row in page.rows[:left]:
            yield row
        if left is not None:
            left = max(0, left - len(page.rows))
        if page.next is None or left == 0:
            return
        page = await page_at(page.next)
