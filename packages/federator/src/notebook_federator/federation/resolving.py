"""Options and the notebook's own wishes, resolved into the settings of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbfed_site.contracts import Manifest, Scalar, SettingsInvalid

from ..rounds.quorum import Quorum
from .settings import Member, Options, RunSettings

DEFAULT_ROUNDS = 3
DEFAULT_EPOCHS = 1
_SITE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def resolve(options: Options, manifest: Manifest, cores: int) -> RunSettings:
    """Settings from options first, then the notebook, then defaults; checked as a whole.

    Raises:
        SettingsInvalid: an option has no meaning, or the run could never train.
    """
    members = _members(options.sites)
    strategy = _strategy(options.strategy, manifest.strategy)
    settings = RunSettings(
        members=members,
        rounds=_first(options.rounds, manifest.rounds, DEFAULT_ROUNDS),
        epochs=_first(options.epochs, _default_epochs(manifest), DEFAULT_EPOCHS),
        quorum=_quorum(options.quorum, strategy),
        deadline=options.deadline,
        join_deadline=options.join_deadline,
        stragglers=options.stragglers,
        initial=_initial(options.initial),
        strategy=strategy,
        seed=options.seed,
        wire=options.wire,
        alone=options.alone,
        min_examples=options.min_examples,
        metrics=tuple(options.metrics),
        max_bytes=options.max_bytes,
        allow_messages=options.allow_messages,
        partition=_checked_partition(options.partition) if isinstance(options.sites, int) else None,
        port=options.port,
        parameters=_parameters(options.parameters, manifest),
        threads=max(1, cores // len(members)),
    )
    settings.for_rounds({})
    return settings


def _initial(path: Path | None) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        hint = "Name a model of an older run: runs/NAME/models/last.safetensors"
        raise SettingsInvalid("The model to begin from is not there.", where=str(path), hint=hint)
    return str(path.resolve())


def checked_name(name: str) -> str:
    """The name of a site, where it can be one.

    Raises:
        SettingsInvalid: it cannot.
    """
    if not _SITE_NAME.fullmatch(name):
        raise SettingsInvalid(
            f"{name!r} cannot be the name of a site.",
            hint="Use lower-case letters, digits and hyphens, for example hospital-a.",
        )
    return name


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _default_epochs(manifest: Manifest) -> int | None:
    found = (item.default for item in manifest.parameters if item.meaning == "epochs")
    return next((value for value in found if isinstance(value, int)), None)


def _members(sites: Mapping[str, Path] | Sequence[str] | int) -> tuple[Member, ...]:
    if isinstance(sites, int):
        if sites < 1:
            raise SettingsInvalid(f"{sites} sites cannot be federated.", hint="Ask for --sites 1 or more.")
        return tuple(Member(f"site-{number}", None) for number in range(1, sites + 1))
    for name in sites:
        checked_name(name)
    if not isinstance(sites, Mapping):
        return tuple(Member(name, None) for name in sorted(sites))
    for name, folder in sites.items():
        if not folder.is_dir():
            raise SettingsInvalid(
                f"The data folder of {name} is not there.", where=str(folder), hint="Check --site NAME=DIR."
            )
    return tuple(Member(name, str(sites[name].resolve())) for name in sorted(sites))


def _strategy(asked: str | None, notebook: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    if asked is None:
        if notebook.get("name") == "":  # never average in silence where the notebook asks for something else
            raise SettingsInvalid(
                f"The notebook asks for {notebook['written']}, which is not available here.",
                where=f"cell {notebook['cell']}, line {notebook['line']}",
                hint="--strategy takes fedavg, fedprox, fedadam, fedyogi, fedavgm, trimmed_mean, median.",
            )
        return {"name": "fedavg", **notebook}
    name, _, rest = asked.partition(":")
    shared = ("fraction_train", "min_train_nodes", "min_available_nodes")
    kept = {key: value for key, value in notebook.items() if key in shared or notebook.get("name") == name}
    return {**kept, "name": name, **dict(_pair(item) for item in rest.split(",") if item)}


def _checked_partition(text: str) -> str:
    read_partition(text)
    return text


def read_partition(text: str) -> dict[str, Scalar]:
    """``iid`` or ``dirichlet:ALPHA`` as fields of a site's ``Partition``.

    Raises:
        SettingsInvalid: neither of them.
    """
    scheme, colon, alpha = text.partition(":")
    try:
        if scheme == "iid" and not colon:
            return {"scheme": "iid"}
        if scheme == "dirichlet" and float(alpha or 0.5) > 0:
            return {"scheme": "dirichlet", **({"alpha": float(alpha)} if alpha else {})}
    except ValueError:
        pass
    raise SettingsInvalid(f"{text!r} is no way to share data out.", hint="Use iid, or dirichlet:0.5")


def _pair(text: str) -> tuple[str, Scalar]:
    key, sign, value = text.partition("=")
    try:
        if sign:
            return key.strip(), float(value)
    except ValueError:
        pass
    raise SettingsInvalid(
        f"{text!r} is not a strategy setting.", hint="Write --strategy fedprox:proximal_mu=0.1"
    )


def _quorum(asked: str | None, strategy: Mapping[str, Scalar]) -> str:
    """The declared quorum; where none is, all sites that a round asks.

    ``min_train_nodes`` and ``min_available_nodes`` of the notebook's strategy declare one too.
    """
    if asked is not None:
        return str(Quorum(asked))
    declared = [int(strategy[key]) for key in ("min_train_nodes", "min_available_nodes") if key in strategy]
    return str(max(declared)) if declared else f"{100 * float(strategy.get('fraction_train', 1.0)):.10g}%"


def _parameters(asked: Mapping[str, Scalar], manifest: Manifest) -> Mapping[str, Scalar]:
    known = {item.name for item in manifest.parameters}
    for name in asked:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise SettingsInvalid(
                f"The notebook has no parameter {name!r}.", hint=f"Its parameters are: {listed}."
            )
    return dict(asked)
