"""The script that runs a site with whatever engine there is, and the same in single commands."""

from __future__ import annotations

import shlex

from ..image.assembling import PYTHON
from .container import (
    DATA,
    HEALTHY,
    KIT,
    PASSED_ON,
    PULL_WAIT,
    SCRATCH,
    SHARED_MEMORY,
    USER,
    SiteContainer,
    closed_options,
)
from .texts import filled, template


def site_script(container: SiteContainer) -> bytes:
    """``site``, for any POSIX shell."""
    image = container.image
    return filled(
        template("site.sh"),
        site=container.kit.site,
        federation=container.kit.federation,
        folder=" /path/to/data" if image.reads_data else "",
        user=USER,
        shm=SHARED_MEMORY,
        pull_wait=str(PULL_WAIT),
        digest=f"sha256:{image.reference.rpartition(':')[2]}",
        name=shlex.quote(container.name),
        image=shlex.quote(image.reference),
        loaded=shlex.quote(image.configuration),
        gpu="yes" if image.gpu else "no",
        reads_data="yes" if image.reads_data else "no",
        closed=" ".join(closed_options()),
        healthy=" ".join(HEALTHY),
        passed=" ".join(PASSED_ON),
        python=PYTHON,
        kit_folder=KIT,
        data_folder=DATA,
        scratch_folder=SCRATCH,
    )


def podman_line(container: SiteContainer) -> str:
    """One command that starts the site with rootless Podman, from the kit's folder."""
    words = [
        f"podman run --detach --name {container.name} --restart on-failure",
        " ".join((*closed_options(), "--read-only-tmpfs=false")),
        f'--userns keep-id --user "$(id -u):$(id -g)" --shm-size {SHARED_MEMORY}',
        f'--volume "$PWD:{KIT}:ro" --volume {container.name}:{SCRATCH}',
        *([f"--volume /path/to/data:{DATA}:ro"] * container.image.reads_data),
        f"{container.runnable} up",
    ]
    return " \\\n  ".join(words)


def apptainer_line(container: SiteContainer) -> str:
    """One command that runs the site with Apptainer, from the kit's folder."""
    offline = "docker-archive:images.tar" if container.image.configuration else ""
    words = [
        f'mkdir -p "$HOME/{container.name}" && apptainer run --containall --no-privs',
        f'--bind "$PWD:{KIT}:ro" --bind "$HOME/{container.name}:{SCRATCH}"',
        *([f"--bind /path/to/data:{DATA}:ro"] * container.image.reads_data),
        f"{offline or f'docker://{container.image.reference}'} up",
    ]
    return " \\\n  ".join(words)
