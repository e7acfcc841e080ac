"""Into a local Docker or Podman: one tar, streamed into ``docker load`` or ``podman load``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Literal

from nbfed_site.contracts import StorageFull

from .errors import EngineMissing
from .layout import stream_tar
from .meter import Progress
from .shapes import BuiltImage, Role

Engine = Literal["docker", "podman"]
ENGINES: tuple[Engine, ...] = ("docker", "podman")
_ANSWER_SECONDS = 30.0
_WORDS = 2000  # characters of an engine's own words
_ADVICE: Mapping[Engine, str] = {
    "docker": "start Docker, or join the group that may use it",
    "podman": "check it with `podman info` (on macOS and Windows: `podman machine start`)",
}
_OTHERWISE = "or write the images with --output FILE.tar, or push them to a registry with --push"


def load(
    images: Sequence[BuiltImage], names: Mapping[Role, str], engine: Engine | None, progress: Progress
) -> None:
    """Load the images into an engine of this machine, under their names.

    Args:
        images, names, progress: as for :func:`~notebook_federator.image.layout.write_tar`.
        engine: None takes Docker where it answers, else Podman.

    Raises:
        EngineMissing: it is not there, does not answer, or does not take the images; with its own words.
        BlobDamaged: the bytes of a layer are not what its digest says; the engine keeps nothing.
        StorageFull: the engine has no room.
    """
    chosen = engine or _found()
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                [chosen, "load"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words
            )
        except OSError as error:
            raise _missing(chosen, _why_not_started(error)) from error
        assert process.stdin is not None
        try:
            broken = _fed(process.stdin, images, names, progress)
            failed = process.wait() != 0
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()
            with suppress(OSError):
                process.stdin.close()
        if failed or broken:
            raise _refused(chosen, _said(words))


def _fed(
    pipe: IO[bytes], images: Sequence[BuiltImage], names: Mapping[Role, str], progress: Progress
) -> bool:
    """Write the tar and close the pipe; True when the engine stopped reading."""
    try:
        stream_tar(images, names, pipe, progress)
        pipe.close()
    except BrokenPipeError:
        return True
    return False


def _found() -> Engine:
    """Docker where its daemon answers, else Podman."""
    why: dict[Engine, str] = {}
    for engine in ENGINES:
        reason = _silent(engine)
        if reason is None:
            return engine
        why[engine] = reason
    said = "; ".join(f"{engine}: {reason}" for engine, reason in why.items())
    hint = f"install or start Docker or Podman, {_OTHERWISE}"
    raise EngineMissing("There is no container engine to load the images into.", where=said, hint=hint)


def _silent(engine: Engine) -> str | None:
    """Why the engine does not answer; None when it does."""
    if shutil.which(engine) is None:
        return "not installed"
    try:
        asked = subprocess.run(
            [engine, "version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if asked.returncode == 0 else asked.stderr.strip()[-_WORDS:]


def _why_not_started(error: OSError) -> str:
    return "not installed" if isinstance(error, FileNotFoundError) else str(error)


def _said(words: IO[bytes]) -> str:
    words.seek(0)
    return words.read().decode(errors="replace").strip()[-_WORDS:]


def _missing(engine: Engine, reason: str) -> EngineMissing:
    hint = f"{_ADVICE[engine]}, {_OTHERWISE}"
    return EngineMissing(f"{engine} cannot be used here.", where=f"{engine}: {reason}", hint=hint)


def _refused(engine: Engine, said: str) -> EngineMissing | StorageFull:
    if "no space left on device" in said.lower():
        hint = f"make room: {engine} system prune"
        return StorageFull(f"{engine} has no room for the images.", where=f"{engine}: {said}", hint=hint)
    hint = f"{_ADVICE[engine]}, {_OTHERWISE}"
    return EngineMissing(f"{engine} did not take the images.", where=f"{engine}: {said}", hint=hint)
