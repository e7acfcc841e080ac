"""Small pushes, and what they tell."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from notebook_federator.image.pushing import Push, layers_repository
from notebook_federator.image.registry import Registry
from notebook_federator.image.shapes import BuiltImage, Layer
from small_images import layer

KEY = "cd" * 32


class Told:
    """Collects progress: the states by title."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    @property
    def states(self) -> dict[str, str]:
        return {event["title"]: event["state"] for event in self.events}

    @property
    def notes(self) -> list[str]:
        return [event["title"] for event in self.events if event["state"] == "note"]


def torch() -> Layer:
    return replace(layer("torch", {"torch.so": bytes(range(256)) * 400}), key=KEY)


def code(text: str = "") -> Layer:
    return layer("slice", {"slice.py": text.encode()})


def push(client: Registry, made: BuiltImage, tag: str = "v1", repository: str = "team/demo") -> Told:
    told = Told()
    with Push(client, repository, layers_repository(repository), told) as running:
        for each in made.layers:
            running.add(each)
        running.finish(made, tag, replace=False)
    return told
