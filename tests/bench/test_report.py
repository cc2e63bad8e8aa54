"""The report in a real browser: nothing overflows, nothing is loaded, every plot is told in words.

Screenshots go to build/screenshots.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenward.bench.alternation import Spread
from tokenward.bench.purification_cell import Cell, GridSettings
from tokenward.bench.record import Metric, Record, Row, make_record, timed, write_record
from tokenward.bench.report import write_report
from tokenward.bench.report_charts import roc_points
from tokenward.bench.report_sections import headlines
from tokenward.cli import main
from tokenward.records import to_json

pytest.importorskip("jinja2")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDTHS = {"laptop": 1280, "phone": 360}
DEFENCES = {
    "tokenward fp32": 1.1,
    "tokenward int8": 0.8,
    "late fp32": 1.2,
    "X-GRAAD, PyTorch": 6.0,
    "STRIP | 8 copies": 19.0,
    "ONION": 240.0,
}
HOSTILE = "<script>alert(1)</script> cf | “quoted” & a-very-long-word-" + "x" * 90


def share(value: float) -> Metric:
    return Metric(value, max(value - 0.02, 0), min(value + 0.02, 1), "share", "lower")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """What a run of everything leaves behind, with odd names, a cell that was not run and scores of all sizes."""
    draw = np.random.default_rng(0)
    quality, overhead = [], []
    for attack in ("badnets", "addsent"):
        quality.append(Row({"attack": attack, "defence": "undefended"}, {"cacc": share(0.91), "asr": share(1.0)}))
        for number, defence in enumerate(DEFENCES):
            labels = {"attack": attack, "defence": defence}
            if defence == "ONION":
                quality.append(Row(labels, not_run="no language model was given"))
                continue
            quality.append(
                Row(
                    labels,
                    {"cacc": share(0.9), "asr": share(0.1 * number), "auc": share(0.99), "threshold": Metric(1.2)},
                    series={
                        "clean": (*draw.normal(0, 1, 150).tolist(), -1e9),
                        "triggered": tuple(draw.normal(3, 1, 90).tolist()),
                    },
                )
            )
    for batch in (1, 32):
        for defence, cost in {"bare ONNX Runtime": 1.0, **DEFENCES}.items():
            overhead.append(
                Row(
                    {"defence": defence, "mode": "enforce, cold", "batch": batch},
                    {"times_bare": timed(Spread(0.9 / cost, 1 / cost, 1.1 / cost), "×", "higher")},
                    {"copies": 8, "a setting": HOSTILE},
                    {"latency": tuple((cost * draw.gamma(9, 1, 40)).tolist())},
                )
            )
    scaling = [
        Row(
            {"defence": name, "axis": axis, "length": 32, "batch": 4, "layers": 6, axis: place},
            {"milliseconds": Metric(place * cost), "gflops": Metric(place * 0.1)},
        )
        for name, cost in (("plain forward pass", 1.0), ("tokenward", 0.8))
        for axis in ("length", "batch", "layers")
        for place in (2, 8, 512)
    ]
    scaling.append(Row({"defence": "tokenward", "fit": "length"}, {"exponent": Metric(1.0, 0.9, 1.1)}))
    pieces = [
        {"text": HOSTILE[:40], "heat": 0.9, "suspect": True},
        {"text": HOSTILE[40:], "heat": None, "suspect": False},
    ]
    example = {
        "attack": "badnets",
        "triggered": True,
        "truth": "a",
        "first": "b",
        "answer": "a",
        "action": "neutralised",
    }
    examples = {"examples": [{**example, "score": 2.5, "threshold": None, "pieces": pieces}]}
    odd = Row({"way": "HTTP", "clients": 8}, {"p50": Metric(12.5, unit="ms")})
    made = {"quality": quality, "overhead": overhead, "scaling": scaling, "triton": [odd]}
    found = [make_record(kind, rows, seed=0, hashes={"texts": "ab" * 32}) for kind, rows in made.items()]
    ran = Row({"example": 0}, {"answered_rightly": Metric(1)})
    return [*found, make_record("examples", [ran], seed=0, hashes={}, content=examples)]


@pytest.fixture(scope="module")
def page_file(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = [Cell("badnets", "mbtsad", guarded, 0.9, 0.1, 0.05, 1.0, GridSettings()) for guarded in (False, True)]
    cells.append(Cell("badnets", "btu", True, 0.9, 0.1, 0.05, 1.0, GridSettings()))
    page, summary = write_report(records, tmp_path_factory.mktemp("report") / "report.html", HOSTILE, cells)
    assert summary.name == "report.md"
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


OVERFLOWING = """() => {
  const scrolls = e => e.closest('.wide') !== null && !e.classList.contains('wide');
  const wide = [...document.querySelectorAll('body *')].filter(
    e => !scrolls(e) && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  const cut = [...document.querySelectorAll('svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(t => {
      const box = t.getBoundingClientRect();
      return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
    });
  });
  return [...wide, ...cut].map(e => e.tagName + ' ' + e.textContent.slice(0, 60));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_in_a_browser(page_file: Path, browser: Any, device: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[device], "height": 800}, color_scheme=scheme)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: None if request.url == page_file.as_uri() else troubles.append(request.url))
    page.goto(page_file.as_uri())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{device}-{scheme}.png", full_page=True)
    assert page.title() == HOSTILE
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    plots = page.locator("svg")
    assert plots.count() == 2 + 2 + 2 + 2 + 10 + 3  # scatter, bars, latencies, ROC, histograms, scaling
    for number in range(plots.count()):
        assert plots.nth(number).get_attribute("role") == "img"
        assert len(plots.nth(number).get_attribute("aria-label") or "") > 40
    context.close()
    assert troubles == []


