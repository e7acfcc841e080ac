"""The reference page holds every rule, in the words of the rule."""

import re
from pathlib import Path

from notebook_federator.findings import LEVELS, LOCK_RULES, RULES, reference

DOCUMENTED = (*RULES, *LOCK_RULES)


def test_codes_are_unique_and_in_order() -> None:
    codes = [rule.code for rule in DOCUMENTED]
    assert len(set(codes)) == len(codes)
    assert re.findall(r"^## (NF\d+)", reference(DOCUMENTED), re.MULTILINE) == sorted(codes)
    assert all(re.fullmatch(r"NF1\d\d", code) for code in codes)


def test_every_rule_says_why_gives_an_example_and_what_to_do() -> None:
    for rule in DOCUMENTED:
        assert rule.title
        assert rule.why.endswith(".")
        assert rule.example
        assert rule.remedy
        assert rule.levels
        assert set(rule.levels) <= set(LEVELS)


def test_the_page_is_up_to_date(repository: Path) -> None:
    page = repository / "docs" / "reference" / "findings.md"
    assert page.read_text(encoding="utf-8") == reference(DOCUMENTED), (
        "write it again: python tests/findings/write_golden.py"
    )
