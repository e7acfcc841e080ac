import json
from collections.abc import Callable
from typing import Any

import pytest
from fixture_types import LocalRegistry
from notebook_federator.image.errors import BlobDamaged, RegistryFailed, RepositoryUnknown
from notebook_federator.image.registry import Registry
from notebook_federator.image.registry.referrers import artifact, fallback_tag
from notebook_federator.image.shapes import (
    EMPTY,
    INDEX,
    MANIFEST,
    Attachment,
    BytesContent,
    Descriptor,
    digest_of,
)
from servers import QUICK, Asked, Said, blob, serving


@pytest.fixture
def client(registry: LocalRegistry) -> Registry:
    return Registry(registry.address, patience=QUICK)


def image(client: Registry, tag: str) -> Descriptor:
    """A small image in ``demo``."""
    config = Descriptor(EMPTY, digest_of(b"{}"), 2)
    client.push_blob("demo", config, BytesContent(b"{}"))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.to_json(), "layers": []}
    data = json.dumps(manifest | {"annotations": {"tag": tag}}).encode()
    client.push_manifest("demo", tag, data, MANIFEST)
    return Descriptor(MANIFEST, digest_of(data), len(data))


def test_manifests_by_tag_and_digest(client: Registry) -> None:
    made = image(client, "v1")
    by_tag, by_digest = client.manifest("demo", "v1"), client.manifest("demo", made.digest)
    assert by_tag == by_digest
    assert (by_tag.media_type, by_tag.digest) == (MANIFEST, made.digest)
    assert client.find_digest("demo", "v1") == made.digest


def test_what_is_not_there(client: Registry, registry: LocalRegistry) -> None:
    image(client, "v1")
    assert client.find_manifest("demo", "v2") is None
    assert client.find_digest("nothing", "v2") is None
    assert not client.has_blob("demo", blob(1)[0].digest)
    asked: list[Callable[[], Any]] = [
        lambda: client.manifest("demo", "v2"),
        lambda: client.manifest("nothing", "v2"),
        lambda: client.blob("demo", blob(1)[0].digest),
    ]
    for ask in asked:
        with pytest.raises(RepositoryUnknown) as caught:
            ask()
        assert caught.value.where.startswith(registry.address)
        assert "check name and tag" in caught.value.hint


def test_a_manifest_with_another_digest_is_refused() -> None:
    with (
        serving(lambda asked: Said(headers={"Content-Type": MANIFEST}, body=b"{}")) as address,
        pytest.raises(BlobDamaged),
    ):
        Registry(address).manifest("demo", digest_of(b"other"))


def test_a_damaged_blob_is_found_at_its_end(client: Registry, registry: LocalRegistry) -> None:
    descriptor, content = blob(300_000)
    client.push_blob("demo", descriptor, content)
    name = descriptor.digest.partition(":")[2]
    path = registry.folder / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"
    path.write_bytes(content.data[:-1] + b"?")
    with client.blob("demo", descriptor.digest) as stream, pytest.raises(BlobDamaged):
        stream.read()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_after_a_break(ranges: bool) -> None:
    descriptor, content = blob(500_000)
    asked_ranges: list[str | None] = []

    def answer(asked: Asked) -> Said:
        asked_ranges.append(asked.headers.get("Range"))
        start = int((asked.headers.get("Range") or "bytes=0-")[6:-1]) if ranges else 0
        body = content.data[start:]
        broken = body[:200_000] if len(asked_ranges) == 1 else body
        more = {"Content-Length": str(len(body)), "Connection": "close"}
        return Said(206 if start else 200, more, broken)

    with (
        serving(answer) as address,
        Registry(address, patience=QUICK).blob("demo", descriptor.digest) as stream,
    ):
        assert stream.read() == content.data
    assert asked_ranges[0] is None
    assert asked_ranges[1] == "bytes=200000-"


def about(subject: Descriptor, kind: str, data: bytes, annotations: dict[str, str]) -> Attachment:
    layer = Descriptor("text/plain", digest_of(data), len(data))
    return artifact(kind, layer, annotations, data=data, subject=subject)


def test_referrers_without_the_api_are_kept_under_a_tag(client: Registry) -> None:
    subject, other = image(client, "v1"), image(client, "v2")
    assert client.referrers("demo", subject.digest) == ()
    first = client.push_attachment("demo", about(subject, "application/x-one", b"one", {"a": "1"}))
    second = client.push_attachment("demo", about(subject, "application/x-two", b"two", {}))
    again = client.push_attachment("demo", about(subject, "application/x-one", b"one", {"a": "1"}))
    found = client.referrers("demo", subject.digest)
    assert [(item.digest, item.artifact_type) for item in found] == [
        (first, "application/x-one"),
        (second, "application/x-two"),
    ]
    assert again == first
    assert found[0].annotations == {"a": "1"}
    assert client.referrers("demo", other.digest) == ()
    manifest = json.loads(client.manifest("demo", first).data)
    assert manifest["subject"]["digest"] == subject.digest
    with client.blob("demo", manifest["layers"][0]["digest"]) as stream:
        assert stream.read() == b"one"


def test_referrers_by_the_api_page_by_page() -> None:
    subject = digest_of(b"subject")
    pages = [[{"mediaType": MANIFEST, "digest": digest_of(bytes([n])), "size": n}] for n in (1, 2)]

    def answer(asked: Asked) -> Said:
        number = 1 if "page=2" in asked.path else 0
        more = {} if number else {"Link": f'</v2/demo/referrers/{subject}?page=2>; rel="next"'}
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": pages[number]}).encode()
        return Said(200, {"Content-Type": INDEX, **more}, body)

    with serving(answer) as address:
        found = Registry(address).referrers("demo", subject)
    assert [item.size for item in found] == [1, 2]


def test_a_registry_with_the_api_gets_no_fallback_tag() -> None:
    asked_for: list[tuple[str, str]] = []

    def answer(asked: Asked) -> Said:
        asked_for.append((asked.method, asked.path))
        return Said(201, {"OCI-Subject": "sha256:x"}) if asked.method == "PUT" else Said(200)

    subject = Descriptor(MANIFEST, digest_of(b"subject"), 7)
    with serving(answer) as address:
        Registry(address).push_attachment("demo", about(subject, "application/x", b"x", {}))
    assert [path for method, path in asked_for if method == "PUT"]
    assert not any(fallback_tag(subject.digest) in path for _, path in asked_for)


@pytest.mark.parametrize(("misses", "stored"), [(2, True), (9, False)])
def test_a_manifest_is_sent_again_while_a_blob_is_not_seen(misses: int, stored: bool) -> None:
    """registry:2 does not see a blob while another push writes its link."""
    unseen = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown"}]}).encode()
    puts: list[str] = []

    def answer(asked: Asked) -> Said:
        puts.append(asked.path)
        return Said(400, {}, unseen) if len(puts) <= misses else Said(201)

    with serving(answer) as address:
        client = Registry(address, patience=QUICK)
        if stored:
            assert client.push_manifest("demo", "v1", b"{}", MANIFEST) == digest_of(b"{}")
        else:
            with pytest.raises(RegistryFailed):
                client.push_manifest("demo", "v1", b"{}", MANIFEST)
    assert len(puts) == (3 if stored else 4)


def test_docker_hub_has_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        made = Registry(name)
        assert made.name == "docker.io"
        address = made._session.address("/v2/library/python/manifests/3.11-slim")
        assert address == "https://registry-1.docker.io/v2/library/python/manifests/3.11-slim"
