"""A federation's folder, as `nbfed federation init` leaves it, and what sites ask it for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import plain

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not

from small_study import MANIFEST, SETTINGS


@pytest.fixture
def federation(tmp_path: Path) -> FederationFolder:
    """A new federation without sites."""
    folder = FederationFolder(tmp_path / "study")
    folder.create(SETTINGS, tomli_w.dumps(plain(SETTINGS)).encode(), MANIFEST, datetime.now(UTC))
    return folder


@pytest.fixture
def site_key() -> Callable[[], tuple[ec.EllipticCurvePrivateKey, bytes]]:
    """Makes a site's key and its certificate request (PEM)."""

    def make() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        return key, csr.public_bytes(serialization.Encoding.PEM)

    return make
