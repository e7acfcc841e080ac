"""All rules, in the order of their codes, and their run over one notebook."""

from __future__ import annotations

from ..analysis import Analysis
from ..notebook import Notebook
from .block_rules import BadMark, MissingBlock, NotCut, OnlySuggested, UnfilledTemplate, WrongSignature
from .facts import Cut, gather
from .module_rules import LocalHelper, UnknownVersion
from .path_rules import AbsolutePath, PathOutsideData
from .return_rules import OddMetric, UnreleasableReturn
from .shapes import LEVELS, Finding, Rule
from .site_rules import HardCodedCuda, NetworkUse, UncountedSamples
from .state_rules import HiddenState, NoSeed
from .strategy_rules import NeverTrains
from .syntax_rules import DoesNotParse, MagicAtSite, TopLevelAwait

RULES: tuple[Rule, ...] = (
    UnfilledTemplate(),
    MissingBlock(),
    WrongSignature(),
    HiddenState(),
    AbsolutePath(),
    LocalHelper(),
    NetworkUse(),
    HardCodedCuda(),
    NeverTrains(),
    DoesNotParse(),
    UnknownVersion(),
    UnreleasableReturn(),
    OddMetric(),
    NoSeed(),
    PathOutsideData(),
    MagicAtSite(),
    BadMark(),
    OnlySuggested(),
    TopLevelAwait(),
    NotCut(),
    UncountedSamples(),
)


def examine(
    notebook: Notebook, analysis: Analysis, sites: int | None = None, cut: Cut | None = None
) -> tuple[Finding, ...]:
    """What the author should know about ``notebook``, errors first, then by place and code.

    ``sites`` is how many sites the federation has, where known. ``cut`` cuts the slice: with it, rules look
    at what the slice really holds, and say why where none can be cut and no other rule does. Runs none of
    the notebook's code.
    """
    facts = gather(notebook, analysis, sites, cut)
    found = {finding for rule in RULES for finding in rule.check(facts)}
    if any(finding.level == "error" and finding.code != NotCut.code for finding in found):
        found = {finding for finding in found if finding.code != NotCut.code}
    return tuple(sorted(found, key=_order))


def _order(finding: Finding) -> tuple[int, int, int, int, str, str]:
    level = LEVELS.index(finding.level)
    return level, finding.cell, finding.line, finding.column, finding.code, finding.message
