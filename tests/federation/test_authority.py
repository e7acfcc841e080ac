"""Certificates: who they let in at a real TLS port, and what they say."""

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from nbfed_site.contracts import CertificateRefused, JoinRefused
from notebook_federator.federation.authority import Authority, Identity, identity, requested_key
from notebook_federator.federation.federation_folder import FederationFolder

MakeKey = Callable[[], tuple[ec.EllipticCurvePrivateKey, bytes]]


def handshake(folder: FederationFolder, client: Path | None, *, host: str = "localhost") -> bytes:
    """What certificate (DER) the federation's server sees of a client that shows the PEM file ``client``.

    Raises:
        ssl.SSLError: either side refused.
    """
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder.certificate("authority"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder.certificate("server"), folder.key("server"))
    context = ssl.create_default_context(cafile=folder.certificate("authority"))
    if client:
        context.load_cert_chain(client)
    seen: list[bytes | ssl.SSLError] = []
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as secure:
                seen.append(secure.getpeercert(binary_form=True) or b"")
                secure.sendall(b"!")
        except (ssl.SSLError, OSError) as error:
            seen.append(error)  # type: ignore[arg-type]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname=host) as secure:
            assert secure.recv(1) == b"!"
    finally:
        thread.join(10)
    (found,) = seen
    assert isinstance(found, bytes)
    return found


def saved(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)


def test_a_token_opens_the_port_and_says_whose_it_is(federation: FederationFolder, tmp_path: Path) -> None:
    token = federation.authority().join_token("hospital-a", datetime.now(UTC))
    found = identity(handshake(federation, saved(tmp_path / "token.pem", token.pem)))
    assert (found.role, found.site, found.token) == ("join", "hospital-a", token.id)


def test_a_site_is_known_by_the_key_that_it_made(
    federation: FederationFolder, tmp_path: Path, site_key: MakeKey
) -> None:
    key, csr = site_key()
    issued = federation.authority().issue_site(csr, "hospital-a", datetime.now(UTC))
    found = identity(handshake(federation, saved(tmp_path / "site.pem", issued.pem, pem(key))))
    assert found == Identity("site", "hospital-a", "", requested_key(csr), issued.serial)
    assert issued.expires > datetime.now(UTC).isoformat()


def test_the_coordinator_has_a_certificate_of_its_own(federation: FederationFolder, tmp_path: Path) -> None:
    parts = (federation.certificate("coordinator").read_bytes(), federation.key("coordinator").read_bytes())
    found = identity(handshake(federation, saved(tmp_path / "coordinator.pem", *parts)))
    assert (found.role, found.site) == ("coordinator", "")


@pytest.mark.parametrize("who", ["nobody", "another federation", "expired", "not yet", "the server"])
def test_the_port_is_closed_to(who: str, federation: FederationFolder, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = federation.authority()
    client = {
        "nobody": lambda: None,
        "another federation": lambda: Authority.make("other", now).join_token("hospital-a", now).pem,
        "expired": lambda: authority.join_token("hospital-a", now - timedelta(days=31)).pem,
        "not yet": lambda: authority.join_token("hospital-a", now + timedelta(hours=49)).pem,
        "the server": lambda: (
            federation.certificate("server").read_bytes() + federation.key("server").read_bytes()
        ),
    }[who]()
    with pytest.raises(ssl.SSLError):
        handshake(federation, saved(tmp_path / "client.pem", client) if client else None)


def test_a_clock_that_is_a_day_late_does_not_matter(federation: FederationFolder, tmp_path: Path) -> None:
    token = federation.authority().join_token("hospital-a", datetime.now(UTC) + timedelta(hours=24))
    assert identity(handshake(federation, saved(tmp_path / "token.pem", token.pem))).role == "join"


def test_the_server_is_known_by_the_name_that_sites_call(
    federation: FederationFolder, tmp_path: Path
) -> None:
    token = federation.authority().join_token("hospital-a", datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        handshake(federation, saved(tmp_path / "token.pem", token.pem), host="elsewhere.example.org")


def test_a_request_cannot_choose_what_its_certificate_says(federation: FederationFolder) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("nbfed:coordinator")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(wish, False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    issued = x509.load_pem_x509_certificate(
        federation.authority().issue_site(csr, "hospital-a", datetime.now(UTC)).pem
    )
    assert identity(issued.public_bytes(serialization.Encoding.DER)).role == "site"
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_requests_that_cannot_be_used(federation: FederationFolder, site_key: MakeKey) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    other = builder.sign(rsa_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    _, csr = site_key()
    der = bytearray(x509.load_pem_x509_csr(csr).public_bytes(serialization.Encoding.DER))
    der[-3] ^= 1
    edited = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    for wrong in (b"", b"nonsense", other, edited):
        with pytest.raises(JoinRefused):
            requested_key(wrong)


def test_a_certificate_that_says_nothing_is_nobodys(federation: FederationFolder) -> None:
    server = ssl.PEM_cert_to_DER_cert(federation.certificate("server").read_text())
    for der in (server, b"", b"garbage"):
        with pytest.raises(CertificateRefused):
            identity(der)


def test_private_files_are_for_the_owner_alone(federation: FederationFolder) -> None:
    assert federation.keys.stat().st_mode & 0o777 == 0o700
    private = [*federation.keys.glob("*.key")]
    assert sorted(path.stem for path in private) == ["authority", "coordinator", "server", "signing"]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
