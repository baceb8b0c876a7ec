"""Tests of a report as a page: it is valid, whole, escaped, and has the numbers of the .json."""

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from initiator.latencies import Latencies
from initiator.reports.charts import charts_of
from initiator.reports.history import Cell, FinishedRun, Table
from initiator.reports.page import chart_rows, page, table
from initiator.reports.report import write_report
from initiator.reports.svg import BROAD, SIZES
from initiator.reports.timeline import Mark
from tests.initiator.reports.sample import HOSTILE, history, report
from tests.initiator.reports.test_timeline import CHURN, QUERY, SEND

VOID = {"meta"}

ROW = report().latencies[0]


class Document(HTMLParser):
    """The elements of a page: every one is closed in its turn, and each table is kept by its name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.figures = ""
        self.text = ""
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs)["data-of"] or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        assert "svg" in self._open, f"<{tag}/> is not closed in HTML"

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.figures += data
            return
        self.text += data
        if self._open[-1:] in (["td"], ["th"]):
            self._rows[-1][-1] += data


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(page(report()))


def test_every_element_is_closed_and_stands_where_it_may(document: Document) -> None:
    assert page(report()).startswith("<!DOCTYPE html>\n")
    for once in ("html", "head", "style", "body", "main", "h1", "script"):
        assert document.elements.count(once) == 1, once


def test_it_needs_nothing_from_elsewhere(document: Document) -> None:
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(document.elements)
    names = {name for name, _ in document.attributes}
    assert not {"src", "href", "style", "srcset", "data"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "http:" not in page(report()).replace("http-equiv", "")
    assert "https:" not in page(report())


def test_each_drawing_is_whole_svg() -> None:
    drawings = re.findall(r'<svg class="chart.*?</svg>', page(report()), re.DOTALL)
    assert len(drawings) == len(SIZES) * len(charts_of(history())) + 1
    sizes = [str(ElementTree.fromstring(drawing).get("class")) for drawing in drawings]
    assert sizes[:3] == [f"chart {size.name}" for size in (BROAD, *SIZES)]


def test_it_has_the_figures_of_the_json(tmp_path: Path, document: Document) -> None:
    for name in ("a.json", "a.html"):
        write_report(tmp_path / name, report(), Latencies())
    figures = json.loads((tmp_path / "a.json").read_text())
    assert json.loads(document.figures) == figures
    assert Document((tmp_path / "a.html").read_text()).figures == document.figures


@pytest.mark.parametrize("ending", [".html", ".json"])
def test_a_report_is_utf_8_whatever_was_typed(tmp_path: Path, ending: str) -> None:
    """What is no text in a line stands for its bytes there, and is written as what can be read."""
    odd = os.fsdecode("query 5 name \u017elu\u0165".encode() + b"\xff")
    path = tmp_path / f"a{ending}"
    write_report(path, replace(report(), settings={"query": odd}), Latencies())
    text = path.read_bytes().decode()
    assert "\u017elu\u0165" in text or "\\u017elu\\u0165" in text
    assert "\\udcff" in text
    if ending == ".json":
        assert json.loads(text)["settings"] == {"query": odd}


def test_each_chart_has_its_table(document: Document) -> None:
    for chart in charts_of(history()):
        head, *rows = document.tables[chart.title]
        assert head == [chart.x.title, *(series.name for series in chart.series)]
        assert len(rows) == len(chart.at)
        for index, row in enumerate(rows):
            values = [series.values[index] for series in chart.series]
            assert row == [
                chart.x.shown(chart.at[index]),
                *("\N{EN DASH}" if value is None else chart.y.shown(value) for value in values),
            ]
    held = [[int(cell) for cell in row[1:]] for row in document.tables["Held sessions"][1:]]
    timeline = json.loads(document.figures)["history"]["timeline"]
    assert held == [list(pair) for pair in zip(timeline["asked"], timeline["held"], strict=True)]


def test_it_says_how_to_repeat_it(document: Document) -> None:
    assert "sessioner_initiator --target 127.0.0.1:4000 --seed 7" in document.text
    for what in ('query100 a second, name "<b>&", seed 1', "churn50 a second, seed 2"):
        assert what in document.text.replace("\n", "")
    assert "What the process was started with; what commands changed since then is in their list" in document.text
    assert "127.0.0.2, 127.0.0.3" in document.text
    assert document.tables["commands"][1:] == [["1", "0:00.1", "set 20", "1"], ["2", "0:00.5", HOSTILE, "2"]]
    assert document.tables["targets"][1][:7] == ["127.0.0.1:4000", "20", "18", "0", "28", "4 (rst 4)", "0"]
    assert document.tables["run 1"] == [["seconds", "due", "answered"], ["2", "200", "190"]]
    assert ["query", "corrected", "500", "25.900", "26.000", "50.400", "50.900"] in document.tables["latencies"]
    figures = dict(document.tables["figures"][1:])
    assert figures["losses.rst"] == "4"
    assert figures["segments.retransmitted"] == "1"
    assert "since each of them was established" in document.text


def test_every_number_of_the_json_is_in_a_table(document: Document) -> None:
    history = json.loads(document.figures)["history"]
    head, *rows = document.tables["samples"]
    assert head[:4] == ["time", "asked", "held", "lowest held"]
    expected: dict[str, list[float | None]] = {}
    for name, values in history["timeline"].items():
        of_reasons = values if isinstance(values, dict) else {"": values}
        expected |= {f"{name.replace('_', ' ')} {reason}".strip(): column for reason, column in of_reasons.items()}
    assert head == list(expected)
    for name, column in zip(head, zip(*rows, strict=True), strict=True):
        found = [None if cell == "\N{EN DASH}" else float(cell.replace(",", "")) for cell in column]
        assert found == expected[name], name
    points = [row[3:] for row in document.tables["points"][1:]]
    of_curves = [point[1:] for curve in history["curves"] for point in curve["points"]]
    assert [[float(cell.replace(",", "")) for cell in point] for point in points] == of_curves


def test_each_finished_run_has_a_table() -> None:
    made = history()
    run = FinishedRun("bench", "size 100", Table([{"size": 100, "per second": 5.5}]), None)
    document = Document(page(replace(report(), history=replace(made, runs=[*made.runs, run]))))
    assert document.tables["run 2"] == [["size", "per second"], ["100", "5.5"]]
    assert "all of <it>" in document.text


def test_a_run_without_rows_is_told_in_words() -> None:
    run = FinishedRun("find", "idle", Table([], "remembered for 3 s"), None)
    document = Document(page(replace(report(), history=replace(history(), runs=[run]))))
    assert "remembered for 3 s" in document.text
    assert "run 1" not in document.tables


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<img src=x>", '"><b>', "&amp;", "\x1b[31m<"])
def test_what_somebody_typed_is_text(text: str) -> None:
    made = history()
    hostile = replace(
        made,
        command=text,
        marks=[Mark(1.0, text)],
        targets=[replace(made.targets[0], target=text)],
        runs=[FinishedRun(text, text, Table([{text: text}], text), text)],
    )
    whole = replace(report(), settings={text: text}, history=hostile)
    plain = Document(page(report()))
    document = Document(page(whole))
    assert set(document.elements) == set(plain.elements)
    assert document.elements.count("script") == 1
    assert document.tables["run 1"] == [[text], [text]]
    assert json.loads(document.figures)["history"]["marks"][0]["text"] == text
    assert document.text.count(text) >= 7


@pytest.mark.parametrize(
    ("changes", "tile"),
    [
        ({"query": QUERY}, "queries answered90of 100 due in the latest run"),
        ({"send": SEND}, "messages answered60of 70 sent in the latest run"),
        ({"send": replace(SEND, awaiting=False)}, "messages sent70in the latest run"),
        ({"churn": CHURN}, "short sessions1,100of 1,500 due in the latest churn"),
        ({"latencies": [replace(ROW, name="message")]}, "message p5026.0 msp99 50.4 ms"),
    ],
)
def test_what_ran_last_is_among_what_to_look_at_first(changes: dict[str, Any], tile: str) -> None:
    assert tile in Document(page(replace(report(), **changes))).text.replace("\n", "")


def test_what_is_not_there_is_left_out() -> None:
    made = replace(history(), marks=[], runs=[], curves=[], targets=[])
    document = Document(page(replace(report(), latencies=[], history=made)))
    assert document.tables.keys() == {chart.title for chart in charts_of(made)} | {"figures", "samples"}
    assert "None was given." in document.text


def test_charts_without_a_sample_are_empty() -> None:
    empty: dict[str, Any] = {name: {} if isinstance(of, dict) else [] for name, of in history().timeline.items()}
    document = Document(page(replace(report(), history=replace(history(), timeline=empty))))
    assert "Held sessions" in document.text
    assert "Held sessions" not in document.tables


def test_earlier_commands_are_told_of() -> None:
    made = replace(report(), history=replace(history(), earlier_marks=1234))
    assert "1,234 before them are left out" in Document(page(made)).text


def test_a_table_aligns_numbers_and_writes_what_is_missing() -> None:
    text = table([{"name": "127.0.0.1:1", "at": "0:07.5", "is": True, "of": None, "ms": 1234.5678, "n": 12345}])
    cells = re.findall("<td(.*?)>(.*?)</td>", text)
    number = ' class="n"'
    assert cells == [
        ("", "127.0.0.1:1"),
        (number, "0:07.5"),
        (number, "yes"),
        (number, "\N{EN DASH}"),
        (number, "1,234.5678"),
        (number, "12,345"),
    ]
    assert table([]) == ""


@pytest.mark.parametrize(
    ("values", "aligned"),
    [
        (["1", "2,000.5"], True),
        (["6.0s", "1h"], True),
        (["12%", "3.5 ms", "8.0 kbps", "2,000.0/s"], True),
        (["0", "3 (rst 3)"], False),
        (["3 (rst 3)", "0"], False),
        (["try", "ramp"], False),
        ([None, "127.0.0.1:1"], False),
        ([None, None], True),
        ([1, None, 2.5, True], True),
    ],
)
def test_a_column_is_aligned_as_numbers_where_all_of_it_are(values: list[Cell], aligned: bool) -> None:
    text = table([{"a": value} for value in values])
    assert text.count(' class="n"') == (1 + len(values) if aligned else 0)


def test_a_row_of_a_chart_has_all_its_series() -> None:
    chart = charts_of(history())[1]
    assert chart_rows(chart) == [
        {chart.x.title: "0:00", "established": None},
        {chart.x.title: "0:01", "established": "25.0"},
        {chart.x.title: "0:02", "established": "3.0"},
    ]
