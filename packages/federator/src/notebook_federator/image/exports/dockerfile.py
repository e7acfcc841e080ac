"""A build context for `docker build`, `podman build` or `buildah build` that gives an equivalent image.

Same base, same wheels by hash, same slice and runtime in the same places, same configuration; not the same
digest, for these tools write times and their own file order into layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..assembling import pyvenv
from .instructions import instructions
from .requirements import requirements

if TYPE_CHECKING:
    from ...locking import Lock, Role
    from ..base_image import BaseImage

# No folder is called lib, venv or wheels, which the .gitignore files of Python projects leave out.
_IGNORE = b"*\n!Dockerfile\n!pyvenv.cfg\n!requirements.txt\n!runtime\n!slice\n!wheelhouse\n"
_WHEELHOUSE = b"""Wheels in this folder are taken before those of an index, if they are the locked files.
With `--build-arg PIP_NO_INDEX=1` no index is asked at all. Nothing of this folder stays in the image but what
is installed from it.
"""

_DOCKERFILE = r"""# @title@ image of a federated notebook.
#
#   docker build --tag NAME:TAG .     (with BuildKit: Docker 20.10 with DOCKER_BUILDKIT=1, or later)
#   buildah build --tag NAME:TAG .    (or podman build)
#
# requirements.txt pins every wheel by its hash, whichever index it comes from. To choose the index:
#   --secret id=pip,src=pip.conf                  pip's own configuration file, for an index with a password
#   --secret id=ca,src=authority.pem              where that file says: cert = /run/secrets/ca
#   --build-arg PIP_INDEX_URL=https://...         or PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX=1
# Wheels copied into wheelhouse/ need no index. None of these stays in the image or its history.
# The first two stages need a shell, pip or venv, and Python @python@. Where the base image has none:
#   --build-arg INSTALLER=IMAGE                   another image with Python @python@ for @platform@

ARG INSTALLER=@base@

# The wheels are for one platform, whatever machine builds.
# hadolint ignore=DL3029
FROM --platform=@platform@ ${INSTALLER} AS wheels
RUN python3 -c 'import sys; "%d.%d" % sys.version_info[:2] == "@python@" or sys.exit(sys.version)' \
    && if python3 -m pip --version; then python3 -m venv --without-pip --system-site-packages /build/pip; \
        else python3 -m venv /build/pip; fi
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
RUN --mount=type=bind,source=requirements.txt,target=/build/requirements.txt \
    --mount=type=bind,source=wheelhouse,target=/build/wheelhouse \
    --mount=type=secret,id=pip \
    --mount=type=secret,id=ca \
    --mount=type=cache,target=/root/.cache/pip \
    umask 022 \
    && python3 -m venv --without-pip /app/venv \
    && PIP_CONFIG_FILE=/run/secrets/pip /build/pip/bin/python3 -m pip --python /app/venv/bin/python3 install \
        --disable-pip-version-check --no-compile --no-deps --only-binary :all: --require-hashes \
        --find-links /build/wheelhouse --requirement /build/requirements.txt \
    && rm -r /app/venv/lib64 /app/venv/pyvenv.cfg /app/venv/bin/[Aa]ctivate* \
        /app/venv/bin/python /app/venv/bin/python3 /app/venv/bin/python@python@

# The files of the notebook and of the site runtime, readable by every user whatever their modes here.
# hadolint ignore=DL3029
FROM --platform=@platform@ ${INSTALLER} AS code
COPY pyvenv.cfg /image/app/venv/
COPY runtime/ /image/app/venv/lib/python@python@/site-packages/
COPY slice/ /image/app/slice/
RUN chmod -R u=rwX,go=rX /image \
    && mkdir -m 755 /image/data /image/kit /image/app/venv/bin \
    && mkdir -m 1777 /image/scratch \
    && ln -s python3 /image/app/venv/bin/python \
    && ln -s @interpreter@ /image/app/venv/bin/python3

# hadolint ignore=DL3029
FROM --platform=@platform@ @base@
COPY --from=wheels /app/ /app/
COPY --from=code /image/ /
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made from.

    Attributes:
        role: which image.
        lock: its wheels. Those that `local_wheels` names have to be copied into ``wheelhouse/``.
        base: the base image, by digest, and its Python.
        configuration: the ``config`` object of the image (OCI image specification, "Image Configuration").
        slice_files: what lies in ``/app/slice``.
        runtime_files: what lies in ``site-packages`` beside the wheels' files.
    """

    role: Role
    lock: Lock
    base: BaseImage
    configuration: Mapping[str, Any]
    slice_files: Mapping[str, bytes]
    runtime_files: Mapping[str, bytes]


def build_context(recipe: Recipe) -> dict[str, bytes]:
    """Path below the context's folder -> bytes.

    Raises:
        BadInput: a value of the configuration that a Dockerfile cannot hold.
    """
    files = {
        ".dockerignore": _IGNORE,
        "Dockerfile": _dockerfile(recipe.base, recipe.configuration).encode(),
        "pyvenv.cfg": pyvenv(recipe.base),
        "requirements.txt": requirements(recipe.lock, recipe.role),
        "wheelhouse/README.md": _WHEELHOUSE,
    }
    files |= {f"slice/{name}": data for name, data in recipe.slice_files.items()}
    return files | {f"runtime/{name}": data for name, data in recipe.runtime_files.items()}


def _dockerfile(base: BaseImage, configuration: Mapping[str, Any]) -> str:
    values = {
        "title": (configuration.get("Labels") or {}).get("org.opencontainers.image.title", "An"),
        "base": base.reference,
        "platform": str(base.platform),
        "python": base.python.version,
        "interpreter": base.python.path,
    }
    text = _DOCKERFILE
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text + "\n".join(instructions(configuration)) + "\n"
