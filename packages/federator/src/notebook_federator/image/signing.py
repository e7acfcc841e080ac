"""Signatures of images with the federation's own key, as cosign stores them.

Source: cosign's signature specification (``specs/SIGNATURE_SPEC.md``): a simple-signing payload names the
image's digest; it is a layer of a manifest with the tag ``sha256-<hex>.sig`` beside the image, and the
signature itself an annotation of that layer. No transparency log has an entry of it, and none is asked.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbfed_site.contracts import canonical_json

from .errors import BlobDamaged, SignatureInvalid
from .shapes import CONFIG, MANIFEST, Attachment, Descriptor, digest_of
from .signing_keys import (
    fingerprint,
    fingerprint_of,
    loaded_public_key,
    private_key,
    public_key,
    public_pem,
    user_key,
)
from .stored import Stored, signature_tag

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = [
    "Signature",
    "attachment",
    "fingerprint",
    "is_by",
    "joined",
    "private_key",
    "public_key",
    "public_pem",
    "sign",
    "signatures",
    "user_key",
    "verify",
]

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
KEY_CLAIM = "org.notebook-federator.key"
_TYPE = "cosign container image signature"
_MOST = 64  # signatures of one image that are looked at


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of one image, as yet unchecked.

    Attributes:
        payload: the signed bytes.
        signature: ECDSA over their SHA-256, in DER.
        annotations: of the layer, whoever made it.
        media_type: of the payload.
    """

    payload: bytes
    signature: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    media_type: str = PAYLOAD

    @property
    def key(self) -> str:
        """The fingerprint of the key that the payload says it is signed with; empty where it says none."""
        return str(_claims(self.payload).get("key", ""))

    def names(self, digest: str) -> bool:
        """Whether the payload is about the image with this digest."""
        found = _claims(self.payload)
        return bool(found) and (found["type"], found["digest"]) == (_TYPE, digest)

    @property
    def layer(self) -> Descriptor:
        """The payload as a layer of the signature manifest."""
        told = {**self.annotations, ANNOTATION: base64.b64encode(self.signature).decode()}
        return Descriptor(self.media_type, digest_of(self.payload), len(self.payload), told)


def sign(repository: str, digest: str, key: EllipticCurvePrivateKey) -> Signature:
    """Sign an image; the same image and key give the same bytes (RFC 6979).

    Args:
        repository: ``registry/repository``; told to readers, not checked (as in cosign).
        digest: of the image's manifest.
        key: from :func:`signing_keys.private_key`.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    payload = canonical_json(
        {
            "critical": {
                "identity": {"docker-reference": repository},
                "image": {"docker-manifest-digest": digest},
                "type": _TYPE,
            },
            "optional": {KEY_CLAIM: fingerprint_of(key.public_key())},
        }
    )
    made = key.sign(payload, ec.ECDSA(SHA256(), deterministic_signing=True))
    return Signature(payload, made)


def attachment(digest: str, signed: Sequence[Signature]) -> Attachment:
    """The signature manifest of an image with all its signatures, in cosign's layout."""
    layers = [one.layer.to_json() for one in signed]
    diffs = [layer["digest"] for layer in layers]
    config = canonical_json(
        {"architecture": "", "config": {}, "os": "", "rootfs": {"diff_ids": diffs, "type": "layers"}}
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor(CONFIG, digest_of(config), len(config)).to_json(),
            "layers": layers,
        }
    )
    blobs = {digest_of(data): data for data in (config, *(one.payload for one in signed))}
    return Attachment(manifest, blobs, signature_tag(digest))


def joined(stored: Stored, digest: str, signature: Signature) -> Attachment:
    """The signature manifest of an image with the signatures that it has, and one more.

    Raises: BlobDamaged when those that it has cannot be read.
    """
    others = [one for one in signatures(stored, digest) if one != signature]
    return attachment(digest, [*others, signature])


def signatures(stored: Stored, digest: str) -> tuple[Signature, ...]:
    """The signatures that an image has, unchecked.

    Raises: BlobDamaged when they cannot be read.
    """
    manifest = stored.find(signature_tag(digest))
    return () if manifest is None else tuple(_signatures(stored, manifest))


def _signatures(stored: Stored, manifest: bytes) -> Iterator[Signature]:
    try:
        for layer in json.loads(manifest)["layers"][:_MOST]:
            told = {str(name): str(value) for name, value in (layer.get("annotations") or {}).items()}
            made = base64.b64decode(told.pop(ANNOTATION, ""), validate=True)
            yield Signature(stored.blob(str(layer["digest"])), made, told, str(layer["mediaType"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise BlobDamaged("The signatures of the image cannot be read.", where=stored.place) from error


def is_by(signature: Signature, digest: str, public_key_pem: bytes) -> bool:
    """Whether this is a signature of the image with this digest, made with this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        loaded_public_key(public_key_pem).verify(signature.signature, signature.payload, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return signature.names(digest)


def verify(stored: Stored, digest: str, public_key_pem: bytes) -> Signature:
    """The signature of the image with this key. Nothing is asked but the registry, or the layout, it is in.

    Raises: SignatureInvalid when there is none; BadInput of the key.
    """
    wanted = fingerprint(public_key_pem)
    found = signatures(stored, digest)
    for one in found:
        if is_by(one, digest, public_key_pem):
            return one
    what = "The image is signed, but not with the expected key." if found else "The image is not signed."
    hint = f"do not run it; ask its author for an image that is signed with the key {wanted}"
    raise SignatureInvalid(what, where=f"{digest} in {stored.place}", hint=hint)


def _claims(payload: bytes) -> Mapping[str, Any]:
    """What a payload says; nothing where it is not what cosign signs."""
    try:
        found = json.loads(payload)
        critical, optional = dict(found["critical"]), dict(found.get("optional") or {})
        named = {"type": critical["type"], "digest": critical["image"]["docker-manifest-digest"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {**named, "key": optional.get(KEY_CLAIM, "")}
