"""Whatever could keep this site from training, looked at one by one: each is ok, or what to do."""

from __future__ import annotations

import ast
import faulthandler
import importlib
import os
import platform
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from .contracts import BadInput, Manifest, NbfedError
from .scratch import Scratch
from .settings import data_folder, server_address

_LOOKED_AT = 1000  # files of the data folder
_MB, _GB = 1 << 20, 1 << 30
_CLOCK_SECONDS = 4.0  # less than what the server forgives
_WRITTEN = 1_780_000_000  # this file is younger than that (June 2026)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``advice`` says what to do where it is not ok. A warning stops nothing."""

    level: Literal["ok", "warning", "no"]
    what: str
    advice: str = ""

    def text(self) -> str:
        """The finding as one line."""
        return f"{self.level:<8}{self.what}" + (f": {self.advice}" if self.advice else "")


def judged(good: bool, what: str, advice: str, otherwise: Literal["warning", "no"] = "no") -> Finding:
    """Ok where ``good``, else ``otherwise`` with ``advice``."""
    return Finding("ok", what) if good else Finding(otherwise, what, advice)


def examine(options: Namespace, scratch: Scratch) -> Iterator[Finding]:
    """Look at everything; each finding comes as soon as it is known."""
    yield from _rights(scratch)
    yield _runtime()
    try:
        from .program import read_slice

        manifest = read_slice(options.slice).manifest
        yield Finding("ok", f"slice: {manifest.slice_digest[7:19]} of {manifest.notebook} fits its manifest")
        yield from _imports(options.slice, manifest)
        yield from _data(options, manifest)
    except NbfedError as error:
        yield Finding("no", f"slice: {error.what}", error.hint or "Pull the image again.")
    yield from _machine(scratch, options.slice)
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "none", "void"):
        yield _gpu()
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    yield judged(time.time() > _WRITTEN, f"clock: {now}", "Set this machine's clock.")
    if options.server:
        yield from _server(options, scratch)


def _runtime() -> Finding:
    try:
        from .link.fleet import VERSIONS
    except Exception as error:  # whatever a damaged installation raises
        return Finding("no", f"runtime: {type(error).__name__}: {error}", "Pull the image again.")
    return Finding("ok", f"runtime: {VERSIONS}, Python {platform.python_version()}, {platform.machine()}")


