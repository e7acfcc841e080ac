"""How findings look in a terminal and in JSON."""

import json
from collections.abc import Callable

from notebook_federator.findings import Finding, render, to_json
from notebook_federator.notebook import Notebook


def finding(line: int, column: int, end_column: int, cell: int = 1) -> Finding:
    return Finding("NF108", "warning", "It is so.", cell, line, column, end_column, "Do this.")


def test_caret_stands_under_the_place(build: Callable[[str], Notebook]) -> None:
    notebook = build("=== code\nx = 1\nnet.cuda()")
    assert render([finding(2, 4, 8)], notebook) == (
        "NF108 warning, cell 1, line 2: It is so.\n"
        "     2 | net.cuda()\n"
        "       |     ^^^^\n"
        "      next: Do this.\n"
        "\n"
        "1 warning.\n"
    )


def test_tabs_and_wide_characters_keep_the_caret_in_its_column(build: Callable[[str], Notebook]) -> None:
    lines = render([finding(1, 10, 13)], build('=== code\n\t名 = "é"; bad')).splitlines()
    assert lines[1].endswith('    名 = "é"; bad')
    assert lines[2] == "       | " + " " * (4 + 2 + 8) + "^^^"


def test_a_long_line_is_cut_to_a_window_around_the_place(build: Callable[[str], Notebook]) -> None:
    source = "x = [" + "1, " * 100 + "bad" + ", 2" * 100 + "]"
    column = source.index("bad")
    lines = render([finding(1, column, column + 3)], build(f"=== code\n{source}")).splitlines()
    assert all(len(line) < 130 for line in lines)
    assert lines[1][lines[2].index("^") :].startswith("bad")


def test_a_finding_about_the_whole_notebook_has_no_source_line(build: Callable[[str], Notebook]) -> None:
    text = render([finding(0, 0, 0, cell=0)], build("=== code\nx = 1"))
    assert text.splitlines()[:2] == ["NF108 warning, the notebook: It is so.", "      next: Do this."]


def test_a_place_beyond_the_cell_is_shown_without_source(build: Callable[[str], Notebook]) -> None:
    assert "^" not in render([finding(9, 0, 1)], build("=== code\nx = 1"))


def test_levels_are_counted_in_the_last_line(build: Callable[[str], Notebook]) -> None:
    found = [finding(1, 0, 1), finding(1, 0, 1), Finding("NF102", "error", "m", 0, 0, 0, 0, "n")]
    assert render(found, build("=== code\nx = 1")).endswith("\n\n1 error, 2 warnings.\n")
    assert render([], build("=== code\nx = 1")) == "No findings.\n"


def test_json_holds_every_field() -> None:
    assert json.loads(json.dumps(to_json([finding(2, 4, 8)]))) == [
        {
            "code": "NF108",
            "level": "warning",
            "message": "It is so.",
            "cell": 1,
            "line": 2,
            "column": 4,
            "end_column": 8,
            "next_step": "Do this.",
        }
    ]
