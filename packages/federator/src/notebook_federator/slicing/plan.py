"""What a slice will hold before it is laid out: pieces of cells and generated lines, by phase."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbfed_site.contracts import Parameter, Phase


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters ``column`` to ``end`` of one line of a cell, replaced in the slice."""

    line: int
    column: int
    end: int
    text: str


@dataclass(slots=True)
class Plan:
    """A slice in the making.

    Attributes:
        phases: phase of each statement carried, by index.
        before, after: generated lines of each phase, before and after its statements.
        parameters: what the federation sets.
        hidden: statements whose place a parameter or a generated line takes.
        edits: replacements inside statements, by index.
        why: reason that each statement is carried.
        names: names of each statement that others need.
        made: names that generated lines bind, with the function that makes them.
    """

    phases: dict[int, Phase] = field(default_factory=dict)
    before: dict[Phase, list[str]] = field(default_factory=dict)
    after: dict[Phase, list[str]] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    edits: dict[int, list[Edit]] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    names: dict[int, set[str]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    @property
    def visible(self) -> list[int]:
        """Indices of statements that the slice shows, in notebook order."""
        return [index for index in sorted(self.phases) if index not in self.hidden]
