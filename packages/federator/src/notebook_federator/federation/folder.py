"""Where a run keeps everything: one folder, the same for the command line, the server and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nbfed_site.contracts import Manifest, RunUnreadable, canonical_json, rebuilt

from .settings import RunSettings


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths inside one run folder."""

    path: Path

    @property
    def slice(self) -> Path:
        """``slice.py``, ``manifest.json`` and helper modules: what the sites execute."""
        return self.path / "slice"

    @property
    def ledger(self) -> Path:
        """The hash-chained record of the run."""
        return self.path / "ledger.sqlite"

    @property
    def models(self) -> Path:
        """Models as safetensors."""
        return self.path / "models"

    @property
    def server(self) -> Path:
        """The server's link state, spool and log; of no use after the run."""
        return self.path / "server"

    @property
    def events(self) -> Path:
        """Everything that happened, as JSON lines."""
        return self.path / "events.jsonl"

    @property
    def report(self) -> Path:
        """The report's files."""
        return self.path / "report"

    def site(self, name: str) -> Path:
        """The folder of one site's process: key, receipts, log."""
        return self.path / "sites" / name

    def create(self, settings: RunSettings) -> None:
        """Make the folder and keep the settings in it.

        Raises:
            RunUnreadable: the folder holds a run already.
        """
        if (self.path / "run.json").exists():
            raise RunUnreadable(
                "There is a run in this folder already.",
                where=str(self.path),
                hint="Continue it with --resume, or choose another folder with --out.",
            )
        for folder in (self.path, self.models, self.server):
            folder.mkdir(parents=True, exist_ok=True)
        for member in settings.members:
            self.site(member.name).mkdir(parents=True, exist_ok=True)
        part = self.path / "run.json.part"
        part.write_bytes(canonical_json(settings.to_json()) + b"\n")
        part.replace(self.path / "run.json")

    def settings(self) -> RunSettings:
        """The settings that the run was made with.

        Raises:
            RunUnreadable: there is no run here, or its settings are damaged.
        """
        return RunSettings.from_json(self._json("run.json"))

    def manifest(self) -> Manifest:
        """The manifest of the slice that the sites execute.

        Raises:
            RunUnreadable: there is none, or it is damaged.
        """
        try:
            return rebuilt(Manifest, self._json("slice/manifest.json"))
        except (TypeError, ValueError) as error:
            raise RunUnreadable(f"The manifest cannot be read: {error}.", where=str(self.slice)) from error

    def _json(self, name: str) -> dict[str, object]:
        path = self.path / name
        try:
            found: dict[str, object] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunUnreadable(
                f"This is not a run folder: {name} cannot be read.",
                where=str(self.path),
                hint="Name the folder that `nbfed run` printed, for example runs/my-notebook-1.",
            ) from error
        return found


def new_run_folder(parent: Path, stem: str) -> RunFolder:
    """The first of ``STEM-1``, ``STEM-2``, ... under ``parent`` that is not there yet."""
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return RunFolder(parent / f"{stem}-{number}")
