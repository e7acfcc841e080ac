"""Reads the aggregation block without running it: Flower's old and new spellings to today's names.

Sources: the constructors of ``flwr.server.strategy`` from 0.15 to 1.x and of
``flwr.serverapp.strategy`` (1.21 and later).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from nbfed_site.contracts import Scalar

from .parsing import call_name, literal, place_of
from .shapes import Place, RoundsRead, Statement, StrategyRead

STRATEGIES: Mapping[str, str] = {
    "FedAvg": "fedavg",
    "FedProx": "fedprox",
    "FedAdam": "fedadam",
    "FedYogi": "fedyogi",
    "FedAvgM": "fedavgm",
    "FedTrimmedAvg": "trimmed_mean",
    "FedMedian": "median",
    "FaultTolerantFedAvg": "fedavg",
    "DefaultStrategy": "fedavg",
}
RENAMED: Mapping[str, str] = {
    "fraction_fit": "fraction_train",
    "fraction_eval": "fraction_evaluate",
    "min_fit_clients": "min_train_nodes",
    "min_eval_clients": "min_evaluate_nodes",
    "min_evaluate_clients": "min_evaluate_nodes",
    "min_available_clients": "min_available_nodes",
}
SETTINGS = frozenset(
    """fraction_train fraction_evaluate min_train_nodes min_evaluate_nodes min_available_nodes proximal_mu
    eta eta_l beta_1 beta_2 tau server_learning_rate server_momentum beta""".split()  # noqa: SIM905
)
_POSITIONS = tuple(
    """fraction_train fraction_evaluate min_train_nodes min_evaluate_nodes min_available_nodes""".split()  # noqa: SIM905
)
_ROUNDS = ("num_rounds", "rounds")


def read_strategy(statements: Sequence[Statement]) -> StrategyRead | None:
    """The strategy given by the name ``strategy``, else the last one made anywhere, else None."""
    constants = literals(statements)
    calls = [(s, call) for s in statements for call in _calls(s.node) if _is_strategy(call)]
    named = [(s, call) for s, call in calls if "strategy" in s.defines]
    chosen = (named or calls)[-1:]
    for statement, call in chosen:
        return _translated(call, statement.place.cell, constants)
    for statement in reversed(statements):
        if "strategy" in statement.defines and isinstance(statement.node, ast.Assign):
            value = statement.node.value
            if isinstance(value, ast.Call):
                return StrategyRead("", call_name(value), place_of(value, statement.place.cell))
    return None


def read_rounds(statements: Sequence[Statement]) -> RoundsRead | None:
    """The number of rounds from ``config``, a ``ServerConfig`` or a ``start_server`` call."""
    constants = literals(statements)
    found: list[RoundsRead] = []
    for statement in statements:
        for node in ast.walk(statement.node):
            values = [value for key, value in _pairs(node) if key in _ROUNDS]
            found += [RoundsRead(_whole(v, constants), place_of(v, statement.place.cell)) for v in values]
    return found[-1] if found else None


def _pairs(node: ast.AST) -> list[tuple[str | None, ast.expr]]:
    """Names and values of a ``ServerConfig`` call or of a dictionary."""
    if isinstance(node, ast.Dict):
        return [(str(getattr(k, "value", "")), v) for k, v in zip(node.keys, node.values, strict=True)]
    name = call_name(node).split(".")[-1]
    if not isinstance(node, ast.Call) or name not in ("ServerConfig", "dict"):
        return []
    first: list[tuple[str | None, ast.expr]] = [("num_rounds", arg) for arg in node.args[:1]]
    return [*(first if name == "ServerConfig" else []), *((k.arg, k.value) for k in node.keywords)]


def read_message_length(statements: Sequence[Statement]) -> Place | None:
    """Where ``grpc_max_message_length`` is set, as a name or an argument."""
    for statement in statements:
        for node in ast.walk(statement.node):
            if isinstance(node, ast.keyword) and node.arg == "grpc_max_message_length":
                return place_of(node.value, statement.place.cell)
            if isinstance(node, ast.Name) and node.id.lower() == "grpc_max_message_length":
                return place_of(node, statement.place.cell)
    return None


def literals(statements: Iterable[Statement]) -> dict[str, object]:
    """Top-level names whose last binding is a literal."""
    values: dict[str, object] = {}
    for statement in statements:
        for name in statement.defines:
            values.pop(name, None)
        match statement.node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        try:
            values[name] = literal(value)
        except ValueError:
            continue
    return values


def _calls(node: ast.stmt) -> Iterable[ast.Call]:
    return (n for n in ast.walk(node) if isinstance(n, ast.Call))


def _is_strategy(call: ast.Call) -> bool:
    name = call_name(call)
    return name.split(".")[-1] in STRATEGIES or ".strategy." in f".{name}"


def _translated(call: ast.Call, cell: int, constants: Mapping[str, object]) -> StrategyRead:
    written = call_name(call)
    name = STRATEGIES.get(written.split(".")[-1], "")
    settings: dict[str, Scalar] = {}
    places: dict[str, Place] = {}
    unread: list[str] = []
    ignored: list[str] = []
    pairs: list[tuple[str, ast.expr]] = list(zip(_POSITIONS, call.args, strict=False))
    pairs += [(k.arg, k.value) for k in call.keywords if k.arg]
    for given, node in pairs:
        setting = RENAMED.get(given, given)
        if setting not in SETTINGS:
            ignored.append(given)
            continue
        places[setting] = place_of(node, cell)
        value = _number(node, constants)
        if value is None:
            unread.append(given)
        else:
            settings[setting] = value
    return StrategyRead(name, written, place_of(call, cell), settings, places, tuple(unread), tuple(ignored))


def _number(node: ast.expr, constants: Mapping[str, object]) -> int | float | None:
    """The number that ``node`` is: literals, names of literal globals and arithmetic on them."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            known = constants.get(name)
            return known if isinstance(known, int | float) and not isinstance(known, bool) else None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(operand, constants)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(_number(left, constants), op, _number(right, constants))
    return None


def _arithmetic(left: int | float | None, op: ast.operator, right: int | float | None) -> int | float | None:
    if left is None or right is None:
        return None
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div() if right:
            return left / right
    return None


def _whole(node: ast.expr, constants: Mapping[str, object]) -> int | None:
    value = _number(node, constants)
    return int(value) if value is not None and value == int(value) else None