def test_in_print(page_file: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # an A4 sheet without its margins
    assert page.evaluate(OVERFLOWING) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf(path=SCREENSHOTS / "report.pdf", prefer_css_page_size=True)
    page.close()


def test_a_cell_that_was_not_run_says_so(page_file: Path) -> None:
    assert page_file.read_text().count("not run: no language model was given") == 2
    summary = page_file.with_suffix(".md").read_text()
    assert summary.count("not run: no language model was given") == 2
    assert "\\|" in summary  # a bar inside a cell does not end it


def test_rows_are_as_wide_as_their_heads(page_file: Path) -> None:
    for table in re.findall(r"<table>.*?</table>", page_file.read_text(), re.DOTALL):
        head, *rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
        spans = [
            len(re.findall(r"<t[hd]\b", row)) + sum(int(n) - 1 for n in re.findall(r'colspan="(\d+)"', row))
            for row in (head, *rows)
        ]
        assert len(set(spans)) == 1


def test_headlines_are_the_figures_of_the_first_artifact(records: list[Record]) -> None:
    assert [(h.what.partition(":")[0], h.figure) for h in headlines(records)] == [
        ("badnets", "100.0% → 0.0%"),
        ("addsent", "100.0% → 0.0%"),
        ("Accuracy on clean texts", "91.0% → 90.0%"),
        ("Time, bare ONNX Runtime = 1", "× 1.10"),
    ]


def test_one_record_alone_makes_a_page(records: list[Record], tmp_path: Path) -> None:
    for record in records:
        page, _ = write_report([record], tmp_path / f"{record.kind}.html", "Alone")
        assert record.kind in page.read_text().lower()


@pytest.mark.parametrize(
    ("clean", "triggered", "area"), [([0, 1, 2], [3, 4], 1.0), ([3, 4], [0, 1], 0.0), ([0, 1], [0, 1], 0.5)]
)
def test_the_curve_has_the_area_of_its_pairs(clean: list[float], triggered: list[float], area: float) -> None:
    x, y = np.array(roc_points(clean, triggered)).T
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(area)


def test_the_command(records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_record(record, tmp_path / "records" / f"{record.kind}.json") for record in records]
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps(to_json([Cell("ep", "btu", False, 0.9, 0.1, 0.05, 1.0, GridSettings())])))
    for arguments, code in (
        ([files[0].parent, "--out", tmp_path / "a.html", "--purification", grid], 0),
        ([files[0], "--out", tmp_path / "b.pdf"], 2),
        ([grid, "--out", tmp_path / "c.html"], 2),
        ([files[0], "--out", tmp_path / "d.html", "--purification", files[0]], 2),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "report", *map(str, arguments)])
        assert (exit_.value.code or 0) == code
    assert "btu" in (tmp_path / "a.html").read_text()
    assert not (tmp_path / "d.html").exists()
    told = " ".join(capsys.readouterr().err.split())
    assert "ends in .html" in told
    assert "is no result record" in told
    assert "give the .json that 'tokenward evaluate' wrote" in told


def test_the_command_needs_no_pytorch(records: list[Record], tmp_path: Path) -> None:
    write_record(records[0], tmp_path / "quality.json")
    program = (
        "import sys; sys.modules.update(torch=None, transformers=None); "
        "from tokenward.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "bench", "report", tmp_path / "quality.json", "--out"]
    subprocess.run([*command, tmp_path / "report.html"], check=True)
    assert (tmp_path / "report.html").exists()
