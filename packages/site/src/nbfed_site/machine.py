"""What the doctor sees of the container: its user, its runtime, its machine."""

from __future__ import annotations

import ast
import faulthandler
import importlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .contracts import BadInput, Manifest
from .scratch import Scratch

MB, GB = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``advice`` says what to do where it is not ok. A warning stops nothing."""

    level: Literal["ok", "warning", "no"]
    what: str
    advice: str = ""

    def text(self) -> str:
        """The finding as one line."""
        return f"{self.level:<8}" + (f"{self.what.rstrip('.')}: {self.advice}" if self.advice else self.what)


def judged(good: bool, what: str, advice: str, otherwise: Literal["warning", "no"] = "no") -> Finding:
    """Ok where ``good``, else ``otherwise`` with ``advice``."""
    return Finding("ok", what) if good else Finding(otherwise, what, advice)


def rights(scratch: Scratch) -> Iterator[Finding]:
    """As whom this runs, and what it may do."""
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


def runtime() -> Finding:
    """Whether what every site runs is whole."""
    try:
        from .link.fleet import VERSIONS
    except Exception as error:  # whatever a damaged installation raises
        return Finding("no", f"runtime: {type(error).__name__}: {error}", "Pull the image again.")
    return Finding("ok", f"runtime: {VERSIONS}, Python {platform.python_version()}, {platform.machine()}")


def imports(slice_folder: Path, manifest: Manifest) -> Iterator[Finding]:
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


def machine(scratch: Scratch, slice_folder: Path) -> Iterator[Finding]:
    """Disk, memory, processors, shared memory, and the GPU where the image is made for one."""
    with suppress(OSError):
        free = shutil.disk_usage(scratch.path).free
        yield judged(
            free > 200 * MB,
            f"disk: {free / GB:.1f} GB free in {scratch.path}",
            "Free some space, or NBFED_SCRATCH=/big/disk",
        )
    memory = free_memory()
    yield judged(memory > GB, f"memory: {memory / GB:.1f} GB free", "Training may need more.", "warning")
    yield Finding("ok", f"processors: {len(os.sched_getaffinity(0))}")
    with suppress(OSError):
        found = os.statvfs("/dev/shm")
        size = found.f_frsize * found.f_blocks
        enough = size >= 256 * MB or b"num_workers" not in (slice_folder / "slice.py").read_bytes()
        advice = "The notebook's loaders use workers: NBFED_SHM=8g, which is --shm-size"
        yield judged(enough, f"/dev/shm: {size / MB:.0f} MB", advice, "warning")
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "none", "void"):
        yield _gpu()


def free_memory() -> int:
    """Bytes of memory that are free to this container (cgroup v2, v1), else to this machine.

    Files that the kernel merely remembers count as free.
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        with suppress(OSError, ValueError, KeyError):
            group = Path("/sys/fs/cgroup") / ("memory" if "limit" in limit else "")
            kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            cache = int(kept.get("total_inactive_file") or kept["inactive_file"])
            found.append(int((group / limit).read_text()) - int((group / used).read_text()) + cache)
    return min(found)


def _gpu() -> Finding:
    torch = sys.modules.get("torch")  # if the slice imports it
    seen = torch.cuda.is_available() if torch else Path("/dev/nvidiactl").exists()
    name = torch.cuda.get_device_name(0) if torch and seen else "seen" if seen else "none seen"
    return judged(
        seen,
        f"GPU: {name}",
        "Install NVIDIA's Container Toolkit, start with --gpus all; a driver no older than the image's CUDA.",
    )
