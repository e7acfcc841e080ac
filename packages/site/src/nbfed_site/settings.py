"""What a site process is told: by a settings file, or by its kit and its operator."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from .contracts import BadInput, Manifest, ReleasePolicy, Scalar, SettingsInvalid, plain, rebuilt
from .kit import KitFolder
from .options import literals
from .scratch import Scratch

DATA = Path("/data")
NAME_IT = "Name it: sh site doctor /path/to/data (it is mounted: -v DIR:/data:ro)."
_MadeT = TypeVar("_MadeT")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings file: a JSON object with these keys, all paths absolute.

    Attributes:
        server: ``host:port`` or ``https://host:port``. name, key: the site's name and private key file.
        slice: the slice folder. receipts: the receipts file.
        root_certificates: PEM file of the server's authority; None without TLS.
        certificate: PEM file that shows the server who this site is; None where it asks for none.
        data_path: the site's data, where the notebook takes it as a parameter.
        parameters: other parameters by name. partition: fields of ``Partition``, to share the
            notebook's own data. policy: fields of ``ReleasePolicy``.
        contract: the data contract as JSON; none where empty.
        events: file that JSON lines are appended to, or the number of an inherited descriptor; with
            1, standard output is theirs alone, and what the notebook prints goes to standard error.
        give_up_seconds: end when the server was out of reach for so long; None: never.
        threads: processor threads for numerical libraries; None leaves them alone.
        parent_pipe: end when standard input closes, that is when the parent process is gone.
    """

    server: str
    name: str
    key: str
    slice: str
    receipts: str
    root_certificates: str | None = None
    certificate: str | None = None
    data_path: str | None = None
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    partition: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    contract: Mapping[str, Any] = field(default_factory=dict)
    events: str | int = os.devnull
    wire: Literal["fp32", "bf16"] = "fp32"
    threads: int | None = None
    heartbeat_seconds: float = 5.0
    give_up_seconds: float | None = None
    parent_pipe: bool = False


def read_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        BadInput: not a readable JSON object.
        SettingsInvalid: a key is missing or unknown.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"The settings cannot be read ({type(error).__name__}).", where=str(path)) from error
    return made(Settings, value)


def made(kind: type[_MadeT], fields: Mapping[str, Any]) -> _MadeT:
    """``kind`` with ``fields``.

    Raises:
        SettingsInvalid: a field is missing, unknown, or of another kind.
    """
    try:
        return rebuilt(kind, fields)
    except (TypeError, ValueError) as error:
        raise SettingsInvalid(f"The site's settings do not fit: {error}.") from error


def from_kit(options: Namespace, scratch: Scratch, manifest: Manifest, folder: KitFolder) -> Settings:
    """Settings of a container: from its kit; its own options may only be stricter.

    Raises:
        SettingsInvalid: an option makes no sense, or would let more out than the kit.
    """
    kit, data = folder.kit, data_folder(options.data, manifest)
    return Settings(
        server=kit.server,
        name=kit.site,
        key=str(scratch.key),
        slice=str(options.slice),
        receipts=str(scratch.receipts),
        root_certificates=str(folder.authority),
        certificate=str(scratch.certificate),
        data_path=str(data) if data else None,
        parameters=literals(dict(options.set)),
        partition=options.share,
        policy=plain(_own_policy(options, kit.policy)),
        contract=plain(kit.contract),
        wire=kit.wire,
        heartbeat_seconds=kit.heartbeat,
        give_up_seconds=options.give_up,
    )


def _own_policy(options: Namespace, floor: ReleasePolicy) -> ReleasePolicy:
    fewest = floor.min_examples if options.min_examples is None else options.min_examples
    own = replace(floor, min_examples=fewest, allow_messages=options.allow_messages)
    if floor.tightened(own) != own:
        what = "This site's own options may only be stricter than the federation's policy."
        hint = f"--min-examples is {floor.min_examples} or more"
        if not floor.allow_messages:
            hint += "; texts of errors may not leave (--allow-messages)"
        raise SettingsInvalid(what, hint=hint + ".")
    return own


def data_folder(asked: Path | None, manifest: Manifest) -> Path | None:
    """The folder that the notebook reads: the one asked for, else ``/data`` where that can be meant.

    Raises:
        SettingsInvalid: the one asked for is not there.
    """
    if asked is not None and not os.path.isdir(asked):  # a shut folder above it is no error of Python's
        raise SettingsInvalid("The data folder is not there, or shut.", where=str(asked), hint=NAME_IT)
    taken = any(item.meaning == "data_path" for item in manifest.parameters)
    return asked or (DATA if taken and os.path.isdir(DATA) else None)