def _imports(slice_folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Import all that the slice imports; a processor that is too old ends this with its name on record."""
    faulthandler.enable()
    own = {Path(name).parts[0].removesuffix(".py") for name in manifest.modules}
    files = ["slice.py", *(name for name in manifest.modules if name.endswith(".py"))]
    found = {name for file in files for name in _modules(ast.parse((slice_folder / file).read_bytes()))}
    names = sorted(name for name in found if name.partition(".")[0] not in own)
    begun, good = time.monotonic(), []
    for name in names:
        try:
            importlib.import_module(name)
            good.append(name)
        except Exception as error:  # whatever a package raises at its import
            what = f"import {name}: {type(error).__name__}: {error}"
            yield Finding("no", what, "The image lacks something: tell its author.")
    yield Finding("ok", f"imports: {', '.join(good)} in {time.monotonic() - begun:.1f} s")


def _modules(node: ast.AST) -> Iterator[str]:
    """What is imported below ``node``, but for what may fail: imports in a ``try``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    elif not isinstance(node, ast.Try):
        for child in ast.iter_child_nodes(node):
            yield from _modules(child)


def _rights(scratch: Scratch) -> Iterator[Finding]:
    user = os.getuid()
    yield judged(user != 0, f"user: {user}", "Run as another one: --user 65532:65532", "warning")
    try:
        scratch.confine()
        yield Finding("ok", f"writing to {scratch.path}")
    except BadInput as error:
        yield Finding("no", f"writing to {scratch.path}", error.hint)
    sealed = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    yield judged(sealed, "read-only root file system", "Start with --read-only", "warning")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    bare = int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"].strip() == "1"
    advice = "Start with --cap-drop ALL --security-opt no-new-privileges"
    yield judged(bare, "privileges dropped", advice, "warning")


def _data(options: Namespace, manifest: Manifest) -> Iterator[Finding]:
    try:
        folder = data_folder(options.data, manifest)
    except NbfedError as error:
        yield Finding("no", f"data: {error.where}", error.hint)
        return
    if folder is None:
        taken = any(item.meaning == "data_path" for item in manifest.parameters)
        what = "the notebook reads a folder, and there is none" if taken else "the notebook reads no folder"
        yield judged(not taken, f"data: {what}", "Mount it: -v DIR:/data:ro")
        return
    files = list(islice((Path(top, name) for top, _, names in os.walk(folder) for name in names), _LOOKED_AT))
    sealed = sum(not os.access(file, os.R_OK) for file in files)
    yield judged(
        bool(files), f"data: {len(files)} files seen in {folder}", "It is empty, or its owner keeps it shut."
    )
    advice = f"{sealed} of {len(files)} cannot be read: let user {os.getuid()} read them."
    yield judged(not sealed, "data can be read", advice)
    yield judged(not os.access(folder, os.W_OK), "data cannot be written", "Mount it with :ro", "warning")


def _machine(scratch: Scratch, slice_folder: Path) -> Iterator[Finding]:
    with suppress(OSError):
        free = shutil.disk_usage(scratch.path).free
        yield judged(
            free > 200 * _MB, f"disk: {free / _GB:.1f} GB free in {scratch.path}", "Free some space."
        )
    memory = _memory()
    yield judged(memory > _GB, f"memory: {memory / _GB:.1f} GB free", "Training may need more.", "warning")
    yield Finding("ok", f"processors: {len(os.sched_getaffinity(0))}")
    with suppress(OSError):
        found = os.statvfs("/dev/shm")
        size = found.f_frsize * found.f_blocks
        enough = size >= 256 * _MB or b"num_workers" not in (slice_folder / "slice.py").read_bytes()
        advice = "The notebook's loaders use workers: start with --shm-size 1g"
        yield judged(enough, f"/dev/shm: {size / _MB:.0f} MB", advice, "warning")


def _memory() -> int:
    """Bytes of memory that are free to this container (cgroup v2, v1), else to this machine."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        with suppress(OSError, ValueError):
            group = Path("/sys/fs/cgroup") / ("memory" if "limit" in limit else "")
            found.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return min(found)


def _gpu() -> Finding:
    torch = sys.modules.get("torch")  # if the slice imports it
    seen = torch.cuda.is_available() if torch else Path("/dev/nvidiactl").exists()
    name = torch.cuda.get_device_name(0) if torch and seen else "seen" if seen else "none seen"
    return judged(
        seen, f"GPU: {name}", "Start with --gpus all; the driver must not be older than the image's CUDA."
    )


def _server(options: Namespace, scratch: Scratch) -> Iterator[Finding]:
    from . import link

    try:
        address = server_address(options.server, options.plain_http)
        settings = link.LinkSettings(address, "", scratch.key, options.ca)
        probe = link.look(settings)
        yield Finding(
            "ok", f"server: {address} answers" + ("" if probe.valid_days is None else ", its name fits")
        )
        if probe.valid_days is not None:
            advice = "Ask the coordinator for a new one."
            yield judged(
                probe.valid_days > 14, f"certificate: {probe.valid_days:.0f} days left", advice, "warning"
            )
        off = probe.clock_seconds or 0.0
        yield judged(
            abs(off) < _CLOCK_SECONDS, f"clock: {off:+.0f} s from the server's", "Set this machine's clock."
        )
        if scratch.key.exists():
            link.ask_admission(settings)
            yield Finding("ok", "the server knows this site's key")
        else:
            yield Finding(
                "warning", "no key yet", "Make one with `key`, and give its line to the coordinator."
            )
    except NbfedError as error:
        yield Finding("no", error.what, error.hint or "Check address, firewall, proxy, --ca and the clock.")
