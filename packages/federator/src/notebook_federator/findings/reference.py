"""The reference page of all findings, written from the rules themselves."""

from __future__ import annotations

from collections.abc import Sequence

from .shapes import Documented

_HEAD = """# Findings

`nbfed check` reports what it finds in a notebook under these codes, which never change their meaning.
An **error** keeps the notebook from being federated, a **warning** may make it fail or mislead at a site,
a **hint** only informs.

| Code | What | Level |
| --- | --- | --- |
"""


def reference(rules: Sequence[Documented]) -> str:
    """The text of docs/reference/findings.md, in the order of codes."""
    rules = sorted(rules, key=lambda rule: rule.code)
    rows = [
        f"| [{rule.code}](#{rule.code.lower()}) | {rule.title} | {', '.join(rule.levels)} |" for rule in rules
    ]
    return _HEAD + "\n".join(rows) + "\n" + "".join(_section(rule) for rule in rules)


def _section(rule: Documented) -> str:
    return (
        f"\n## {rule.code}\n\n**{rule.title}.** {rule.why}\n\n"
        f"Example:\n\n```python\n{rule.example}\n```\n\nWhat to do: {rule.remedy}\n"
    )
