"""Toy sites for the round loop: arrays drift towards a value of the site's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from nbfed_site.contracts import (
    ArraySpec,
    Evaluation,
    ReleasePolicy,
    RoundInput,
    RoundOutput,
    SiteCard,
    derive_seed,
)
from notebook_federator.rounds.quorum import Quorum
from notebook_federator.rounds.settings import RoundSettings

SPECS = (ArraySpec("w", (3,), "float32"), ArraySpec("n", (), "int64"))
Handler = Callable[[RoundInput], RoundOutput]


@dataclass
class Pages:
    """A journal that keeps everything in lists."""

    facts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def record(self, kind: str, /, **body: Any) -> None:
        self.facts.append((kind, body))

    def tell(self, kind: str, /, **body: Any) -> None:
        self.told.append((kind, body))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for name, body in self.facts + self.told if name == kind]


def toy_site(name: str, pull: float, examples: int) -> Handler:
    """A site whose training depends on the arrays, its name, the seed and the round, like a real one."""

    def loss(arrays: Mapping[str, Any]) -> float:
        return float(np.mean((arrays["w"] - np.float32(pull)) ** 2))

    def handle(task: RoundInput) -> RoundOutput:
        if task.kind == "describe":
            card = SiteCard({"train": examples}, {}, {}, SPECS)
            return RoundOutput(task.task_id, task.kind, task.round, card=card)
        if task.kind == "initialise":
            arrays = {"w": np.ones(3, np.float32), "n": np.array(0)}
            return RoundOutput(task.task_id, task.kind, task.round, arrays=arrays)
        assert task.arrays is not None
        current = {key: np.asarray(task.arrays[key]) for key in task.arrays}
        evaluation = Evaluation(examples, {"loss": loss(current)})
        if task.kind == "evaluate":
            return RoundOutput(task.task_id, task.kind, task.round, evaluation=evaluation)
        draw = np.random.default_rng(derive_seed(int(task.config["seed"]), name, task.round))
        noise = draw.normal(0, 0.01, 3).astype(np.float32)
        trained = current["w"] + np.float32(0.5) * (np.float32(pull) - current["w"]) + noise
        return RoundOutput(
            task.task_id,
            task.kind,
            task.round,
            num_examples=examples,
            evaluation=evaluation if task.config["evaluate"] else None,
            arrays={"w": trained.astype(np.float32), "n": current["n"] + 1},
        )

    return handle


@pytest.fixture
def toy_sites() -> dict[str, Handler]:
    return {"a": toy_site("a", 0.0, 10), "b": toy_site("b", 2.0, 20), "c": toy_site("c", 5.0, 30)}


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def settings() -> Callable[..., RoundSettings]:
    def make(**changes: Any) -> RoundSettings:
        values: dict[str, Any] = {
            "sites": ("a", "b", "c"),
            "rounds": 4,
            "epochs": 1,
            "quorum": 3,
            "deadline": 5.0,
            "join_deadline": 5.0,
            "seed": 7,
            "fraction": 1.0,
            "alone": False,
            "policy": ReleasePolicy(min_examples=10),
            "config": {},
        }
        values = {**values, **changes}
        return RoundSettings(**{**values, "quorum": Quorum(str(values["quorum"]))})

    return make
