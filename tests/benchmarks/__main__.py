"""All figures, or those of the parts named: `python -m tests.benchmarks [--json] [opening ...]`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

from tests.benchmarks import arrivals, churn, growth, idle, memory, messages, opening, prompt, queries, table, workers
from tests.benchmarks.harness import Figure

PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "opening": opening.measure,
    "one-port": opening.measure_one_port,
    "memory": memory.measure,
    "prompt": prompt.measure,
    "idle": idle.measure,
    "growth": growth.measure,
    "queries": queries.measure,
    "arrivals": arrivals.measure,
    "messages": messages.measure,
    "table": table.measure,
    "churn": churn.measure,
    "workers": workers.measure,
}


def main() -> None:
    """Print one line for each figure; exit with 1 if one is on the wrong side of its bound."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' '.join(PARTS)} (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {' '.join(sorted(unknown))}; there are {' '.join(PARTS)}")
    missed = 0
    for name in options.parts or PARTS:
        for figure in PARTS[name]():
            print(json.dumps({**asdict(figure), "met": figure.met}) if options.json else figure, flush=True)
            missed += not figure.met
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
