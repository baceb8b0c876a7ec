"""Long listings of several workers, one after the other."""

from collections.abc import Sequence
from typing import Any, Final

from common.errors import UsageError
from common.paging import Page
from common.workers.pool import Pool

# Where a page starts: the number of the worker above these bits, and below them where it starts there.
_BITS: Final = 32
_WITHIN: Final = (1 << _BITS) - 1


async def follow_pages(pool: Pool[Any], method: str, arguments: Sequence[Any], start: int) -> Page[Any]:
    """Return the page that a method of the worker returns that `start` names, or of the first one behind it.

    A worker that does not answer is passed over, and one that refuses as well, unless all do: raises UsageError then.
    """
    number, within = start >> _BITS, start & _WITHIN
    refusals: list[UsageError] = []
    while number < len(pool.members):
        try:
            page = await pool.call(pool.members[number], method, *arguments, within, reading=True)
        except UsageError as error:
            refusals.append(error)
        else:
            if page:
                following = number << _BITS | page.next if page.next is not None else (number + 1) << _BITS
                return Page(page.rows, following if following >> _BITS < len(pool.members) else None)
        number, within = number + 1, 0
    if refusals and len(refusals) == len(pool.members):
        raise refusals[0]
    return Page([], None)
