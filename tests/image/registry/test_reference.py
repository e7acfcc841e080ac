import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_federator.image.errors import ReferenceInvalid
from notebook_federator.image.registry.reference import Reference, parse

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("python", "docker.io/library/python"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("team/demo", "docker.io/team/demo"),
        ("index.docker.io/python", "docker.io/library/python"),
        ("localhost/demo", "localhost/demo"),
        ("localhost:5000/demo:v1", "localhost:5000/demo:v1"),
        ("[::1]:5000/demo", "[::1]:5000/demo"),
        ("GHCR.io/team/a__b/c--d", "ghcr.io/team/a__b/c--d"),
        (f"quay.io/team/demo:v1@{DIGEST}", f"quay.io/team/demo:v1@{DIGEST}"),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, full: str) -> None:
    assert str(parse(text)) == full


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "name a repository"),
        ("ghcr.io/", "name a repository"),
        ("Demo", "lower case: demo"),
        ("https://ghcr.io/team/demo", "leave out the scheme: ghcr.io/team/demo"),
        ("ghcr.io/team/demo:", "a tag has"),
        ("ghcr.io/team/demo:-x", "a tag has"),
        ("ghcr.io/team/demo:" + "x" * 129, "a tag has"),
        ("ghcr.io/team//demo", "slashes between"),
        ("ghcr.io/team/demo@sha256:12", "64 hexadecimal digits"),
        ("ghcr.io/team/demo@", "64 hexadecimal digits"),
        ("gh cr.io/demo", "name of a host"),
        ("ghcr.io/" + "x" * 250, "at most 255"),
    ],
)
def test_what_is_no_name_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert hint in caught.value.hint


NAMES = st.from_regex(r"[a-z0-9]{1,9}([._-][a-z0-9]{1,9}){0,2}(/[a-z0-9]{1,9}){0,2}", fullmatch=True)
REGISTRIES = st.sampled_from(["localhost:5000", "ghcr.io", "registry.example.org:443", "[::1]:5000"])
TAGS = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(REGISTRIES, NAMES, TAGS, st.none() | st.just(DIGEST))
def test_a_reference_is_read_as_it_is_written(
    registry: str, name: str, tag: str | None, digest: str | None
) -> None:
    made = Reference(registry, name, tag, digest)
    assert parse(str(made)) == made


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ReferenceInvalid:
        return
    assert parse(str(found)) == found
