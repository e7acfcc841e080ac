"""All files of a kit from what it says: pure, and the same bytes each time."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from nbfed_site.contracts import canonical_json, digest, plain

from ..image.signing_keys import fingerprint
from .compose import compose_files, stack_file
from .container import IMAGES_FILE, TOKEN_FILE, SiteContainer
from .readme import readme
from .script import site_script
from .security import Fingerprints
from .security_pages import security_files


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the kit brings along to be believed and let in.

    Attributes:
        authority: certificate (PEM). token: certificate and private key (PEM), secret.
        token_expires: UTC, ISO 8601.
        signing_key: public key (PEM) that the kit is signed with. image_key: that of the images, or empty.
        sign: gives the signature (DER) of bytes with the federation's key.
    """

    authority: bytes
    token: bytes = field(repr=False)
    token_expires: str
    signing_key: bytes
    image_key: bytes
    sign: Callable[[bytes], bytes]

    @property
    def prints(self) -> Fingerprints:
        """What people compare."""
        images = fingerprint(self.image_key) if self.image_key else ""
        return Fingerprints(fingerprint(self.signing_key), images, self.token_expires)


def kit_files(
    container: SiteContainer, credentials: Credentials, images_digest: str = ""
) -> dict[str, bytes]:
    """Name -> bytes of everything in a kit but ``images.tar``.

    Args:
        container: whose kit says everything but its ``files``, which are filled in here.
        credentials: what else is in it.
        images_digest: of ``images.tar``, where the kit brings the image along.
    """
    files = {
        "authority.pem": credentials.authority,
        TOKEN_FILE: credentials.token,
        "signing.pub": credentials.signing_key,
        **({"images.pub": credentials.image_key} if credentials.image_key else {}),
        "site": site_script(container),
        "README.md": readme(container),
        **compose_files(container),
        **security_files(container, credentials.prints),
    }
    mounted = {"kit.json", "kit.sig", "stack.yml", *files} - {TOKEN_FILE}
    files["stack.yml"] = stack_file(container, mounted)
    digests = {name: digest(data) for name, data in files.items()}
    digests |= {IMAGES_FILE: images_digest} if images_digest else {}
    text = canonical_json(plain(replace(container.kit, files=digests)))
    return {**files, "kit.json": text, "kit.sig": base64.b64encode(credentials.sign(text)) + b"\n"}
