"""Names of images, as Docker reads them and the OCI distribution specification writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ReferenceInvalid

DOCKER_HUB = "docker.io"
LONGEST_NAME = 255

_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(?::[0-9]{1,5})?"
)
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Reference:
    """``registry/repository[:tag][@digest]``; Docker Hub's registry is ``docker.io``."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.name + tag + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference that ``text`` writes (OCI distribution specification 1.1, "Pulling manifests").

    As in Docker, a first part with a dot, a colon or the word ``localhost`` is a registry, else the
    registry is Docker Hub, where a single word stands for ``library/WORD``.

    Raises:
        ReferenceInvalid: ``text`` is not a legal name.
    """
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "a digest is sha256: and 64 hexadecimal digits, in lower case")
    registry, rest = _split_registry(text, rest)
    repository, tag = _split_tag(text, rest)
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if len(registry) + 1 + len(repository) > LONGEST_NAME:
        raise _invalid(text, f"registry and repository have at most {LONGEST_NAME} characters")
    return Reference(registry, repository, tag, digest or None)


def check_tag(tag: str) -> str:
    """``tag`` itself.

    Raises:
        ReferenceInvalid: it is not a legal tag.
    """
    if not _TAG.fullmatch(tag):
        raise _invalid(
            tag,
            "a tag has at most 128 letters, digits, underscores, dots and hyphens, and starts with none"
            " of the last two",
        )
    return tag


def _split_registry(text: str, rest: str) -> tuple[str, str]:
    if "://" in rest:
        raise _invalid(text, f"leave out the scheme: {rest.partition('://')[2]}")
    first, slash, others = rest.partition("/")
    if not slash or not (set(first) & {".", ":"} or first == "localhost"):
        return DOCKER_HUB, rest
    if not _HOST.fullmatch(first):
        raise _invalid(text, f"'{first}' is not the name of a host (and port)")
    registry = first.lower()
    return (DOCKER_HUB if registry in ("index.docker.io", "registry-1.docker.io") else registry), others


def _split_tag(text: str, rest: str) -> tuple[str, str | None]:
    repository, colon, tag = rest.partition(":")
    if colon:
        check_tag(tag)
    if not _NAME.fullmatch(repository):
        raise _invalid(text, _repository_hint(repository))
    return repository, tag if colon else None


def _repository_hint(repository: str) -> str:
    if not repository:
        return "name a repository: REGISTRY/NAME"
    if repository != repository.lower() and _NAME.fullmatch(repository.lower()):
        return f"a repository is written in lower case: {repository.lower()}"
    return (
        "a repository has lower case letters and digits, with single dots, underscores or hyphens between"
        " them, and slashes between its parts"
    )


def _invalid(text: str, hint: str) -> ReferenceInvalid:
    return ReferenceInvalid(f"{text!r} is not the name of an image", where=text, hint=hint)
