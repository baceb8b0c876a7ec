"""Tests of how the nodes of a fleet are shown."""

from dataclasses import replace

from common.fleet.figures import NodeLimits, NodeRow, node_limits_text, nodes_text
from common.limits import Limit

THERE = NodeRow(
    node="10.0.0.1",
    host="alpha",
    state="there",
    held=500,
    asked=500,
    rate=12.4,
    losses={"rst": 3, "fin": 1},
    descriptors=(20000, 40000),
    load=0.5,
    processors=8,
    heard_ago=0.2,
)
MISSING = NodeRow("10.0.0.22", "beta", "missing", 0, None, 0.0, {}, None, None, None, 6.5)


def test_nodes_are_a_table() -> None:
    """Each has a line below the titles, and what is amiss with one stands behind the table."""
    assert list(nodes_text([THERE, MISSING, replace(THERE, asked=None, note="cannot listen on 10.0.0.9:80")])) == [
        "Node       Host   State         Held  Asked  Rate  Descriptors  Load       Losses",
        "10.0.0.1   alpha  there         500   500    12/s  20000/40000  0.50 of 8  4 (rst 3, fin 1)",
        "10.0.0.22  beta   missing 6.5s  0     -      0/s   -            -          0",
        "10.0.0.1   alpha  there         500   -      12/s  20000/40000  0.50 of 8  4 (rst 3, fin 1)",
        "10.0.0.1: cannot listen on 10.0.0.9:80",
    ]


def test_limits_are_those_of_one_node_after_the_other() -> None:
    """Each node's stand below its name."""
    limit = Limit("ulimit -n", "descriptors of the process", 1000, 10, True, "")
    lines = list(node_limits_text([NodeLimits("10.0.0.1", [limit]), NodeLimits("10.0.0.2", [limit])]))
    assert [line for line in lines if line.startswith("Node")] == ["Node 10.0.0.1:", "Node 10.0.0.2:"]
    assert sum("ulimit -n" in line for line in lines) == 2
