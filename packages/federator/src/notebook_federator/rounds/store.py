"""The models of a run on disk: the first, the last, the best, and each institution's own."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbfed_site.contracts import Arrays, Evaluation, canonical_json

from .checkpoints import Checkpoint, StoredArrays, storing, write_arrays

_ROUND = re.compile(r"round-(\d{4,})\.safetensors")


@dataclass(slots=True)
class ModelStore:
    """Checkpoints under ``folder``: ``round-NNNN.safetensors``, ``state-NNNN.safetensors`` (what the
    strategy keeps between rounds), ``alone-SITE.safetensors``, and the links ``last`` and ``best``.

    Only round 0, the last and the best round are kept.
    """

    folder: Path
    evaluations: dict[tuple[str, str], list[Evaluation]] = field(default_factory=dict)

    @property
    def last_round(self) -> int | None:
        """The last finished round, 0 for the initial model, None before that."""
        return max(self._rounds(), default=None)

    @property
    def best_round(self) -> int | None:
        """The round whose global model had the lowest pooled loss so far; None if none is known."""
        found = self._best()
        return int(found["round"]) if found else None

    def save(self, number: int, arrays: Arrays, state: Arrays) -> Checkpoint:
        """Keep the global model after round ``number``.

        Raises:
            StorageFull: the round before is still whole.
        """
        if state:
            write_arrays(self._state_path(number), state)
        checkpoint = write_arrays(self._path(number), arrays)
        with storing(self.folder / "last.safetensors"):
            self._link("last", number)
        return checkpoint

    def arrays(self, number: int) -> Arrays:
        """The global model after round ``number``, read lazily."""
        return StoredArrays(self._path(number))

    def state(self, number: int) -> Arrays:
        """What the strategy kept after round ``number``."""
        path = self._state_path(number)
        return StoredArrays(path) if path.exists() else {}

    def save_alone(self, site: str, arrays: Arrays) -> Checkpoint:
        """Keep the model that ``site`` trained alone."""
        return write_arrays(self._alone_path(site), arrays)

    def has_alone(self, site: str) -> bool:
        """Whether the model that ``site`` trained alone is there."""
        return self._alone_path(site).exists()

    def alone_arrays(self, site: str) -> Arrays:
        """The model that ``site`` trained alone, read lazily."""
        return StoredArrays(self._alone_path(site))

    def note(self, model: str, split: str, evaluation: Evaluation) -> None:
        """Remember one site's evaluation of ``model`` until :meth:`choose_best`."""
        self.evaluations.setdefault((model, split), []).append(evaluation)

    def choose_best(self, number: int) -> None:
        """Compare the model of round ``number`` with the best so far; keep the better, drop the rest.

        The judge is the loss over all sites' validation samples; without a validation set the test
        set, which flatters, and is named in ``best.json``.

        Raises:
            StorageFull: the best so far may be noted or not; both models are kept.
        """
        for split in ("validation", "test"):
            loss = pooled_loss(self.evaluations.pop((f"round-{number}", split), []))
            best = self._best()
            if loss is None or not math.isfinite(loss) or (best and best["split"] != split):
                continue
            if number > 0 and (not best or loss < float(best["loss"])):
                with storing(self.folder / "best.json"):
                    self._set_best(number, split, loss)
        self._prune()

    def _set_best(self, number: int, split: str, loss: float) -> None:
        part = self.folder / "best.json.part"
        with part.open("wb") as file:
            file.write(canonical_json({"round": number, "split": split, "loss": loss}))
            file.flush()
            os.fsync(file.fileno())  # before its name: no run goes on from half of it after a power cut
        self._link("best", number)
        part.replace(self.folder / "best.json")

    def _best(self) -> Mapping[str, int | float | str] | None:
        path = self.folder / "best.json"
        found: Mapping[str, int | float | str] | None = (
            json.loads(path.read_bytes()) if path.exists() else None
        )
        return found

    def _prune(self) -> None:
        keep = {0, self.best_round, self.last_round}
        for number in self._rounds():
            if number not in keep:
                self._path(number).unlink()
                self._state_path(number).unlink(missing_ok=True)

    def _rounds(self) -> list[int]:
        names = (_ROUND.fullmatch(path.name) for path in self.folder.glob("round-*"))
        return sorted(int(match[1]) for match in names if match)

    def _link(self, name: str, number: int) -> None:
        part, target = self.folder / f"{name}.part", self.folder / f"{name}.safetensors"
        part.unlink(missing_ok=True)
        try:
            os.link(self._path(number), part)
        except OSError:
            shutil.copyfile(self._path(number), part)
        part.replace(target)

    def _path(self, number: int) -> Path:
        return self.folder / f"round-{number:04d}.safetensors"

    def _state_path(self, number: int) -> Path:
        return self.folder / f"state-{number:04d}.safetensors"

    def _alone_path(self, site: str) -> Path:
        return self.folder / f"alone-{site}.safetensors"


def pooled_loss(evaluations: list[Evaluation]) -> float | None:
    """Mean loss over all samples of all sites; None unless every site reports one."""
    if not evaluations or any("loss" not in item.metrics for item in evaluations):
        return None
    total = sum(item.num_examples for item in evaluations)
    return sum(item.metrics["loss"] * item.num_examples for item in evaluations) / total
