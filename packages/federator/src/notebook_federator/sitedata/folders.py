"""Site folders on disk: ``train_client.csv``, ``val_client.csv``, ``test.csv`` and ``patches/``."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from nbfed_site.contracts import BadInput, digest

from .images import bring_images, storage_error
from .manifest import Patch, SetName, read_manifest
from .plan import Place, Plan, group_of, plan_split
from .settings import SET_SHARES, Proportions, SplitSettings
from .summary import SplitRow, SplitSummary

CSV_NAMES: Mapping[SetName, str] = {"train": "train_client.csv", "val": "val_client.csv", "test": "test.csv"}


def split(  # noqa: PLR0913  (one keyword for each option of the command)
    manifest: Path,
    images: Path,
    destination: Path,
    *,
    seed: int = 0,
    sites: int | None = None,
    proportions: Proportions | None = None,
    set_shares: Mapping[SetName, float] = SET_SHARES,
    ignore_institutions: bool = False,
    ignore_splits: bool = False,
    limit: int | None = None,
    links: bool = False,
) -> SplitSummary:
    """Make a folder for each site under ``destination`` and a ``split.json`` that sums them up.

    The same manifest and settings (see :class:`SplitSettings`) give the same folders. Images are
    copied from the folder or tar archive ``images``, or hard-linked with ``links``. Nothing is left
    behind on an error.

    Raises:
        BadInput: ``destination`` is not empty, or what :func:`read_manifest`, :func:`plan_split`
            and :func:`bring_images` refuse.
        StorageFull: no space is left.
    """
    settings = SplitSettings(seed, sites, proportions, set_shares, ignore_institutions, ignore_splits, limit)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise BadInput(
            "The place for the site folders is not empty.",
            where=str(destination),
            hint="Name another with --out, or remove it first.",
        )
    patches = read_manifest(manifest)
    plan = plan_split(patches, settings)
    partial = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write_sites(plan, partial, patches, images, links)
        summary = _summary(plan, destination, seed)
        record = {**summary.to_json(), "manifest_digest": digest(manifest.read_bytes())}
        (partial / "split.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
        partial.replace(destination)
    except OSError as error:
        raise storage_error(error, destination) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def _write_sites(plan: Plan, folder: Path, patches: Sequence[Patch], images: Path, links: bool) -> None:
    names = _flat_names(patches)
    targets: dict[str, Path] = {}
    for (site, name), placed in plan.places.items():
        (folder / site / "patches").mkdir(parents=True, exist_ok=True)
        _write_csv(folder / site / CSV_NAMES[name], placed, names)
        targets.update({patch.file: folder / site / "patches" / names[patch.file] for patch in placed})
    bring_images(images, targets, links=links)


def _flat_names(patches: Sequence[Patch]) -> dict[str, str]:
    """A file name without folders for each patch: its own, or its whole path where names repeat."""
    names = {patch.file: PurePosixPath(patch.file).name for patch in patches}
    if len(set(names.values())) < len(names):
        names = {file: "_".join(part for part in PurePosixPath(file).parts if part != "/") for file in names}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise BadInput("Two images come to the same file name.", where=twice[0], hint="Rename one of them.")
    return names


def _write_csv(path: Path, patches: Sequence[Patch], names: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("images", "GT"))
        writer.writerows((names[patch.file], patch.label) for patch in patches)


def _summary(plan: Plan, destination: Path, seed: int) -> SplitSummary:
    rows = tuple(_row(place, placed, plan) for place, placed in plan.places.items())
    sites = {site: destination / site for site in plan.sites}
    return SplitSummary(destination, seed, sites, rows, plan.notes)


def _row(place: Place, placed: Sequence[Patch], plan: Plan) -> SplitRow:
    wanted = plan.wanted[place]
    found = Counter(patch.label for patch in placed)
    patients = len({group_of(patch) for patch in placed if patch.patient})
    counts = {label: found[label] for label in wanted}
    return SplitRow(*place, counts, wanted, patients or None)
