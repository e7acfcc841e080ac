"""Options and the notebook's own wishes, resolved into the settings of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from nbfed_site.contracts import Manifest, ReleasePolicy, RunUnreadable, Scalar, SettingsInvalid

from ..rounds.quorum import Quorum
from ..rounds.settings import RoundSettings, Stragglers

DEFAULT_ROUNDS = 3
DEFAULT_EPOCHS = 1
_SITE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Wire = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the author asked for; None means: as the notebook says, else the default.

    Attributes:
        sites: name -> data folder; or a number, to share the notebook's own data out; or names alone,
            of sites elsewhere.
        quorum: a number of sites (``"2"``) or a share of them (``"60%"``).
        deadline: seconds that a round may take; None: derived from a canary round.
        stragglers: ``drop``, ``wait`` or ``late``.
        initial: safetensors file of the model to start from; None: the notebook's own.
        strategy: ``name`` or ``name:setting=value,...``.
        partition: ``iid`` or ``dirichlet:ALPHA``, for a number of sites.
    """

    sites: Mapping[str, Path] | Sequence[str] | int
    rounds: int | None = None
    epochs: int | None = None
    quorum: str | None = None
    deadline: float | None = 1800.0
    join_deadline: float = 300.0
    stragglers: Stragglers = "drop"
    initial: Path | None = None
    strategy: str | None = None
    seed: int = 0
    wire: Wire = "fp32"
    alone: bool = False
    min_examples: int = 10
    allow_messages: bool = True
    partition: str = "iid"
    port: int = 0
    parameters: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One site: its name and data folder; no folder where that is not known here."""

    name: str
    data: str | None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that defines a run; written to ``run.json`` and never changed after."""

    members: tuple[Member, ...]
    rounds: int
    epochs: int
    quorum: str
    deadline: float | None
    join_deadline: float
    stragglers: Stragglers
    initial: str | None
    strategy: Mapping[str, Scalar]
    seed: int
    wire: Wire
    alone: bool
    min_examples: int
    allow_messages: bool
    partition: str | None
    port: int
    parameters: Mapping[str, Scalar]
    threads: int
    heartbeat: float = 5.0

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSettings:
        """Rebuild settings from :meth:`to_json`'s value.

        Raises:
            RunUnreadable: not such settings.
        """
        try:
            return cls(**{**value, "members": tuple(Member(**item) for item in value["members"])})
        except (KeyError, TypeError) as error:
            raise RunUnreadable(f"The run's settings cannot be read: {error}.", where="run.json") from error

    def for_rounds(self, task_config: Mapping[str, Scalar], wishes: Sequence[str] = ()) -> RoundSettings:
        """The part that the round loop works by; ``wishes`` names parameters that tasks carry to sites."""
        return RoundSettings(
            sites=tuple(sorted(member.name for member in self.members)),
            rounds=self.rounds,
            epochs=self.epochs,
            quorum=Quorum(self.quorum),
            deadline=self.deadline,
            join_deadline=self.join_deadline,
            seed=self.seed,
            fraction=float(self.strategy.get("fraction_train", 1.0)),
            alone=self.alone,
            policy=ReleasePolicy(min_examples=self.min_examples),
            config=task_config,
            parameters={name: value for name, value in self.parameters.items() if name in wishes},
            stragglers=self.stragglers,
            initial=Path(self.initial) if self.initial else None,
            wire=self.wire,
            signed=True,
        )


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
        initial=str(options.initial.resolve()) if options.initial else None,
        strategy=strategy,
        seed=options.seed,
        wire=options.wire,
        alone=options.alone,
        min_examples=options.min_examples,
        allow_messages=options.allow_messages,
        partition=_checked_partition(options.partition) if isinstance(options.sites, int) else None,
        port=options.port,
        parameters=_parameters(options.parameters, manifest),
        threads=max(1, cores // len(members)),
    )
    settings.for_rounds({})
    return settings


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
