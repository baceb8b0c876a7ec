"""Tests of how the sources are put together: what imports what, and what mirrors what."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = ("common", "initiator", "responder")

# What knows no socket, no clock and no loop: time and numbers come in as arguments.
PURE = {
    *(
        f"common.{name}"
        for name in (
            "errors",
            "files",
            "units",
            "addresses",
            "grammar",
            "commands",
            "table",
            "deadlines",
            "histogram",
            "hdr",
            "keepalive",
            "pacing",
            "rate",
            "reasons",
            "limits",
            "paging",
            "render",
            "escapes",
        )
    ),
    *(f"initiator.{name}" for name in ("retry", "confirmed", "settings", "snapshot", "render", "load_render")),
    *(f"initiator.{name}" for name in ("traffic", "latencies", "expectations", "figures", "totals")),
    *(f"initiator.{name}" for name in ("churn_figures", "churn_render", "find_render")),
    *(f"initiator.reports.{name}" for name in ("timeline", "history", "charts", "scales", "svg", "style")),
    *(f"initiator.reports.{name}" for name in ("page", "report")),
    *(f"initiator.probes.{name}" for name in ("ages", "figures", "growth", "idleness", "narrowing")),
    *(f"initiator.workloads.{name}" for name in ("arrivals", "schedule", "search", "questions", "saturation")),
    *(f"initiator.workloads.{name}" for name in ("expressions", "random_text", "markers", "frames", "turns")),
    *(f"responder.{name}" for name in ("settings", "snapshot", "render", "marker", "rounds")),
    *(f"common.{name}" for name in ("shares", "workers.division", "workers.merge", "fleet.figures")),
    *("initiator.merging", "responder.merging"),
}
IMPURE = {
    "asyncio",
    "uvloop",
    "socket",
    "ssl",
    "select",
    "selectors",
    "threading",
    "time",
    "datetime",
    "prompt_toolkit",
}

# Who may import whom; the initiator starts a responder of its own for --loopback.
ALLOWED = {
    "common": {"common"},
    "initiator": {"common", "initiator", "responder"},
    "responder": {"common", "responder"},
}

LONGEST_LINE = 120


def name_of(path: Path) -> str:
    """Return the name that a source file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TESTS = sorted(path for package in PACKAGES for path in (ROOT / "tests" / package).rglob("test_*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports, wherever in it: a module, or a name in a module behind its name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """Return the modules of ours that a module of ours imports."""
    found = set()
    for imported in imports_of(SOURCES[name]):
        if imported.partition(".")[0] in PACKAGES:
            found.add(imported if imported in SOURCES else imported.rpartition(".")[0])
    return found


def test_the_sources_are_found() -> None:
    """The rules below are about something."""
    assert set(SOURCES) >= PURE
    assert len(TESTS) > len(PACKAGES)


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_module_knows_no_socket_no_clock_and_no_loop(name: str) -> None:
    """Pure logic imports nothing that does something, nor a module of ours that is not pure."""
    outside = {imported.partition(".")[0] for imported in imports_of(SOURCES[name])}
    assert outside & IMPURE == set()
    assert own_imports(name) - {*PACKAGES} <= PURE


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    """What both daemons share knows neither, and the responder does not know the initiator."""
    for name in SOURCES:
        if name.partition(".")[0] == package:
            imported = {other.partition(".")[0] for other in own_imports(name)}
            assert imported <= ALLOWED[package], name


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_says_in_one_line_what_it_is(name: str) -> None:
    """A docstring begins with a summary of one line, set off from what follows."""
    docstring = ast.get_docstring(tree_of(SOURCES[name]))
    assert docstring
    summary, *more = docstring.splitlines()
    assert 0 < len(summary) + len('"""') < LONGEST_LINE
    assert summary.endswith((".", ":"))
    assert not more or more[0] == ""


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_of_tests_mirrors_a_source(path: Path) -> None:
    """What tests a file has its name and stands where it stands."""
    source = ROOT / path.relative_to(ROOT / "tests").with_name(path.name.removeprefix("test_"))
    assert source.is_file()
