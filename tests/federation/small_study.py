"""A small study: what its notebook's images hold, and its settings."""

from __future__ import annotations

from nbfed_site.contracts import Manifest, Names
from notebook_federator.federation.federation_settings import FederationSettings, Images

SLICE = "sha256:" + "c" * 64
MANIFEST = Manifest(
    notebook="study.ipynb",
    notebook_digest="sha256:" + "d" * 64,
    slice_digest=SLICE,
    form="function",
    framework="torch",
    sections=(),
    spans=(),
    names=Names("net"),
)
SETTINGS = FederationSettings(
    name="study",
    server="https://localhost:9092",
    images=Images(
        server="registry.example.org/lab/study@sha256:" + "a" * 64,
        client="registry.example.org/lab/study@sha256:" + "b" * 64,
        notebook_digest=MANIFEST.notebook_digest,
        slice_digest=SLICE,
    ),
)
