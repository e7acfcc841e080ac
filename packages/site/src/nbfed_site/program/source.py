"""A slice folder, checked against its manifest and compiled by phase."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from ..contracts import PHASES, BadInput, Manifest, Phase, Scalar, SettingsInvalid, digest, rebuilt


@dataclass(frozen=True, slots=True)
class Slice:
    """A manifest and what each of its phases runs; line numbers are those of ``slice.py``."""

    manifest: Manifest
    code: Mapping[Phase, CodeType]


def read_slice(folder: Path) -> Slice:
    """Read ``slice.py`` and ``manifest.json`` of ``folder``.

    Raises:
        BadInput: a file is missing, is no manifest, or is not what the manifest's digests say.
    """
    try:
        manifest = rebuilt(Manifest, json.loads((folder / "manifest.json").read_bytes()))
        text = (folder / "slice.py").read_bytes()
        found = {name: digest((folder / name).read_bytes()) for name in manifest.modules}
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"The slice cannot be read ({type(error).__name__}).", where=str(folder)) from error
    if digest(text) != manifest.slice_digest or found != dict(manifest.modules):
        hint = "It was changed after it was cut from the notebook: cut or build it again."
        raise BadInput(
            "The slice's code is not the one that its manifest names.", where=str(folder), hint=hint
        )
    return Slice(manifest, _compile(text, str(folder / "slice.py"), manifest))


def parameter_values(manifest: Manifest, given: Mapping[str, Scalar]) -> dict[str, Scalar | None]:
    """A value for every parameter of the slice; ``given`` is keyed by name, or by meaning
    (``data_path``, ``epochs``).

    Raises:
        SettingsInvalid: the notebook has no such parameter.
    """
    values: dict[str, Scalar | None] = {}
    for parameter in manifest.parameters:
        value = given.get(parameter.name, given.get(parameter.meaning, parameter.default))
        if parameter.meaning == "data_path" and str(parameter.default).endswith("/"):
            value = str(value).rstrip("/") + "/"
        values[parameter.name] = value
    known = {parameter.name for parameter in manifest.parameters}
    known |= {parameter.meaning for parameter in manifest.parameters}
    if unknown := sorted(set(given) - known):
        hint = "Let the notebook read its data folder from a parameter, such as load_data(data_path)."
        raise SettingsInvalid(f"The notebook has no parameter {unknown[0]!r}.", hint=hint)
    return values


def _compile(text: bytes, path: str, manifest: Manifest) -> dict[Phase, CodeType]:
    """Code by phase. Literal defaults of parameters are left out: the site sets these names."""
    names = {parameter.name for parameter in manifest.parameters}
    bodies: dict[Phase, list[ast.stmt]] = {phase: [] for phase in PHASES}
    for statement in ast.parse(text, path).body:
        line = statement.lineno
        inside = [part.phase for part in manifest.sections if part.first_line <= line <= part.last_line]
        phase: Phase = inside[0] if inside else "setup"
        if phase != "setup" or not _is_default(statement, names):
            bodies[phase].append(statement)
    code: dict[Phase, CodeType] = {}
    flags, future = 0, annotations.compiler_flag
    for phase, body in bodies.items():
        code[phase] = compile(ast.Module(body, []), path, "exec", flags, dont_inherit=True)
        flags |= code[phase].co_flags & future
    return code


def _is_default(statement: ast.stmt, names: set[str]) -> bool:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            return name in names and not any(
                isinstance(node, ast.Name | ast.Call) for node in ast.walk(value)
            )
    return False
