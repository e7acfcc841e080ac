"""What analysis finds in a notebook: statements, imports, blocks, strategy; frozen values only."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nbfed_site.contracts import Scalar

from ..notebook import Notebook, Role
from .effects import Body

if TYPE_CHECKING:
    from .flow import Flow

Rule = Literal["bare name", "cell mark", "suggestion"]
Framework = Literal["torch", "keras", "sklearn", "unknown"]


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one cell: lines 1-based and inclusive, columns 0-based in characters, end exclusive."""

    cell: int
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Import:
    """One name bound by an import, at any depth of the cells.

    ``import a.b as c`` has module ``a.b``, name None, bound ``c``; ``from a import b`` has module ``a``,
    name ``b``; ``from a import *`` has name ``*`` and bound ``*``. ``level`` counts leading dots.
    ``optional``: inside ``try`` with an ``except`` for ImportError.
    """

    module: str
    name: str | None
    bound: str
    level: int
    optional: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """One top-level statement of a code cell. Lines of ``node`` are those of its cell.

    Attributes:
        index: position among all top-level statements, in notebook order.
        place: from its first decorator to its last character.
        node: the syntax tree.
        defines: module-level names that it may bind.
        certain: those it surely binds.
        reads: names whose values it reads when it runs.
        deferred: names that functions and methods in it read when they are called.
        mutates: names whose objects it may change in place when it runs.
        writes: names that functions in it bind by ``global`` when they are called.
        calls: dotted names of what it calls when it runs (``torch.manual_seed``, ``df.head``).
        imports: what it imports, inside functions too.
        deletes: names that it unbinds with ``del``.
        body: its calls, aliases and functions.
    """

    index: int
    place: Place
    node: ast.stmt
    defines: frozenset[str] = frozenset()
    certain: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()
    mutates: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    imports: tuple[Import, ...] = ()
    deletes: frozenset[str] = frozenset()
    body: Body = field(default_factory=Body, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ParseError:
    """A cell that is not Python: the parser's message, where, and the line as written."""

    place: Place
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a block's function."""

    name: str
    kind: Literal["positional", "keyword", "args", "kwargs"]
    has_default: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """A block function's parameters (``self`` left out) and what it returns.

    ``returns`` has one entry for each ``return`` with a value: the source of each element of a returned
    tuple, or of the one value. Empty where it returns nothing.
    """

    params: tuple[Param, ...]
    returns: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """What plays one role.

    Attributes:
        role: data, model, train, test or aggregate (``skip`` only for marked cells).
        rule: how it was recognised.
        cells: numbers of its cells.
        name: the function, class or variable; None for marked cells.
        place: of the definition, or the first cell's first line.
        statements: indices of its statements.
        signature: of its function, or of ``Model.__init__``; None where unknown.
        template: whether it still is the unfilled template (nothing between the START and END marks).
        reason: plain words on why it was recognised.
    """

    role: Role
    rule: Rule
    cells: tuple[int, ...]
    name: str | None
    place: Place
    statements: tuple[int, ...] = ()
    signature: Signature | None = None
    template: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StrategyRead:
    """The aggregation block, translated without running it.

    ``name`` is one of the names that ``Manifest.strategy`` knows, or empty where it is none of them;
    ``written`` is the class as written (``fl.server.strategy.FedAvg``); ``settings`` uses today's names;
    ``arguments`` maps each setting to the place where it is written, for findings; ``unread`` names
    arguments whose values cannot be read without running code; ``ignored`` those with no meaning here.
    """

    name: str
    written: str
    place: Place
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    arguments: Mapping[str, Place] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundsRead:
    """``config = {"num_rounds": N}`` or ``ServerConfig(num_rounds=N)``; rounds None where unreadable."""

    rounds: int | None
    place: Place


@dataclass(frozen=True, slots=True)
class Requirement:
    """A distribution that the notebook needs.

    Attributes:
        distribution: name on a package index (``opencv-python``).
        specifier: ``==4.10.0``, what a pip line asks for, or empty.
        modules: import names that it serves; empty where only a pip line names it.
        source: ``environment`` (installed here), ``pip line``, ``known name`` or ``same name`` (a guess).
        place: of the first import or pip line.
    """

    distribution: str
    specifier: str
    modules: tuple[str, ...]
    source: Literal["environment", "pip line", "known name", "same name"]
    place: Place

    def __str__(self) -> str:
        return self.distribution + self.specifier


@dataclass(frozen=True, slots=True)
class LocalModule:
    """A helper module or package file beside the notebook. ``path`` is relative, with ``/``."""

    path: str
    module: str
    data: bytes
    imports: tuple[Import, ...] = ()


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A name that a block needs and that no cell, import or builtin defines."""

    name: str
    role: Role
    place: Place


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything known about a notebook without running it.

    Attributes:
        blocks: recognised by bare name or mark, in the order data, model, train, test, aggregate.
        suggestions: proposed blocks for roles that ``blocks`` lacks.
        skipped: numbers of cells marked ``skip``.
        strategy, rounds: from the aggregation block or a ``start_server`` call.
        grpc_max_message_length: where it is set; accepted and without meaning here.
        unresolved: names that blocks need and nothing defines.
        flow: the dataflow between the statements.
    """

    notebook: Notebook
    statements: tuple[Statement, ...]
    errors: tuple[ParseError, ...] = ()
    imports: tuple[Import, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    modules: tuple[LocalModule, ...] = ()
    blocks: tuple[Block, ...] = ()
    suggestions: tuple[Block, ...] = ()
    skipped: tuple[int, ...] = ()
    strategy: StrategyRead | None = None
    rounds: RoundsRead | None = None
    grpc_max_message_length: Place | None = None
    framework: Framework = "unknown"
    unresolved: tuple[Unresolved, ...] = ()
    flow: Flow | None = field(default=None, repr=False, compare=False)

    def block(self, role: Role) -> Block | None:
        """The recognised block that plays ``role``, or None."""
        return next((block for block in self.blocks if block.role == role), None)

    def source(self, place: Place) -> str:
        """The whole lines of the notebook at ``place``, as written."""
        lines = self.notebook.cell(place.cell).source.split("\n")
        return "\n".join(lines[place.line - 1 : max(place.end_line, place.line)])
