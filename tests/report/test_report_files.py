"""The three files: complete, self-contained, escaped, and the same for the same record."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import StorageFull
from notebook_federator.report import RunRecord, plot, write_report

Value = dict[str, Any]
HOSTILE = '<script>alert("x")</script> & \'a|b`*_[c](http://evil.example)'


class Page(HTMLParser):
    """Collects what a page holds, and checks that elements are closed in order."""

    VOID = ("meta", "link", "br", "hr", "!doctype")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(value: Value, folder: Path) -> tuple[str, str, Value]:
    files = write_report(RunRecord.from_json(value), folder)
    return files.html.read_text(), files.markdown.read_text(), json.loads(files.json.read_text())


def test_the_same_record_gives_the_same_bytes(heart: Value, tmp_path: Path) -> None:
    source = (
        "import json, sys; from pathlib import Path; from notebook_federator.report import *;"
        "write_report(RunRecord.from_json(json.load(sys.stdin)), Path(sys.argv[1]))"
    )
    write_report(RunRecord.from_json(heart), tmp_path / "a")
    command = [sys.executable, "-c", source, str(tmp_path / "b")]
    subprocess.run(command, input=json.dumps(heart), text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_page_asks_the_network_for_nothing(heart: Value, tmp_path: Path) -> None:
    page = Page(report(heart, tmp_path)[0])
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "form", "base", "use")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value == "data:," or str(value).startswith("#")
    style = (tmp_path / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(item["content"] for item in page.all("meta") if item.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_links_lead_somewhere_and_ids_are_unique(heart: Value, tmp_path: Path) -> None:
    page = Page(report(heart, tmp_path)[0])
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    targets = {str(item["href"])[1:] for item in page.all("a")}
    assert targets <= set(identities)
    assert {"shared", "own", "curves", "confusion", "data", "rounds", "releases", "notes"} <= targets


def test_the_page_is_readable_without_eyes(heart: Value, tmp_path: Path) -> None:
    page = Page(report(heart, tmp_path)[0])
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(item.get("scope") in ("col", "row") for item in page.all("th"))
    for item in page.all("svg"):
        assert item.get("aria-hidden") == "true" or (item["role"] == "img" and item["aria-label"])


def test_the_page_shows_the_numbers(heart: Value, tmp_path: Path) -> None:
    html, _, document = report(heart, tmp_path)
    text = " ".join(Page(html).text)
    for row in document["rows"]:
        for score in row["scores"].values():
            shown = "n/a" if score["value"] is None else f"{score['value']:.3f}"
            assert shown in text
    for digest in heart["digests"].values():
        assert digest in text
    for part in ("no heartbeat for 20 s", "3.48 kB", "Wilson", heart["command"], "199 samples"):
        assert part in text


def test_untrusted_names_stay_text(heart: Value, tmp_path: Path) -> None:
    spoiled = json.loads(json.dumps(heart).replace("cleveland", json.dumps(HOSTILE)[1:-1]))
    spoiled.update(notebook=HOSTILE, run=HOSTILE, warnings=[HOSTILE])
    for item in spoiled["evaluations"]:
        item["evaluation"]["labels"] = [HOSTILE, "</style><b>"]
    html, markdown, _ = report(spoiled, tmp_path)
    page = Page(html)
    assert not page.all("script")
    assert HOSTILE in "".join(page.text)
    assert {str(item["href"])[0] for item in page.all("a")} == {"#"}
    prose = re.sub(r"(?m)^    .*$", "", markdown)
    assert not re.search(r"(?<!\\)<", prose)
    assert not re.search(r"(?<!\\)\]\(", prose)


def test_markdown_tables_are_rectangular(heart: Value, tmp_path: Path) -> None:
    spoiled = json.loads(json.dumps(heart).replace("cleveland", "a|b\\n| c"))
    markdown = report(spoiled, tmp_path)[1]
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) > 40
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {9, 8}
    assert "| Federation | 254 | 0.748 (0.667–0.815) |" in markdown


def test_the_json_holds_the_record_and_no_infinity(heart: Value, tmp_path: Path) -> None:
    record = RunRecord.from_json(heart)
    odd = [
        replace(item, evaluation=replace(item.evaluation, metrics={"loss": value}))
        for item, value in zip(record.evaluations, (math.nan, math.inf), strict=False)
    ]
    record = replace(record, evaluations=(*odd, *record.evaluations[2:]))
    text = write_report(record, tmp_path).json.read_text()
    document = json.loads(text, parse_constant=pytest.fail)
    assert document["record"]["evaluations"][0]["evaluation"]["metrics"]["loss"] is None
    assert document["record"]["settings"] == heart["settings"]
    assert len(document["rows"]) == 30


@pytest.mark.parametrize("missing", ["evaluations", "rounds", "sites"])
def test_a_run_that_hardly_began_has_a_report(heart: Value, tmp_path: Path, missing: str) -> None:
    heart[missing] = []
    heart["state"] = "failed"
    page = Page(report(heart, tmp_path)[0])
    assert "The run failed" in " ".join(page.text)
    assert plot(RunRecord.from_json(heart)) is not None


def test_one_round_and_one_site_have_a_report(heart: Value, tmp_path: Path) -> None:
    heart["sites"] = heart["sites"][:1]
    heart["rounds"] = []
    heart["evaluations"] = [
        item for item in heart["evaluations"] if item["round"] == 0 and item["site"] == "cleveland"
    ]
    text = " ".join(Page(report(heart, tmp_path)[0]).text)
    assert "The federation reached an accuracy of" in text


def test_no_room_for_the_report_is_said(heart: Value, tmp_path: Path) -> None:
    source = (
        "import json, resource, sys; from pathlib import Path; from notebook_federator.report import *\n"
        "from nbfed_site.contracts import StorageFull\n"
        "record = RunRecord.from_json(json.load(sys.stdin))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_report(record, Path(sys.argv[1]))\n"
        "except StorageFull as error: print(error.code)\n"
    )
    command = [sys.executable, "-c", source, str(tmp_path)]
    done = subprocess.run(command, input=json.dumps(heart), text=True, check=True, capture_output=True)
    assert done.stdout.strip() == StorageFull.code
    assert list(tmp_path.iterdir()) == []


def test_the_figure_has_intervals_and_curves(heart: Value) -> None:
    figure = plot(RunRecord.from_json(heart))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        "Accuracy, shared test set",
        "F1, shared test set",
        "Sensitivity, shared test set",
        "Loss by round",
        "Accuracy by round",
        "F1 by round",
    ]
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert marks == [pytest.approx(184 / 254), pytest.approx(191 / 254)]


def test_the_report_is_cheap_to_import() -> None:
    code = (
        "import sys, notebook_federator.report;"
        "print(sorted({'matplotlib', 'torch', 'numpy', 'flwr', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
