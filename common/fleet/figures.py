"""The figures of a fleet's nodes, and how they are shown; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.limits import Limit, render_limits
from common.render import by_reason
from common.units import format_duration


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One engine of a fleet as `nodes` shows it: its node's address and name, and how it is.

    `asked` is None where nothing is asked for, `rate` sessions a second, `descriptors` the soft and the hard limit,
    `load` the load average of the node's last minute with so many `processors`. `heard_ago` is in seconds; `state` is
    there, silent or missing, `note` what is amiss.
    """

    node: str
    host: str
    state: str
    held: int
    asked: int | None
    rate: float
    losses: dict[str, int]
    descriptors: tuple[int, int] | None
    load: float | None
    processors: int | None
    heard_ago: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """The limits of one node."""

    node: str
    limits: list[Limit]


_TITLES = ("Node", "Host", "State", "Held", "Asked", "Rate", "Descriptors", "Load", "Losses")


def nodes_text(rows: Sequence[NodeRow]) -> Iterator[str]:
    """Yield a table of the nodes, a line for each below its titles."""
    table = [_TITLES, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
    for row in rows:
        if row.note:
            yield f"{row.node}: {row.note}"


def node_limits_text(nodes: Sequence[NodeLimits]) -> Iterator[str]:
    """Yield the limits of one node after the other."""
    for node in nodes:
        yield f"Node {node.node}:"
        yield from render_limits(node.limits)


def _cells(row: NodeRow) -> tuple[str, ...]:
    state = row.state if row.state == "there" else f"{row.state} {format_duration(row.heard_ago)}"
    return (
        row.node,
        row.host,
        state,
        str(row.held),
        "-" if row.asked is None else str(row.asked),
        f"{row.rate:.0f}/s",
        "-" if row.descriptors is None else "{}/{}".format(*row.descriptors),
        "-" if row.load is None else f"{row.load:.2f} of {row.processors}",
        by_reason(row.losses),
    )
