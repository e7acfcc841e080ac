"""The model of round 0: the notebook's own, or one from an older run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nbfed_site.contracts import Array, Arrays, ArraySpec, NbfedError, SettingsInvalid

from .checkpoints import StoredArrays
from .collect import Gathering
from .floor import Floor
from .journal import receipts
from .screening import Screening
from .store import ModelStore
from .tasks import Tasks


def check_same_model(models: Mapping[str, tuple[ArraySpec, ...]]) -> None:
    """Refuse sites whose models differ, naming the first difference.

    Raises:
        SettingsInvalid: two sites built different models from the same slice.
    """
    sites = list(models)
    for site in sites[1:]:
        if models[site] != models[sites[0]]:
            raise SettingsInvalid(
                f"{sites[0]} and {site} build different models: "
                f"{_difference(models[sites[0]], models[site])}.",
                where="the model block",
                hint="The model must not depend on a site's data, for example on its number of classes.",
            )


def _difference(ours: Sequence[ArraySpec], theirs: Sequence[ArraySpec]) -> str:
    pair = next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), None)
    if pair is None:
        return f"{len(ours)} against {len(theirs)} arrays"
    return f"{_words(pair[0])} against {_words(pair[1])}"


def _words(spec: ArraySpec) -> str:
    return f"{spec.name} {spec.dtype}{list(spec.shape)}"


def from_file(floor: Floor, store: ModelStore, path: Path) -> None:
    """Begin with the model in ``path``.

    Raises:
        RunUnreadable: it cannot be read.
        SettingsInvalid: it is not the notebook's model.
    """
    arrays = StoredArrays(path)
    wanted = {spec.name: spec for spec in floor.reception.specs}
    missing, extra = wanted.keys() - set(arrays), set(arrays) - wanted.keys()
    for name in sorted(missing | extra):
        raise _misfit(path, f"{name!r} is only in {'the notebook' if name in missing else 'the file'}")
    checkpoint = store.save(0, {name: _checked(path, spec, arrays) for name, spec in wanted.items()}, {})
    floor.journal.record("initialised", digest=checkpoint.digest, **{"from": path.name})


def _checked(path: Path, spec: ArraySpec, arrays: Arrays) -> Array:
    array = arrays[spec.name]
    found = ArraySpec(spec.name, tuple(array.shape), array.dtype.name)
    if found != spec:
        raise _misfit(path, f"{_words(found)} against {_words(spec)}")
    return array


def _misfit(path: Path, detail: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"The model to start from is not this notebook's: {detail}.",
        where=str(path),
        hint="Start from a model of the same notebook, or leave the initial model out.",
    )


def from_a_site(floor: Floor, tasks: Tasks, store: ModelStore, screen: Screening, seconds: float) -> None:
    """Have a site build the notebook's model: the first by name that can.

    Raises:
        NbfedError: none can.
    """
    ready = [site for site in floor.attendance.members if not floor.obstacle(site)]
    here = [site for site in ready if site in floor.attendance.present] or ready[:1]
    for site in here:
        gathering = Gathering(floor, tasks.initialise(), [site], seconds, lambda: 1, screen)
        try:
            for reply in gathering.replies():
                checkpoint = store.save(0, reply.output.arrays or {}, {})
                floor.transport.discard(reply)
                facts = {"digest": checkpoint.digest, "receipts": receipts(reply)}
                floor.journal.record("initialised", site=site, **facts)
            return
        except NbfedError:
            if site == here[-1]:
                raise
