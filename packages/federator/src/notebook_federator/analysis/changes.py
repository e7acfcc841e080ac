"""What a call changes, followed through the notebook's own functions, classes and methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .effects import RETURNED, Body, CallSite, Function, Root
from .habits import ARGUMENT_METHODS, CHANGING_FUNCTIONS, changes_receiver, is_inert, is_setting

Functions = tuple[Function, ...]


@dataclass(slots=True)
class Change:
    """Names whose objects change, names bound by ``global``, and settings of libraries, by module name."""

    mutated: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the names at one point of the notebook.

    Attributes:
        modules: names bound by imports.
        direct: functions and classes that a name stands for itself (``def``, ``class``).
        held: functions that the value of a name may hold, itself included.
        methods: all functions and methods of the notebook by their own name.
    """

    modules: frozenset[str]
    direct: Mapping[str, Functions]
    held: Mapping[str, Functions]
    methods: Mapping[str, Functions]


class Follower:
    """Answers what running a body changes, given what is known where it runs."""

    def __init__(self, known: Knowledge) -> None:
        self.known = known
        self._done: dict[int, Change] = {}

    def changes(self, body: Body, shadow: frozenset[str] = frozenset()) -> Change:
        """What running ``body`` changes; names in ``shadow`` are not those of the module."""
        change = Change(set(body.mutated))
        for site in body.sites:
            self._site(site, shadow, change)
        self._spread(body, shadow, change)
        return change

    def is_local(self, name: str) -> bool:
        """Whether ``name`` may be or hold code of the notebook itself."""
        return bool(self.known.held.get(name))

    def passes(self, root: Root, shadow: frozenset[str] = frozenset()) -> bool:
        """Whether the guards of ``root`` hold here."""
        return all(guard in shadow or self.is_local(guard) for guard in root.guards)

    def _spread(self, body: Body, shadow: frozenset[str], change: Change) -> None:
        waiting = list(change.mutated)
        while waiting:
            for root in body.aliases.get(waiting.pop(), ()):
                if root.name not in change.mutated and self.passes(root, shadow):
                    change.mutated.add(root.name)
                    waiting.append(root.name)

    def _function(self, function: Function) -> Change:
        """What calling ``function`` changes, under the names of its own scope."""
        key = id(function)
        if key not in self._done:
            self._done[key] = Change()
            change = self.changes(function.body, function.local | function.outer)
            change.written |= function.module & _bound(function)
            for inner in function.body.functions:
                own = self._function(inner)
                change.written |= own.written
                change.mutated |= own.mutated - inner.local
            self._done[key] = change
        return self._done[key]

    def _site(self, site: CallSite, shadow: frozenset[str], change: Change) -> None:
        self._called_back(site, shadow, change)
        head = site.callee[0]
        known = self.known
        if head and head not in shadow and head in known.modules:
            _library(site, change)
        elif len(site.callee) == 1:
            self._plain(site, shadow, change)
        else:
            self._method(site, change)

    def _plain(self, site: CallSite, shadow: frozenset[str], change: Change) -> None:
        name = site.callee[0]
        if name not in shadow and name in self.known.direct:
            for function in self.known.direct[name]:
                if not function.nested and function.owner is None:
                    self._given(function, site, change, skip=0)
                elif function.name in ("__init__", "__post_init__", "__new__"):
                    self._given(function, site, change, skip=1)
        elif name not in shadow and self.is_local(name):
            for function in self.known.held[name]:
                own = self._given(function, site, change, skip=0 if function.owner is None else 1)
                itself = function.name in ("__call__", "forward") and own.mutated & set(function.params[:1])
                if itself or (function.nested and own.mutated - function.local):
                    change.mutated.add(name)
        elif name in CHANGING_FUNCTIONS or (site.statement and not is_inert(name)):
            change.mutated |= _names(site)

    def _method(self, site: CallSite, change: Change) -> None:
        name = site.callee[-1]
        receivers = {root.name for root in site.receiver}
        for function in self.known.methods.get(name, ()):
            if function.owner is not None and function.params:
                own = self._given(function, site, change, skip=1)
                if function.params[0] in own.mutated:
                    change.mutated |= receivers
        if name not in self.known.methods and changes_receiver(name, statement=site.statement):
            change.mutated |= receivers
        if site.statement and name in ARGUMENT_METHODS:
            change.mutated |= _names(site)

    def _given(self, function: Function, site: CallSite, change: Change, skip: int) -> Change:
        """Add what calling ``function`` with the site's arguments changes."""
        own = self._function(function)
        change.written |= own.written
        change.settings |= own.settings
        outside = own.mutated - function.local - function.outer
        change.mutated |= outside
        params = function.params[skip:]
        for position, (keyword, roots) in enumerate(site.args):
            name = keyword or (params[min(position, len(params) - 1)] if params else "")
            if name in own.mutated:
                change.mutated |= {root.name for root in roots}
        return own

    def _called_back(self, site: CallSite, shadow: frozenset[str], change: Change) -> None:
        """Functions given as arguments may be called, as by ``map`` or ``model.apply``."""
        if is_inert(site.callee[-1]):
            return
        names = {root.name for _, roots in site.args for root in roots if not root.guards} - shadow
        for function in (f for name in sorted(names) for f in self.known.held.get(name, ())):
            own = self._function(function)
            change.written |= own.written
            change.mutated |= own.mutated - function.local - function.outer


def _library(site: CallSite, change: Change) -> None:
    """A call through an imported name."""
    name = site.callee[-1]
    if is_setting(name):
        if not site.looped:
            change.settings.add(site.callee[0])
        return
    if len(site.callee) > 2 and changes_receiver(name, statement=False):
        change.mutated.add(
            ".".join(site.callee[:2]) if site.callee[:2] == ("sys", "path") else site.callee[0]
        )
    inplace = name in CHANGING_FUNCTIONS or (name.endswith("_") and not name.startswith("_"))
    if inplace or (site.statement and not is_inert(name)):
        change.mutated |= _names(site)


def _names(site: CallSite) -> set[str]:
    return {root.name for _, roots in site.args for root in roots}


def escaping(function: Function) -> set[Root]:
    """Module-level names whose objects a call of ``function`` may return, yield, or keep in its object."""
    names = [RETURNED, *(function.params[:1] if function.owner else ())]
    found: set[Root] = set()
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        for root in function.body.aliases.get(name, ()):
            if root.name in function.local | function.outer:
                names.append(root.name)
            else:
                found.add(root)
    return found


def _bound(function: Function) -> set[str]:
    """Names that a function's own code assigns."""
    return set(function.body.aliases) | function.body.mutated


def all_functions(body: Body) -> Iterable[Function]:
    """Functions of ``body`` at any depth, outer before inner."""
    for function in body.functions:
        yield function
        yield from all_functions(function.body)
