"""Signatures: by the right key, of the right image, wherever it lies."""

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import BadInput
from notebook_federator.image import signing
from notebook_federator.image.errors import BlobDamaged, SignatureInvalid
from notebook_federator.image.layout import write_folder, write_tar
from notebook_federator.image.registry.client import Registry
from notebook_federator.image.shapes import CONFIG, MANIFEST, BuiltImage, BytesContent, Descriptor, digest_of
from notebook_federator.image.signing_keys import default_path, fingerprint, make_key, public_key
from notebook_federator.image.stored import InLayout, InRegistry, signature_tag
from small_images import names, silent, two_images

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def other(tmp_path: Path) -> bytes:
    """The public half of another key."""
    make_key(tmp_path / "other.pem")
    return public_key(tmp_path / "other.pem")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a key."""
    monkeypatch.delenv("NBFED_SIGNING_KEY", raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path / "home"


def pushed(registry: Registry, one: BuiltImage, tag: str = "it") -> None:
    for layer in one.layers:
        registry.push_blob("demo", layer.descriptor, layer.content)
    config = Descriptor(CONFIG, digest_of(one.config), len(one.config))
    registry.push_blob("demo", config, BytesContent(one.config))
    registry.push_manifest("demo", tag, one.manifest, MANIFEST)


def test_a_key_is_made_once_and_is_the_users_own(home: Path) -> None:
    path = signing.user_key()
    made = path.read_bytes()
    assert home in path.parents
    assert signing.user_key() == path == default_path()
    assert path.read_bytes() == made
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600
    assert made.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_two_processes_at_first_use_have_one_key(home: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(signing.user_key().read_bytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in default_path().parent.iterdir()] == ["signing-key.pem"]


def test_another_key_may_be_named(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFED_SIGNING_KEY", str(key))
    assert signing.user_key() == key


def test_a_named_key_that_is_missing_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFED_SIGNING_KEY", str(tmp_path / "typo.pem"))
    with pytest.raises(BadInput, match=r"NBFED_SIGNING_KEY=.*typo\.pem"):
        signing.user_key()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(BadInput, match=r"read by others[\s\S]*chmod 600"):
        signing.sign("x/y", DIGEST, signing.private_key(key))


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"])
def test_a_file_that_is_no_usable_key_is_refused(key: Path, text: str) -> None:
    key.write_text(text)
    with pytest.raises(BadInput, match="signing key"):
        signing.sign("x/y", DIGEST, signing.private_key(key))


def test_a_key_on_another_curve_is_refused(key: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = ec.generate_private_key(ec.SECP384R1())
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadInput, match="P-256"):
        signing.sign("x/y", DIGEST, signing.private_key(key))


def test_signing_again_gives_the_same_bytes(key: Path) -> None:
    first, second = (
        signing.attachment(DIGEST, [signing.sign("x/y", DIGEST, signing.private_key(key))]) for _ in range(2)
    )
    assert first == second


def test_the_layout_is_cosigns(key: Path) -> None:
    made = signing.attachment(DIGEST, [signing.sign("r.example/demo", DIGEST, signing.private_key(key))])
    layer = json.loads(made.manifest)["layers"][0]
    payload = json.loads(made.blobs[layer["digest"]])
    assert made.tag == "sha256-" + "ab" * 32 + ".sig"
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    assert payload["critical"] == {
        "identity": {"docker-reference": "r.example/demo"},
        "image": {"docker-manifest-digest": DIGEST},
        "type": "cosign container image signature",
    }
    config = json.loads(made.blobs[json.loads(made.manifest)["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]


def test_openssl_verifies_the_payload(key: Path, tmp_path: Path) -> None:
    """As cosign does: SHA-256 of the payload's bytes, ECDSA in DER, base64."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = signing.attachment(DIGEST, [signing.sign("x/y", DIGEST, signing.private_key(key))])
    layer = json.loads(made.manifest)["layers"][0]
    signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
    for name, data in {
        "payload": made.blobs[layer["digest"]],
        "sig": signature,
        "pub": public_key(key),
    }.items():
        (tmp_path / name).write_bytes(data)
    command = [openssl, "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "payload"]
    assert b"Verified OK" in subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    der = subprocess.run(
        [openssl, "pkey", "-pubin", "-in", "pub", "-outform", "DER"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    assert fingerprint(public_key(key)) == digest_of(der)


def beside(client: Registry, digest: str, signature: signing.Signature) -> str:
    """Put a signature beside an image of the registry; the digest of the manifest."""
    return client.push_attachment("demo", signing.joined(InRegistry(client, "demo"), digest, signature))


def test_a_signature_is_pushed_beside_the_image_and_verified(key: Path, registry: Any) -> None:
    client, (image, _) = Registry(registry.address), two_images()
    pushed(client, image)
    signed = signing.sign(f"{registry.address}/demo", image.digest, signing.private_key(key))
    digest = beside(client, image.digest, signed)
    assert client.manifest("demo", signature_tag(image.digest)).digest == digest
    assert signing.verify(InRegistry(client, "demo"), image.digest, public_key(key)) == signed
    assert signed.key == fingerprint(public_key(key))
    assert beside(client, image.digest, signed) == digest


def test_a_second_signer_keeps_the_first(key: Path, tmp_path: Path, other: bytes, registry: Any) -> None:
    client, (image, _) = Registry(registry.address), two_images()
    pushed(client, image)
    for path in (key, tmp_path / "other.pem", key):
        beside(client, image.digest, signing.sign("x/y", image.digest, signing.private_key(path)))
    assert len(signing.signatures(InRegistry(client, "demo"), image.digest)) == 2
    signing.verify(InRegistry(client, "demo"), image.digest, public_key(key))
    signing.verify(InRegistry(client, "demo"), image.digest, other)


def test_another_key_or_no_signature_is_said(key: Path, other: bytes, registry: Any) -> None:
    client, (image, unsigned) = Registry(registry.address), two_images()
    pushed(client, image)
    beside(client, image.digest, signing.sign("x/y", image.digest, signing.private_key(key)))
    with pytest.raises(SignatureInvalid, match=f"not with the expected key[\\s\\S]*{fingerprint(other)}"):
        signing.verify(InRegistry(client, "demo"), image.digest, other)
    with pytest.raises(SignatureInvalid, match="not signed"):
        signing.verify(InRegistry(client, "demo"), unsigned.digest, public_key(key))


def test_a_signature_of_another_image_does_not_count(key: Path, registry: Any) -> None:
    """A registry's owner could hang the signature of one image on another."""
    client, (image, swapped) = Registry(registry.address), two_images()
    signed = signing.sign("x/y", image.digest, signing.private_key(key))
    client.push_attachment("demo", signing.attachment(swapped.digest, [signed]))
    with pytest.raises(SignatureInvalid):
        signing.verify(InRegistry(client, "demo"), swapped.digest, public_key(key))


@pytest.mark.parametrize("field", ["payload", "signature"])
def test_changed_bytes_do_not_verify(key: Path, field: str) -> None:
    signed = signing.sign("x/y", DIGEST, signing.private_key(key))
    changed = bytearray(getattr(signed, field))
    changed[-2] ^= 1
    assert signing.is_by(signed, DIGEST, public_key(key))
    assert not signing.is_by(dataclasses.replace(signed, **{field: bytes(changed)}), DIGEST, public_key(key))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"critical": null}', b'{"critical": {"type": "x"}}', b"[" * 100_000]
)
def test_a_payload_of_another_shape_does_not_count(key: Path, payload: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from notebook_federator.image.signing_keys import private_key

    made = private_key(key).sign(payload, ec.ECDSA(SHA256()))
    signed = signing.Signature(payload, made)
    assert not signing.is_by(signed, DIGEST, public_key(key))
    assert signed.key == ""


@pytest.mark.parametrize("write", [write_folder, write_tar])
def test_it_is_verified_in_a_layout_too(key: Path, other: bytes, tmp_path: Path, write: Any) -> None:
    images = two_images()
    signed = [
        signing.attachment(one.digest, [signing.sign("x/y", one.digest, signing.private_key(key))])
        for one in images
    ]
    write(images, names(), tmp_path / "it", silent, signed)
    signing.verify(InLayout(tmp_path / "it"), images[1].digest, public_key(key))
    with pytest.raises(SignatureInvalid):
        signing.verify(InLayout(tmp_path / "it"), images[1].digest, other)


def test_damage_in_a_layout_is_found(key: Path, tmp_path: Path) -> None:
    images = two_images()
    made = signing.attachment(
        images[0].digest, [signing.sign("x/y", images[0].digest, signing.private_key(key))]
    )
    write_folder(images, names(), tmp_path / "it", silent, [made])
    path = tmp_path / "it/blobs/sha256" / made.digest[7:]
    path.write_bytes(path.read_bytes().replace(b"sha256", b"sha255", 1))
    with pytest.raises(BlobDamaged):
        signing.verify(InLayout(tmp_path / "it"), images[0].digest, public_key(key))


@pytest.mark.parametrize(
    "pem", [b"", b"ssh-ed25519 AAAA", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_public_key_is_said(key: Path, pem: bytes, tmp_path: Path) -> None:
    write_folder(two_images(), names(), tmp_path / "it", silent)
    with pytest.raises(BadInput, match="public key"):
        signing.verify(InLayout(tmp_path / "it"), DIGEST, pem)
