"""A GitHub workflow that builds and pushes both images on a commit that changes notebook or lock."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from nbfed_site.contracts import BadInput

# By commit, for a tag can be moved.
_CHECKOUT = "actions/checkout@df4cb1c069e1874edd31b4311f1884172cec0e10  # v6.0.3"
_SETUP_PYTHON = "actions/setup-python@a309ff8b426b58ec0e2a45f0f869d46889d02405  # v6.2.0"

_WORKFLOW = """# Checks the notebook and builds its two images from the lock. Commits on the default branch
# push them to the repository's own registry; pull requests only build them, and their token cannot push.
name: @name@

on:
  push:
    paths:
@paths@
  pull_request:
    paths:
@paths@
  workflow_dispatch:

permissions:
  contents: read

concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}

env:
  NOTEBOOK: @notebook@

defaults:
  run:
    shell: bash

jobs:
  build:
    if: github.event_name == 'pull_request'
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    steps:
@prepare@
      - name: Build, without push
        run: nbfed build "$NOTEBOOK" --locked --output "$RUNNER_TEMP/images"

  publish:
    if: github.event_name != 'pull_request' && github.ref_name == github.event.repository.default_branch
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    permissions:
      contents: read
      packages: write
    steps:
@prepare@
      - name: Sign in to the registry
        env:
          DOCKER_CONFIG: ${{ runner.temp }}/docker
          TOKEN: ${{ secrets.GITHUB_TOKEN }}
        run: printf '%s' "$TOKEN" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin
      - name: Build and push
        env:
          DOCKER_CONFIG: ${{ runner.temp }}/docker
        run: nbfed build "$NOTEBOOK" --locked --push "ghcr.io/${GITHUB_REPOSITORY,,}"
      - name: Forget the token
        if: always()
        run: rm -rf "$RUNNER_TEMP/docker"
"""

_PREPARE = """      - uses: @checkout@
        with:
          persist-credentials: false
      - uses: @setup@
        with:
          python-version: "3.12"
      - name: Install Notebook Federator
        run: python -m pip install "notebook-federator==@version@"
      - name: Check the notebook
        run: nbfed check "$NOTEBOOK\""""


def workflow_path(notebook: str) -> str:
    """Where in a repository the workflow of this notebook stands."""
    return f".github/workflows/nbfed-{re.sub(r'[^A-Za-z0-9_-]+', '-', PurePosixPath(notebook).stem)}.yml"


def workflow(notebook: str, lock: str, version: str) -> bytes:
    """The workflow (GitHub's "Workflow syntax for GitHub Actions") as YAML.

    Args:
        notebook: path of the notebook from the repository's root, with forward slashes.
        lock: path of its lock, likewise.
        version: of Notebook Federator, which the workflow installs.

    Raises:
        BadInput: a path that leaves the repository, or that YAML cannot hold.
    """
    watched = (notebook, lock, workflow_path(notebook))
    for path in watched:
        _require_inside(path)
    paths = "\n".join(f"      - {_text(_literal_glob(path))}" for path in watched)
    prepare = _filled(_PREPARE, checkout=_CHECKOUT, setup=_SETUP_PYTHON, version=version)
    name = _text(f"Federate {PurePosixPath(notebook).stem}")
    told = _text(notebook.replace("${{", "${{ '${{' }}"))  # what looks like an expression is one for GitHub
    return _filled(_WORKFLOW, prepare=prepare, paths=paths, name=name, notebook=told).encode()


def _filled(template: str, **values: str) -> str:
    """Every ``@name@`` replaced in one pass, so that no value is searched for another's name."""
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], template)


def _text(value: str) -> str:
    """A YAML double-quoted scalar (YAML 1.2, section 7.3.1); JSON's strings are that."""
    return json.dumps(value, ensure_ascii=False)


def _literal_glob(path: str) -> str:
    """A filter pattern that fits this path alone (GitHub's "Filter pattern cheat sheet")."""
    return re.sub(r"([\\*?+\[\]!])", r"\\\1", path)


def _require_inside(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or not path.isprintable():
        raise BadInput(
            f"A workflow cannot watch {path!r}.",
            hint="Put notebook and lock into the repository, under a name without control characters.",
        )
