"""Whatever could keep this site from training, looked at one by one: each is ok, or what to do."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from .contracts import Manifest, NbfedError, SiteCard
from .kit import KitFolder, read_kit
from .machine import MB, Finding, free_memory, imports, judged, machine, rights, runtime
from .options import literals
from .scratch import Scratch
from .settings import NAME_IT, data_folder, made

_LOOKED_AT = 1000  # files of the data folder
_WRITTEN = 1_780_000_000  # this file is younger than that (June 2026)
_MORE = 'NBFED_ENGINE_OPTIONS="--memory 32g", or a larger machine.'
_COPIES = 3  # of the model, beside the one that trains: what comes, what leaves, and some slack


def examine(options: Namespace, scratch: Scratch) -> Iterator[Finding]:
    """Look at everything; each finding comes as soon as it is known. Nothing changes by it."""
    yield from rights(scratch)
    yield runtime()
    try:
        from .program import read_slice

        manifest = read_slice(options.slice).manifest
    except NbfedError as error:
        yield Finding("no", f"slice: {error.what}", error.hint or "Pull the image again.")
        return
    yield Finding("ok", f"slice: {manifest.slice_digest[7:19]} of {manifest.notebook} fits its manifest")
    yield from imports(options.slice, manifest)
    yield from machine(scratch, options.slice)
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    yield judged(time.time() > _WRITTEN, f"clock: {now}", "Set this machine's clock.")
    if not (options.kit / "kit.json").exists():
        yield Finding("warning", "kit: none", "Mount the coordinator's folder: -v DIR:/kit:ro")
        yield from _data(options, manifest, None)
        return
    try:
        kit = read_kit(options.kit, manifest.slice_digest)
    except NbfedError as error:
        yield Finding("no", f"kit: {error.what}", error.hint)
        return
    yield from _kit(kit, scratch)
    yield from _data(options, manifest, kit)
    yield from _rehearsal(options, manifest, kit)


def _kit(kit: KitFolder, scratch: Scratch) -> Iterator[Finding]:
    from .consulting import consult
    from .enrolling import has_joined, is_approved
    from .keys import public_key
    from .receipts import read_receipts

    facts = kit.kit
    age = (datetime.now(UTC) - datetime.fromisoformat(facts.issued)).days
    about = f"number {facts.serial} of {facts.site} in {facts.federation}, {age} days old"
    yield Finding("ok", f"kit: {about}, signed by {kit.signer[7:23]}, as it was issued")
    joined = False
    try:
        before = read_receipts(scratch.receipts, public_key(scratch.key)) if scratch.receipts.exists() else ()
        known = is_approved(kit, before)
        yield Finding("ok", "approval: given" if known else "approval: the first `up` gives it")
        joined = has_joined(kit, scratch, before)
    except NbfedError as error:
        yield Finding("no", f"approval: {error.what}", error.hint or "Ask the coordinator.")
    yield from consult(kit, scratch, joined)


def _data(options: Namespace, manifest: Manifest, kit: KitFolder | None) -> Iterator[Finding]:
    from .fit import misfits

    try:
        folder = data_folder(options.data, manifest)
    except NbfedError as error:
        yield Finding("no", f"data: {error.where}", error.hint)
        return
    if folder is None:
        taken = any(item.meaning == "data_path" for item in manifest.parameters)
        what = "the notebook reads a folder, and there is none" if taken else "the notebook reads no folder"
        yield judged(not taken, f"data: {what}", NAME_IT)
    else:
        yield from _files(folder)
    if kit:
        yield from _contract("files, columns and image sizes", misfits(kit.kit.contract, folder))


def _contract(looked_at: str, missed: Sequence[str]) -> Iterator[Finding]:
    if not missed:
        yield Finding("ok", f"data contract: {looked_at} are as it asks")
    for what in missed:
        advice = "Mend the data; or the coordinator waives it."
        yield Finding("no", f"data contract: {what.rstrip('.')}", advice)


def _files(folder: Path) -> Iterator[Finding]:
    shut: list[OSError] = []
    walked = os.walk(folder, onerror=shut.append)
    files = list(islice((Path(top, name) for top, _, names in walked for name in names), _LOOKED_AT))
    sealed = sum(not os.access(file, os.R_OK) for file in files)
    empty = "It is empty." if not shut else f"It is shut: let user {os.getuid()} read it."
    yield judged(bool(files), f"data: {len(files)} files seen in {folder}", empty)
    what = f"{sealed} of {len(files)} files and {len(shut)} folders are shut"
    advice = f"{what}: let user {os.getuid()} read them."
    yield judged(not sealed and not shut, "data can be read", advice)
    yield judged(not os.access(folder, os.W_OK), "data cannot be written", "Mount it with :ro", "warning")


def _rehearsal(options: Namespace, manifest: Manifest, kit: KitFolder) -> Iterator[Finding]:
    """The notebook's own data, model, train and test, on a few batches; what it prints goes to the log."""
    from .program import Partition, Program

    begun = time.monotonic()
    try:
        share = made(Partition, options.share) if options.share else None
        given = literals(dict(options.set))
        if folder := data_folder(options.data, manifest):
            given["data_path"] = str(folder)
        with redirect_stdout(sys.stderr):
            program = Program(options.slice, given, share, lambda progress: None)
            card = program.prepare(0)
        yield from _card(card, kit, time.monotonic() - begun)
        with redirect_stdout(sys.stderr):
            start = dict(program.initial(0))
            seconds = program.rehearse(start, {"seed": 0}, ("test", "validation"))
        what = f"dry run: trained and tested on a few batches; a round takes about {seconds:.0f} s here"
        yield Finding("ok", what)
        size, free = sum(array.nbytes for array in start.values()), free_memory()
        what = f"memory for the model: it has {size / MB:.1f} MB, and {free / MB:.0f} MB are free beside it"
        yield judged(free > _COPIES * size, what, f"{_COPIES} times the model are needed: {_MORE}")
    except NbfedError as error:
        where = f" ({error.where})" if error.where else ""
        yield Finding("no", f"dry run: {error.what}{where}", error.hint or "Tell the coordinator.")


def _card(card: SiteCard, kit: KitFolder, seconds: float) -> Iterator[Finding]:
    """What the coordinator will be shown."""
    from .fit import card_misfits

    counts = ", ".join(f"{split} {number:,}" for split, number in card.samples.items())
    yield Finding("ok", f"samples: {counts}, read in {seconds:.0f} s")
    for text in card.warnings:
        yield Finding("warning", f"samples of {text.rstrip('.')}", "The coordinator will see that, too.")
    yield from _contract("labels and counts", card_misfits(kit.kit.contract, card))
    fewest = kit.kit.policy.min_examples
    number = card.samples.get("train", fewest)
    what = f"policy: an update rests on {number:,} samples"
    yield judged(number >= fewest, what, f"It may not leave with fewer than {fewest:,}.")
