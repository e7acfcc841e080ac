"""What the server's door goes by: TLS with certificates on both sides, and pages beside the Fleet API."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .turned_away import SpeakingContext


class Visitor(Protocol):
    """Who a connection's certificate is, in the words of the federation that issued it."""

    @property
    def role(self) -> str:
        """``site`` for Flower's calls; other roles are for pages."""

    @property
    def site(self) -> str:
        """The site's name; empty where the certificate is no site's."""

    @property
    def public_key_pem(self) -> bytes:
        """The certificate's public key."""


@dataclass(frozen=True, slots=True)
class Page:
    """One request beside the Fleet API, for one role.

    Attributes:
        answer: given the visitor and the body, the HTTP status and the JSON values of the answer;
            called in a thread of its own.
    """

    method: str
    role: str
    answer: Callable[[Any, bytes], tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Mutual TLS, and what becomes of those who pass it.

    Attributes:
        certificate: PEM file of the server's certificate. key: of its private key.
        authority: PEM file of the only authority whose certificates are let in.
        identify: reads a certificate (DER) that TLS has verified; raises NbfedError for a strange one.
        why_not: says why a site's certificate is worth nothing (any more); empty where it was never known.
        slice_digest: of the slice that every site must run.
        pages: by path.
    """

    certificate: Path
    key: Path
    authority: Path
    identify: Callable[[bytes], Visitor]
    why_not: Callable[[Any], str]
    slice_digest: str
    pages: Mapping[str, Page] = field(default_factory=dict)

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 alone; nobody without a valid client certificate of the authority passes.

        TLS 1.3 has neither compression nor renegotiation. No session is kept or handed out, so that no
        connection can go on with what an older one has shown: each proves its certificate anew.

        Raises:
            OSError: a file cannot be read, or certificate and key do not belong together.
        """
        context = SpeakingContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authority)
        return context
