"""Joining: the kit's one-time token is traded for a certificate of the key that was made here.

The request can be repeated with the same key: an answer that was lost is given again.
"""

from __future__ import annotations

import json
import threading
from http.client import HTTPException
from itertools import count
from pathlib import Path

from nbfed_site.certificates import flaw, signing_request
from nbfed_site.contracts import JoinRefused, canonical_json
from nbfed_site.keys import private_key
from nbfed_site.kit import KitFolder

from .fleet import VERSIONS, connect, tls_context
from .loop import LinkSettings
from .patience import Patience, Tell
from .refusals import NotRecognised, Unreachable, failure, refusal

_SECONDS = 30.0
_MOST = 1 << 16


def join(settings: LinkSettings, kit: KitFolder, stop: threading.Event, tell: Tell) -> bytes | None:
    """This site's certificate (PEM), asked for as long as the server cannot be reached; None when stopped.

    Raises:
        JoinRefused, VersionSkew: the server does not take this site, with its reason.
        CertificateRefused: the token or the server's certificate is not accepted.
        CannotConnect: the server was away for too long.
    """
    key = private_key(settings.key_path)
    csr = signing_request(key, settings.name)
    about = {"csr": csr, "kit": kit.digest, "slice": settings.slice_digest, "versions": VERSIONS}
    patience = Patience(settings.server, settings.give_up_seconds, stop, tell)
    for attempt in count():
        if stop.is_set():
            break
        try:
            certificate = _ask(settings, kit.token, canonical_json(about))
        except (Unreachable, NotRecognised) as error:
            patience.wait_after(error, attempt)
            continue
        if wrong := flaw(certificate, key, kit.authority.read_bytes()):
            raise JoinRefused(f"The server's answer is no certificate for this site: {wrong}.")
        return certificate
    return None


def _ask(settings: LinkSettings, token: Path, body: bytes) -> bytes:
    context = tls_context(settings.server, settings.root_certificates, token)
    try:
        connection = connect(settings.server, context, _SECONDS)
        connection.request("POST", "/v1/join", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read(_MOST)
        connection.close()
    except (OSError, HTTPException) as error:
        raise failure(error, settings.server) from error
    if response.status != 200:
        raise refusal(response.status, answer, response.headers["Date"], VERSIONS)
    try:
        return str(json.loads(answer)["certificate"]).encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreachable("the answer is no certificate: is this the right server?") from error
