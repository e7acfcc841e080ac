import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixture_types import StartRegistry
from notebook_federator.image.errors import RegistryDenied
from notebook_federator.image.registry import Registry
from servers import HTPASSWD, QUICK, Asked, Said, blob, login, serving
from tokens import TokenServer


@pytest.fixture
def basic(start_registry: StartRegistry, tmp_path: Path) -> str:
    """A registry with one user, ada."""
    path = tmp_path / "htpasswd"
    path.write_text(HTPASSWD)
    return start_registry(auth={"htpasswd": {"realm": "test", "path": str(path)}}).address


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    """A token server that runs."""
    server = TokenServer(tmp_path)
    with serving(server.answer) as address:
        server.address = address
        yield server


def guarded(start_registry: StartRegistry, tokens: TokenServer) -> str:
    """The address of a registry that trusts the token server."""
    return start_registry(**tokens.configuration(tokens.address)).address


def pushed(registry: Registry, repository: str, **more: Any) -> str:
    descriptor, content = blob(1000)
    return registry.push_blob(repository, descriptor, content, **more)


def test_password_of_dockers_file(basic: str, home: Path) -> None:
    login(home, basic)
    assert pushed(Registry(basic), "team/demo") == "uploaded"


def test_nobody_is_logged_in(basic: str) -> None:
    with pytest.raises(RegistryDenied) as caught:
        pushed(Registry(basic), "team/demo")
    assert f"no credentials for {basic} were found" in caught.value.hint
    assert f"docker login {basic}" in caught.value.hint
    assert caught.value.where == f"{basic}/team/demo"


def test_wrong_password_names_its_source_and_shows_no_secret(basic: str, home: Path) -> None:
    login(home, basic, auth=base64.b64encode(b"ada:wrong-secret").decode())
    with pytest.raises(RegistryDenied) as caught:
        pushed(Registry(basic), "team/demo")
    assert "the credentials of ada from" in caught.value.hint
    assert ".docker/config.json" in caught.value.hint
    assert "wrong-secret" not in str(caught.value)


def test_one_token_serves_all_requests_of_a_push(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address)
    registry = Registry(address)
    assert pushed(registry, "team/demo") == "uploaded"
    assert pushed(registry, "team/demo") == "uploaded"
    assert not registry.has_blob("team/demo", blob(1)[0].digest)
    assert [tokens.scopes(asked) for asked in tokens.asked] == [["repository:team/demo:pull,push"]]


def test_a_mount_asks_for_both_repositories(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address)
    registry = Registry(address)
    descriptor, content = blob(1000)
    registry.push_blob("team/base", descriptor, content)
    assert registry.push_blob("team/demo", descriptor, content, mount_from=["team/base"]) == "mounted"
    assert tokens.scopes(tokens.asked[-1]) == ["repository:team/demo:pull,push", "repository:team/base:pull"]


def test_a_mount_that_is_not_allowed_becomes_an_upload(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address)
    descriptor, content = blob(1000)
    Registry(address).push_blob("private", descriptor, content)
    tokens.allowed = lambda user, name: set() if name == "private" else {"pull", "push"}
    registry = Registry(address)
    assert registry.push_blob("team/demo", descriptor, content, mount_from=["private"]) == "uploaded"
    assert registry.has_blob("team/demo", descriptor.digest)


def test_identity_token_is_a_refresh_token(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address, auth="", identitytoken="identity")
    assert pushed(Registry(address), "team/demo") == "uploaded"
    assert [asked.method for asked in tokens.asked] == ["POST"]


def test_a_token_is_asked_for_anew_before_it_ends(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address)
    tokens.life = -1
    registry = Registry(address)
    descriptor, content = blob(1000)
    registry.push_blob("team/demo", descriptor, content)
    before = len(tokens.asked)
    assert registry.has_blob("team/demo", descriptor.digest)
    assert len(tokens.asked) == before + 1


def test_read_only_token(start_registry: StartRegistry, tokens: TokenServer, home: Path) -> None:
    address = guarded(start_registry, tokens)
    login(home, address)
    tokens.allowed = lambda user, name: {"pull"}
    with pytest.raises(RegistryDenied) as caught:
        pushed(Registry(address), "team/demo")
    assert "does not let you push to team/demo" in caught.value.what


def test_wrong_password_at_the_token_server(
    start_registry: StartRegistry, tokens: TokenServer, home: Path
) -> None:
    address = guarded(start_registry, tokens)
    login(home, address, auth=base64.b64encode(b"ada:no").decode())
    with pytest.raises(RegistryDenied) as caught:
        pushed(Registry(address), "team/demo")
    assert "wrong password" in caught.value.what
    assert f"docker login {address}" in caught.value.hint


def test_nobody_may_pull_what_is_public(start_registry: StartRegistry, tokens: TokenServer) -> None:
    address = guarded(start_registry, tokens)
    assert Registry(address).find_manifest("team/demo", "v1") is None
    assert tokens.asked[0].headers.get("Authorization") is None


@pytest.mark.parametrize("realm", ["http://tokens.example.org/token", "ftp://localhost/token", ""])
def test_no_credentials_for_a_token_server_without_https(home: Path, realm: str) -> None:
    def answer(asked: Asked) -> Said:
        return Said(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

    with serving(answer) as address:
        login(home, address)
        with pytest.raises(RegistryDenied, match="without HTTPS"):
            Registry(address, patience=QUICK).find_digest("team/demo", "v1")


def test_credentials_do_not_follow_a_redirection_to_another_host(home: Path) -> None:
    descriptor, content = blob(500)
    seen: list[str | None] = []

    def store(asked: Asked) -> Said:
        seen.append(asked.headers.get("Authorization"))
        return Said(body=content.data)

    def registry(asked: Asked) -> Said:
        if "Authorization" not in asked.headers:
            return Said(401, {"WWW-Authenticate": 'Basic realm="test"'})
        return Said(307, {"Location": f"http://{elsewhere}/bucket/blob?signature=x"})

    with serving(store) as elsewhere, serving(registry) as address:
        login(home, address)
        with Registry(address, patience=QUICK).blob("team/demo", descriptor.digest) as stream:
            assert stream.read() == content.data
    assert seen == [None]


def test_a_redirection_to_plain_http_elsewhere_is_not_followed() -> None:
    def registry(asked: Asked) -> Said:
        return Said(307, {"Location": "http://store.example.org/blob"})

    with serving(registry) as address, pytest.raises(Exception, match="307"):
        Registry(address, patience=QUICK).blob("team/demo", blob(1)[0].digest)


def test_a_token_that_is_no_longer_accepted_is_asked_for_anew() -> None:
    accepted = ["first"]

    def registry(asked: Asked) -> Said:
        if asked.headers.get("Authorization") == f"Bearer {accepted[0]}":
            return Said(404)
        return Said(401, {"WWW-Authenticate": f'Bearer realm="http://{realm}/token",service="s"'})

    def give(asked: Asked) -> Said:
        return Said(body=json.dumps({"token": accepted[0], "expires_in": 300}).encode())

    with serving(give) as realm, serving(registry) as address:
        client = Registry(address, patience=QUICK)
        assert client.find_digest("demo", "v1") is None
        accepted[0] = "second"
        assert client.find_digest("demo", "v1") is None
