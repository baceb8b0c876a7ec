"""Reports of whole initiators: the files, and the page as a real browser shows it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from initiator.reports.charts import charts_of, format_count
from initiator.reports.page import page
from tests.daemons.test_programs import program
from tests.initiator.reports import sample
from tests.ports import find_free_ports
from tests.support import PATIENCE, Daemon, initiator, responder

pytestmark = pytest.mark.program

FreePorts = Callable[[int], int]

NAME = "<b>&amp;.example"

# What a browser says of a page in a frame of each width: its size, its ground, and every drawing that is shown.
MEASURE = """<!DOCTYPE html>
<html style="color-scheme: light dark"><body><pre id="measured"></pre><script>
const text = %s;
const measured = {};
function shape(element) {
  const box = element.getBBox();
  return {kind: element.getAttribute("class") || "", width: box.width, height: box.height,
          length: element.getTotalLength(), data: element.getAttribute("d"),
          stroke: element.ownerDocument.defaultView.getComputedStyle(element).stroke};
}
function drawing(svg) {
  const box = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map(one => {
    const place = one.getBoundingClientRect();
    return {text: one.textContent, kind: one.getAttribute("class") || "number",
            left: place.left, right: place.right, top: place.top, bottom: place.bottom};
  });
  return {left: box.left, right: box.right, top: box.top, bottom: box.bottom, texts: texts,
          lines: [...svg.querySelectorAll("path.line")].map(shape),
          places: svg.querySelectorAll(".place").length};
}
function measure(width, frame) {
  const inside = frame.contentDocument, view = frame.contentWindow;
  const figures = [...inside.querySelectorAll("figure")].map(figure => ({
    title: figure.dataset.title,
    rows: [...figure.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.textContent)),
    drawings: [...figure.querySelectorAll("svg.chart")].filter(svg => view.getComputedStyle(svg).display != "none")
              .map(drawing)}));
  inside.querySelectorAll("details").forEach(details => details.open = true);
  measured[width] = {
    wide: inside.documentElement.scrollWidth, room: inside.documentElement.clientWidth,
    ground: view.getComputedStyle(inside.body).backgroundColor, colour: view.getComputedStyle(inside.body).color,
    scripts: inside.scripts.length, figures: figures};
  if (Object.keys(measured).length == 2)
    document.getElementById("measured").textContent = JSON.stringify(measured);
}
for (const width of [390, 1200]) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 2000px; border: 0`;
  frame.onload = () => measure(width, frame);
  frame.srcdoc = text;
  document.body.append(frame);
}
</script></body></html>
"""


class _Measured(HTMLParser):
    """The text of the one element that the measures are in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "pre" and ("id", "measured") in attrs

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text += data

    def handle_endtag(self, _tag: str) -> None:
        self._inside = False


def browser(directory: Path, dark: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a browser without a window, and without a network."""
    return subprocess.run(
        [
            program("chromium"),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={directory / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=True,
    )


def console_of(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return what the page made the browser say at its console; pages of the browser's own say something, too."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line and "source: chrome://" not in line]


def shown(directory: Path, text: str, dark: bool = False) -> dict[str, Any]:
    """Return what a browser says of a page, on a phone and on a screen; nothing may be wrong with it."""
    outer = directory / "measure.html"
    outer.write_text(MEASURE % json.dumps(text).replace("<", "\\u003c"))
    done = browser(directory, dark, "--dump-dom", f"file://{outer}")
    assert console_of(done) == []
    measured: dict[str, Any] = json.loads(_Measured(done.stdout).text)
    return measured


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the directory of the reports of a real run."""
    directory, first = tmp_path_factory.mktemp("reports"), find_free_ports(2)
    with responder(first, 2), initiator(first, 2, "--ping", "--seed", "5") as front:
        front.send("ping interval 100ms-300ms", "set 40", "wait 30s")
        front.send(f"query 500 for 1s seed 7 name '{NAME}'", "wait query 10s", "drop 5 rst", "wait 30s")
        front.send(f"target add 127.0.0.1:{find_free_ports(1)}", "sleep 1500ms")
        front.send("query 200 for 500ms seed 8", "wait query 10s", "set 10", "sleep 1500ms")
        for name in ("a.json", "a.html"):
            front.send(f"report {directory / name}")
        output, errors, code = front.end()
        assert code == 0, output + errors
    yield directory


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def of_every_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the directory of the reports of an initiator that has done all there is, and what it printed."""
    directory, first = tmp_path_factory.mktemp("reports"), find_free_ports(2)
    with responder(first, 2), initiator(first, 2, "--seed", "5", *request.param) as front:
        front.send("set 20", "wait held 30s", "query 200 for 2500ms seed 7", "wait query 20s")
        front.send("send 'n{message}' marker 'n{message}' rate 10 for 2500ms seed 7", "wait send 20s")
        front.send("churn 50 100 for 500ms seed 7", "wait churn 30s")
        front.send("saturate from 20 by 2 for 200ms seed 7", "sleep 600ms", "stop saturate", "wait saturate 30s")
        front.send(
            "bench 50 rounds 3 message 'hello you'",
            "wait bench 30s",
            "find sessions limit 30 for 500ms",
            "wait find 30s",
        )
        # What workers tell is up to a second old.
        front.send("sleep 1500ms", "report")
        for name in ("a.json", "a.html"):
            front.send(f"report {directory / name}")
        output, errors, code = front.end()
        assert code == 0, output + errors
        (directory / "printed").write_text(output)
    yield directory


def embedded(text: str) -> Any:
    """Return the figures that a page carries."""
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_every_chart_on_a_phone_and_on_a_screen(written: Path, tmp_path: Path, dark: bool) -> None:
    text = (written / "a.html").read_text()
    measured = shown(tmp_path, text, dark)
    timeline = embedded(text)["history"]["timeline"]
    for width in ("390", "1200"):
        seen = measured[width]
        assert seen["room"] == int(width)
        assert seen["wide"] <= seen["room"], "the page is wider than the screen"
        assert seen["ground"] == ("rgb(14, 17, 22)" if dark else "rgb(243, 245, 248)")
        assert seen["scripts"] == 1
        titles = [figure["title"] for figure in seen["figures"]]
        assert titles[:3] == ["Held sessions", "New sessions", "Queries"]
        assert {"Failed attempts", "Latency: query", "Latency: connect", "Latency: ping"} <= set(titles)
        for figure in seen["figures"]:
            _is_drawn(figure, int(width))
        held = [row[1:] for row in seen["figures"][0]["rows"]]
        assert held == [
            [format_count(asked), format_count(now)]
            for asked, now in zip(timeline["asked"], timeline["held"], strict=True)
        ]


def _across(data: str) -> float:
    """Return how far the parts of a path go across, without the gaps between them."""
    places = [re.findall(r"(?:^|[LH])([\d.]+)", part) for part in data.split("M")[1:]]
    return sum(float(part[-1]) - float(part[0]) for part in places)


def _is_drawn(figure: dict[str, Any], width: int) -> None:
    """Assert that one drawing is shown, with as many points as there are values in the table, inside the screen."""
    (drawing,) = figure["drawings"]
    assert 0 <= drawing["left"] < drawing["right"] <= width, figure["title"]
    columns = list(zip(*figure["rows"], strict=True))[1:]
    assert len(drawing["lines"]) == len(columns)
    for line, values in zip(drawing["lines"], columns, strict=True):
        there = [value for value in values if value != "\N{EN DASH}"]
        assert len(re.findall("[MLH]", line["data"])) == len(there), figure["title"]
        assert line["stroke"].startswith("rgb")
        # A line of one value is a dot; any other goes across.
        assert line["width"] > 0 or len(there) < 2, figure["title"]
        across = _across(line["data"])
        assert line["length"] >= across or line["length"] == pytest.approx(across)
    assert drawing["places"] == len(figure["rows"]) or drawing["places"] > 40
    ticks = [text for text in drawing["texts"] if text["kind"] == "tick"]
    assert len(ticks) >= 4
    for text in drawing["texts"]:
        assert text["bottom"] - text["top"] > 9, "too small to be read"
        assert text["left"] >= 0
        assert text["right"] <= width
    for one in ticks:
        for other in ticks:
            apart = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert one is other or apart or one["bottom"] <= other["top"] + 3 or other["bottom"] <= one["top"] + 3


def test_a_page_with_one_sample_and_one_value_is_drawn(tmp_path: Path) -> None:
    whole = sample.report()
    assert whole.history
    for name, values in whole.history.timeline.items():
        whole.history.timeline[name] = (
            {reason: of[-1:] for reason, of in values.items()} if isinstance(values, dict) else values[-1:]
        )
    measured = shown(tmp_path, page(whole))
    assert len(measured["390"]["figures"]) == len(charts_of(whole.history))
    assert len(measured["390"]["figures"][0]["rows"]) == 1


def test_hostile_text_does_nothing_in_a_browser(tmp_path: Path) -> None:
    text = page(sample.report()).replace("set 20", "&lt;script&gt;console.error(1)&lt;/script&gt;")
    measured = shown(tmp_path, text)
    assert measured["1200"]["scripts"] == 1


def test_the_console_of_the_browser_is_heard(tmp_path: Path) -> None:
    """The tests above would notice an error."""
    (tmp_path / "a.html").write_text("<script>undefined.it()</script>")
    assert "Cannot read properties" in "".join(
        console_of(browser(tmp_path, False, "--dump-dom", f"file://{tmp_path}/a.html"))
    )


@pytest.mark.parametrize("size", ["390,844", "1200,900"])
def test_a_picture_of_the_page_is_not_empty(written: Path, tmp_path: Path, size: str) -> None:
    browser(tmp_path, False, f"--window-size={size}", f"--screenshot={tmp_path / 'a.png'}", f"file://{written}/a.html")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_page_prints(written: Path, tmp_path: Path) -> None:
    browser(tmp_path, False, f"--print-to-pdf={tmp_path / 'a.pdf'}", f"file://{written}/a.html")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_a_report_tells_all_that_happened(written: Path) -> None:
    report = json.loads((written / "a.json").read_text())
    history, timeline = report["history"], report["history"]["timeline"]
    assert "--seed 5" in history["command"]
    assert history["process"]["seed"] == 5
    texts = [mark["text"] for mark in history["marks"]]
    assert texts[:3] == ["ping interval 100ms-300ms", "set 40", f"query 500 for 1s seed 7 name '{NAME}'"]
    assert [run["title"] for run in history["runs"]] == ["query", "query"]
    first, second = (run["figures"] for run in history["runs"])
    assert (first["due"], NAME in history["runs"][0]["settings"]) == (first["answered"], True)
    # The last sample is of the moment of the report, and its totals are those of the report.
    assert timeline["held"][-1] == report["held"]
    assert timeline["established"][-1] == report["established"]
    assert timeline["queries_answered"][-1] == first["answered"] + second["answered"]
    assert {reason: counts[-1] for reason, counts in timeline["failures"].items()} == report["failures"]
    assert report["failures"]["refused"] >= 1
    assert max(timeline["asked"]) == 41
    assert {len(values) for values in timeline.values() if isinstance(values, list)} == {len(timeline["time"])}
    assert [(row["name"], row["kind"], row["count"]) for row in report["latencies"]] == [
        (curve["name"], curve["kind"], curve["count"]) for curve in history["curves"]
    ]
    for row, curve in zip(report["latencies"], history["curves"], strict=True):
        assert curve["points"][-1][1] == pytest.approx(row["highest"])


def test_runs_of_every_kind_are_in_the_timeline_with_their_numbers(of_every_kind: Path) -> None:
    history = json.loads((of_every_kind / "a.json").read_text())["history"]
    timeline, runs = history["timeline"], {run["title"]: run["figures"] for run in history["runs"]}
    assert list(runs) == ["query", "send", "churn", "saturate", "bench", "find"]
    assert timeline["queries_answered"][-1] == runs["query"]["answered"] > 0
    assert timeline["messages_sent"][-1] == runs["send"]["sent"] > 100
    assert timeline["messages_answered"][-1] == runs["send"]["answered"] > 100
    rows = [*runs["churn"]["rows"], *runs["saturate"]["rows"]]
    assert timeline["transactions_completed"][-1] == sum(row["completed"] for row in rows) >= 75
    failed: dict[str, int] = {}
    for row in rows:
        for reason, count in {**row["failed"], "stopped": row["stopped"], "not begun in time": row["unbegun"]}.items():
            failed[reason] = failed.get(reason, 0) + count
    told = {reason: counts[-1] for reason, counts in timeline["transactions_failed"].items()}
    assert told == {reason: count for reason, count in failed.items() if count}
    for name in ("queries_asked_rate", "messages_asked_rate", "query_p95", "message_p95"):
        assert any(timeline[name]), name


def test_what_is_shown_of_a_run_is_what_was_counted(of_every_kind: Path) -> None:
    runs = embedded((of_every_kind / "a.html").read_text())["history"]["runs"]
    tables = {run["title"]: run["table"]["rows"] for run in runs}
    figures = {run["title"]: run["figures"] for run in runs}
    for name in ("query", "send"):
        (row,) = tables[name]
        assert {column: figures[name][column] for column in ("due", "answered")} == {
            column: row[column] for column in ("due", "answered")
        }
    for name in ("churn", "saturate"):
        assert [row["completed"] for row in tables[name]] == [row["completed"] for row in figures[name]["rows"]]
    assert [row["asked/s"] for row in tables["churn"]] == ["50.0", "100.0"]
    assert [row["answered"] for row in tables["bench"]] == [50, 50, 50]
    assert figures["bench"]["settings"]["message"] == "hello you"
    settings = {run["title"]: run["settings"] for run in runs}
    assert settings["bench"] == "3 rounds of 50 sessions, message 'hello you'"
    assert settings["find"] == "sessions, limit 30, for 0.5s"
    assert tables["find"][0]["tried"] == figures["find"]["tried"] == 30
    for row in (row for rows in tables.values() for row in rows):
        assert len(row) <= 10


def test_the_last_bench_and_search_are_printed(of_every_kind: Path) -> None:
    printed = (of_every_kind / "printed").read_text()
    assert "Echoes verified          : 150 of 150" in printed
    assert "Sessions the path takes  : at least 30" in printed
    assert "Saturated                : not yet" in printed


def test_each_run_that_is_printed_has_its_own_settings(of_every_kind: Path) -> None:
    """Those of the one that began last are not taken for another's."""
    settings = json.loads((of_every_kind / "a.json").read_text())["settings"]
    printed = (of_every_kind / "printed").read_text()
    assert set(settings) == {"send", "saturate", "bench", "find"}
    for name, title in (("send", "Messages"), ("saturate", "Saturate"), ("bench", "Bench"), ("find", "Find")):
        assert f"\n{title} ({settings[name]}):" in printed
    assert settings["saturate"].endswith("seed 7")
    assert settings["find"] == "sessions, limit 30, for 0.5s"


def test_a_page_of_every_kind_fits_the_screen(of_every_kind: Path, tmp_path: Path) -> None:
    measured = shown(tmp_path, (of_every_kind / "a.html").read_text())
    for width in ("390", "1200"):
        seen = measured[width]
        assert seen["wide"] <= seen["room"] == int(width)
        titles = {figure["title"] for figure in seen["figures"]}
        assert {"Queries", "Messages", "Short sessions", "Latency of messages over time"} <= titles
        for figure in seen["figures"]:
            _is_drawn(figure, int(width))


def test_the_page_has_the_figures_of_the_json(written: Path) -> None:
    """It is written a moment later: what went before is the same."""
    report, later = json.loads((written / "a.json").read_text()), embedded((written / "a.html").read_text())
    assert later.keys() == report.keys()
    assert later["history"]["runs"] == report["history"]["runs"]
    assert later["history"]["marks"][: len(report["history"]["marks"])] == report["history"]["marks"]
    before = len(report["history"]["timeline"]["time"]) - 1
    for name, values in report["history"]["timeline"].items():
        if isinstance(values, list):
            assert later["history"]["timeline"][name][:before] == values[:before]


def test_what_is_printed_has_no_history(free_ports: FreePorts) -> None:
    with Daemon("initiator", "--target", f"127.0.0.1:{free_ports(1)}") as front:
        report = front.ask("report --json")
        assert report["history"] is None
        assert report["seconds"] > 0, "without a run the traffic is that since the start"


@pytest.mark.parametrize("seed", [(), ("--seed", "12"), ("--seed=12",)])
def test_the_command_line_repeats_the_draws(free_ports: FreePorts, tmp_path: Path, seed: tuple[str, ...]) -> None:
    target = f"127.0.0.1:{free_ports(1)}"
    with Daemon("initiator", "--target", target, *seed) as front:
        output, _, code = front.end(f"report {tmp_path / 'a.json'}")
        assert (output, code) == (f"{tmp_path / 'a.json'} written\n", 0)
    history = json.loads((tmp_path / "a.json").read_text())["history"]
    drawn = history["process"]["seed"]
    again = " ".join(seed) or f"--seed {drawn}"
    assert history["command"] == f"sessioner_initiator --target {target} {again}"
    assert drawn == 12 or not seed


def test_a_picture_is_drawn_while_the_prompt_goes_on(free_ports: FreePorts, tmp_path: Path) -> None:
    with initiator(free_ports(1)) as front:
        front.send(f"plot {tmp_path / 'a.png'} held", f"plot {tmp_path / 'a.svg'}", f"plot {tmp_path / 'a.gif'}")
        assert front.line() == f"{tmp_path / 'a.png'} written"
        assert front.line() == f"{tmp_path / 'a.svg'} written"
        output, errors, code = front.end()
        assert code == 2
        assert f"plot: {tmp_path / 'a.gif'} ends with none of .png or .svg" in output + errors
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
