import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixture_types import LocalRegistry, StartRegistry
from lines import tunnel
from nbfed_site.contracts import NbfedError, SettingsInvalid
from notebook_federator.image.errors import (
    ReferenceInvalid,
    RegistryBusy,
    RegistryDenied,
    RegistryFailed,
    RegistryFull,
    RegistryUnreachable,
    RepositoryUnknown,
)
from notebook_federator.image.registry import Registry
from notebook_federator.image.registry.transport import is_loopback
from servers import QUICK, Asked, Said, blob, serving
from tokens import certificate


def secure(start_registry: StartRegistry, folder: Path, *names: str) -> tuple[str, Path]:
    """A registry with TLS, and the certificate to trust."""
    pem, key = certificate(folder, *names)
    started = start_registry(http={"tls": {"certificate": str(pem), "key": str(key)}})
    return started.address, pem


def pushes(registry: Registry) -> bool:
    descriptor, content = blob(1000)
    return registry.push_blob("team/demo", descriptor, content) == "uploaded"


def test_private_root_certificate(start_registry: StartRegistry, tmp_path: Path) -> None:
    address, pem = secure(start_registry, tmp_path, "localhost")
    assert pushes(Registry(address, root_certificates=pem))


def test_several_threads_find_out_together_that_it_speaks_https(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    address, pem = secure(start_registry, tmp_path, "localhost")
    for _ in range(5):
        registry = Registry(address, root_certificates=pem)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(pushes, [registry] * 8))


