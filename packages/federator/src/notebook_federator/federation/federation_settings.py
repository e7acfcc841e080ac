"""``federation.toml``: what the coordinator wishes, as frozen settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from nbfed_site.contracts import DataContract, ReleasePolicy, Scalar

from ..rounds.settings import Stragglers
from .data_table import contract_to_table
from .settings import Options, Wire

JOIN_DEADLINE = 30 * 86_400.0
_PORT = 443


@dataclass(frozen=True, slots=True)
class Images:
    """The two images, ``NAME@sha256:...`` each, and the digests of the notebook and the slice they hold.

    Attributes:
        gpu: whether the client image is made for NVIDIA devices.
        key: public key (PEM) that both are signed with; empty where it is not known.
    """

    server: str
    client: str
    notebook_digest: str
    slice_digest: str
    gpu: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class RoundWishes:
    """The table ``[rounds]``; None: as the notebook says, or as its canary round shows for ``deadline``.

    Attributes:
        quorum: a number of sites (``"2"``) or a share of the members (``"60%"``).
        deadline: seconds that a round may take. join_deadline: seconds that sites may take to join.
        stragglers: what becomes of an update after the deadline: dropped, waited for, or taken up later.
        strategy: ``name`` or ``name:setting=value,...``.
    """

    rounds: int | None = None
    epochs: int | None = None
    quorum: str | None = None
    deadline: float | None = None
    join_deadline: float = JOIN_DEADLINE
    stragglers: Stragglers = "drop"
    strategy: str | None = None
    seed: int = 0
    wire: Wire = "fp32"
    alone: bool = False


@dataclass(frozen=True, slots=True)
class FederationSettings:
    """Everything in ``federation.toml``.

    Attributes:
        server: ``https://HOST:PORT``, as sites call it.
        sites: names, in the order they were added.
        parameters: values of the notebook's own parameters, for all sites.
        retention_days: days for which the models and records of a run are kept after its end.
        contact: whom a site's security officer may call; one line, empty where nobody is named.
    """

    name: str
    server: str
    images: Images
    sites: tuple[str, ...] = ()
    rounds: RoundWishes = field(default_factory=RoundWishes)
    policy: ReleasePolicy = field(default_factory=ReleasePolicy)
    data: DataContract = field(default_factory=DataContract)
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    retention_days: int = 365
    contact: str = ""

    @property
    def host(self) -> str:
        """The name or address that sites call, without brackets."""
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        """The port that sites call."""
        return urlsplit(self.server).port or _PORT

    def options(self, sites: tuple[str, ...]) -> Options:
        """What a run with these sites is asked for."""
        wishes = self.rounds
        return Options(
            sites=sites,
            rounds=wishes.rounds,
            epochs=wishes.epochs,
            quorum=wishes.quorum,
            deadline=wishes.deadline,
            join_deadline=wishes.join_deadline,
            stragglers=wishes.stragglers,
            strategy=wishes.strategy,
            seed=wishes.seed,
            wire=wishes.wire,
            alone=wishes.alone,
            min_examples=self.policy.min_examples,
            metrics=self.policy.metrics,
            max_bytes=self.policy.max_bytes,
            allow_messages=self.policy.allow_messages,
            parameters=self.parameters,
        )


def plain(settings: FederationSettings) -> dict[str, Any]:
    """The settings as the plain values of their file; what is None is left out."""
    wishes, policy = _fields(settings.rounds), _fields(settings.policy)
    return {
        "name": settings.name,
        "server": settings.server,
        "sites": list(settings.sites),
        "retention_days": settings.retention_days,
        "contact": settings.contact,
        "images": _fields(settings.images),
        "rounds": {**wishes, "deadline": wishes.get("deadline", "auto")},
        "policy": {**policy, "metrics": list(policy["metrics"])},
        "data": contract_to_table(settings.data),
        "parameters": dict(settings.parameters),
    }


def _fields(table: Any) -> dict[str, Any]:
    """What is set in a table, by key."""
    found = {item.name: getattr(table, item.name) for item in fields(table)}
    return {name: value for name, value in found.items() if value is not None}


def flat(settings: FederationSettings) -> dict[str, Any]:
    """The settings key by key, ``TABLE.KEY`` each, but the sites: the ledger tells of them one by one."""
    found: dict[str, Any] = {}
    for key, value in plain(settings).items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": one for name, one in value.items()}
        elif key != "sites":
            found[key] = value
    return found
