"""The kit: everything that one site is told about its federation, in one signed file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .data import DataContract
from .policy import ReleasePolicy


@dataclass(frozen=True, slots=True)
class Kit:
    """``kit.json``. Its digest names the kit; ``kit.sig`` beside it holds the federation's signature of it.

    Attributes:
        federation: name of the federation. site: name of this site in it.
        serial: 1 for the first kit of this site, counted up with each new one; only the newest is taken.
        issued: UTC time in ISO 8601, seconds.
        server: ``https://HOST:PORT``.
        authority: SHA-256 of the certificate (DER) in ``authority.pem``, as ``sha256:...``.
        token: id of the one-time join token in ``join-token.pem``.
        image: the client image, ``REGISTRY/NAME@sha256:...``. slice_digest, notebook_digest: what it holds.
        policy: the federation's floor; a site may only be stricter.
        contract: what the site's data must look like.
        wire: precision of float32 arrays on their way. heartbeat: seconds between signs of life.
        retention_days: days for which the coordinator keeps models and records of a run.
        files: name -> digest of each other file of the kit.
    """

    federation: str
    site: str
    serial: int
    issued: str
    server: str
    authority: str
    token: str
    image: str
    slice_digest: str
    notebook_digest: str
    policy: ReleasePolicy = field(default_factory=ReleasePolicy)
    contract: DataContract = field(default_factory=DataContract)
    wire: Literal["fp32", "bf16"] = "fp32"
    heartbeat: float = 5.0
    retention_days: int = 365
    files: Mapping[str, str] = field(default_factory=dict)
    schema_version: Literal[1] = 1