def test_ssl_cert_file(
    start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, pem = secure(start_registry, tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert pushes(Registry(address))


@pytest.mark.parametrize("folder", [".config/containers/certs.d", ".config/docker/certs.d"])
def test_certificates_where_docker_and_podman_look(
    start_registry: StartRegistry, tmp_path: Path, home: Path, folder: str
) -> None:
    address, pem = secure(start_registry, tmp_path, "localhost")
    place = home / folder / address
    place.mkdir(parents=True)
    pem.rename(place / "ca.crt")
    assert pushes(Registry(address))


def test_untrusted_certificate(start_registry: StartRegistry, tmp_path: Path) -> None:
    address, _ = secure(start_registry, tmp_path, "localhost")
    with pytest.raises(RegistryUnreachable, match="not trusted") as caught:
        pushes(Registry(address))
    assert "SSL_CERT_FILE" in caught.value.hint


def test_certificate_of_another_name(start_registry: StartRegistry, tmp_path: Path) -> None:
    address, pem = secure(start_registry, tmp_path, "other.example.org")
    with pytest.raises(RegistryUnreachable, match="not trusted"):
        pushes(Registry(address, root_certificates=pem))


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(SettingsInvalid) as caught:
            Registry("registry.example.org", root_certificates=path).find_digest("team/demo", "v1")
        assert caught.value.where == str(path)


def test_https_proxy(start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, pem = secure(start_registry, tmp_path, "registry.example.org")
    with tunnel(address, connect=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        assert pushes(Registry("registry.example.org", root_certificates=pem))
        assert set(proxy.connected) == {"registry.example.org:443"}


def test_no_proxy_for_this_machine(registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://localhost:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")
    assert pushes(Registry(registry.address))


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")
    with pytest.raises(RegistryUnreachable, match="proxy") as caught:
        Registry("registry.example.org").find_digest("team/demo", "v1")
    assert "HTTPS_PROXY" in caught.value.hint


def test_connection_refused_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(RegistryUnreachable, match="refuses connections") as caught:
        Registry("localhost:9").find_digest("team/demo", "v1")
    assert "is a registry running there" in caught.value.hint
    assert time.monotonic() - began < 2


def test_unknown_host() -> None:
    with pytest.raises(RegistryUnreachable, match="no host with the name") as caught:
        Registry("registry.invalid").find_digest("team/demo", "v1")
    assert caught.value.where == "registry.invalid"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:5000", True),
        ("127.0.0.9", True),
        ("[::1]:5000", True),
        ("demo.localhost", True),
        ("localhost.example.org", False),
        ("10.0.0.1:5000", False),
        ("ghcr.io", False),
    ],
)
def test_plain_http_is_for_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("status", "code", "words", "kind", "hint"),
    [
        (401, "UNAUTHORIZED", "authentication required", RegistryDenied, "docker login"),
        (403, "DENIED", "requested access is denied", RegistryDenied, "ask the owner"),
        (403, "DENIED", "project quota exceeded", RegistryFull, "larger quota"),
        (404, "NAME_UNKNOWN", "repository not known", RepositoryUnknown, "create the repository"),
        (400, "NAME_INVALID", "invalid repository name", ReferenceInvalid, "another name"),
        (413, "", "too large", RegistryFull, "limit on request sizes"),
        (429, "TOOMANYREQUESTS", "pull rate limit", RegistryBusy, "docker login"),
        (500, "UNKNOWN", "unknown error", RegistryFailed, "try again later"),
        (507, "", "no space", RegistryFull, "free space"),
        (418, "", "teapot", RegistryFailed, "check that this address is a registry"),
    ],
)
def test_every_refusal_says_what_where_and_what_next(
    status: int, code: str, words: str, kind: type[NbfedError], hint: str
) -> None:
    body = json.dumps({"errors": [{"code": code, "message": words}]}).encode()

    def answer(asked: Asked) -> Said:
        return Said(404) if asked.method == "HEAD" else Said(status, body=body)

    descriptor, content = blob(1000)
    with serving(answer) as address, pytest.raises(kind) as caught:
        Registry(address, patience=QUICK).push_blob("team/demo", descriptor, content)
    assert words in caught.value.what
    assert caught.value.where == f"{address}/team/demo"
    assert hint in caught.value.hint


def test_retry_after_is_honoured() -> None:
    times: list[float] = []

    def answer(asked: Asked) -> Said:
        times.append(time.monotonic())
        return Said(429, {"Retry-After": "1"}) if len(times) == 1 else Said(404)

    with serving(answer) as address:
        assert Registry(address, patience=QUICK).find_digest("team/demo", "v1") is None
    assert times[1] - times[0] >= 1


def test_a_long_retry_after_is_told_instead() -> None:
    asked_for: list[Asked] = []

    def answer(asked: Asked) -> Said:
        asked_for.append(asked)
        return Said(429, {"Retry-After": "3600"})

    with serving(answer) as address, pytest.raises(RegistryBusy) as caught:
        Registry(address, patience=QUICK).find_manifest("team/demo", "v1")
    assert "wait 3600 seconds" in caught.value.hint
    assert len(asked_for) == 1


def test_a_passing_failure_is_not_seen() -> None:
    answers = iter([Said(503), Said(502), Said(404)])
    with serving(lambda asked: next(answers)) as address:
        assert Registry(address, patience=QUICK).find_digest("team/demo", "v1") is None


def test_what_a_registry_says_is_shown_without_control_characters() -> None:
    body = json.dumps({"errors": [{"code": "X", "message": "\x1b[31mred" + "x" * 9999}]}).encode()
    with serving(lambda asked: Said(400, body=body)) as address, pytest.raises(RegistryFailed) as caught:
        Registry(address).find_manifest("team/demo", "v1")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("location", ["http://store.example.org/upload", "http://10.0.0.1:5000/upload"])
def test_nothing_is_sent_elsewhere_without_https(location: str) -> None:
    def answer(asked: Asked) -> Said:
        return Said(202, {"Location": location}) if asked.method == "POST" else Said(404)

    descriptor, content = blob(1000)
    with serving(answer) as address, pytest.raises(RegistryFailed, match="without HTTPS"):
        Registry(address, patience=QUICK).push_blob("team/demo", descriptor, content)
