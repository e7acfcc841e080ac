"""An author pushes a study's two images to a registry: ``nbfed build --push`` of a real notebook."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from notebook_federator import templates
from notebook_federator.image.registry import Registry

from .store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "builds"))

from desk import Desk, Finished, data, push_base, write_lock

WHEEL_BYTES = 12_000_000  # half of it travels
MIDDLE = 3_000_000
THERE = {"present", "mounted"}


@dataclass(frozen=True)
class Author:
    """A desk whose images are built once, so that every push begins at once; their digests, by role."""

    desk: Desk
    digests: dict[str, str]

    @classmethod
    @contextmanager
    def at_work(cls, folder: Path) -> Iterator[Self]:
        """The base image is in a registry that no fault befalls."""
        plain = Store(folder / "base", secure=False)
        desk = Desk(folder, plain.address)
        try:
            templates.write(desk.notebook, "breast-cancer")
            write_lock(desk, push_base(plain.address), WHEEL_BYTES)
            built = data(desk.build("--output", str(folder / "images"), "--name", "demo"))
            yield cls(desk, digests(built))
        finally:
            plain.close()


@dataclass
class Push:
    """The author in front of a registry; ``arrived``: the layers that a refused push left there."""

    author: Author
    store: Store
    direction: str = "up"
    middle: int = MIDDLE
    arrived: set[str] = field(default_factory=set)

    def attempt(self) -> Finished:
        """What the author does."""
        words = ("--push", f"{self.store.address}/demo", "--root-certificates", str(self.store.ca))
        return self.author.desk.build(*words, "--tag", "v1")

    def check_done(self, found: Finished) -> None:
        """Both images are there, as they are without any fault; what had arrived was not sent again."""
        built = digests(data(found))
        assert built == self.author.digests
        registry = Registry(self.store.address, root_certificates=self.store.ca)
        for role, digest in built.items():
            manifest = registry.manifest("demo", f"{role}-v1")
            assert manifest.digest == digest
            for blob in json.loads(manifest.data)["layers"]:
                with registry.blob("demo", blob["digest"]) as stream:  # checks the digest
                    assert len(stream.read()) == blob["size"]
        again = {title for title, states in told(found).items() if "uploading" in states} & self.arrived
        assert not again, f"sent twice: {again}"

    def check_refused(self, found: Finished) -> str:
        """It says what is wrong, where and what to do, and no tag was set; all that it said."""
        answer = json.loads(found.stdout)
        assert found.returncode == answer["exit_code"] != 0, answer
        assert answer["hint"], answer
        assert self.store.host in answer["message"], answer
        self.arrived = {title for title, states in told(found).items() if states[-1] in {"uploaded", *THERE}}
        assert not list(self.store.disk().glob("**/_manifests/tags/*-v1")), "a tag was set"
        return found.stdout


def told(found: Finished) -> dict[str, list[str]]:
    """What happened to each layer, in order, by its title and size."""
    states: dict[str, list[str]] = {}
    for line in found.stderr.splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "layer":
            states.setdefault(f"{event['title']}, {event['total']} bytes", []).append(event["state"])
    return states


def digests(built: dict[str, Any]) -> dict[str, str]:
    """Role -> digest of what was built."""
    return {role: image["digest"] for role, image in built["images"].items()}
