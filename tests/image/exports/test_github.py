"""The workflow against GitHub's own schema, and against what must not be in one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbfed_site.contracts import BadInput
from notebook_federator.image.exports.github import workflow, workflow_path

NOTEBOOK, LOCK = "studies/lung.ipynb", "studies/pylock.lung.toml"


def parsed(notebook: str = NOTEBOOK, lock: str = LOCK) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(workflow(notebook, lock, "0.1.0"))
    return found


def steps(job: Any) -> str:
    return "\n".join(str(step.get("run", "")) for step in job["steps"])


@pytest.mark.parametrize("notebook", [NOTEBOOK, 'odd "name" [v1]* $x ${{ github.token }} é.ipynb'])
def test_githubs_schema_accepts_it(tmp_path: Path, notebook: str) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.exists():
        pytest.skip("check-jsonschema is not installed")
    path = tmp_path / "nbfed.yml"
    path.write_bytes(workflow(notebook, LOCK, "0.1.0"))
    command = [str(program), "--builtin-schema", "vendor.github-workflows", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_it_runs_when_notebook_lock_or_workflow_change() -> None:
    on = parsed()[True]  # YAML 1.1 reads the key `on` as true
    watched = [NOTEBOOK, LOCK, ".github/workflows/nbfed-lung.yml"]
    assert on["push"]["paths"] == on["pull_request"]["paths"] == watched
    assert on["workflow_dispatch"] is None


def test_only_a_commit_on_the_default_branch_may_push() -> None:
    found = parsed()
    jobs = found["jobs"]
    assert found["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"contents": "read", "packages": "write"}
    assert "permissions" not in jobs["build"]
    assert "default_branch" in jobs["publish"]["if"]
    assert jobs["build"]["if"] == "github.event_name == 'pull_request'"
    assert "--push" not in steps(jobs["build"])
    assert '--locked --push "ghcr.io/${GITHUB_REPOSITORY,,}"' in steps(jobs["publish"])
    for job in jobs.values():
        assert 'nbfed check "$NOTEBOOK"' in steps(job)
        assert '"notebook-federator==0.1.0"' in steps(job)


def test_a_newer_commit_of_a_pull_request_stops_the_older_build_and_pushes_are_not_cut_off() -> None:
    concurrency = parsed()["concurrency"]
    assert "github.ref" in concurrency["group"]
    assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_actions_are_named_by_commit_and_leave_no_credentials() -> None:
    used = [step for job in parsed()["jobs"].values() for step in job["steps"] if "uses" in step]
    assert len(used) == 4
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    checkouts = [step for step in used if "checkout" in step["uses"]]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False, False]


def test_the_token_is_in_one_step_and_never_in_a_command_line() -> None:
    text = workflow(NOTEBOOK, LOCK, "0.1.0").decode()
    assert text.count("secrets.") == 1
    holders = [s for s in parsed()["jobs"]["publish"]["steps"] if "TOKEN" in s.get("env", {})]
    assert [step["run"].startswith("printf '%s' \"$TOKEN\" | docker login") for step in holders] == [True]
    assert not any("${{" in str(s.get("run")) for job in parsed()["jobs"].values() for s in job["steps"])


def test_a_notebooks_name_is_only_a_name() -> None:
    odd = 'a [v1]*${{ secrets.X }}".ipynb'
    found = parsed(odd)
    assert found["env"]["NOTEBOOK"] == "a [v1]*${{ '${{' }} secrets.X }}\".ipynb"
    assert found[True]["push"]["paths"][0] == 'a \\[v1\\]\\*${{ secrets.X }}".ipynb'
    assert workflow_path(odd) == ".github/workflows/nbfed-a-v1-secrets-X-.yml"


@pytest.mark.parametrize("path", ["/home/me/x.ipynb", "../x.ipynb", "", "a\nb.ipynb"])
def test_a_path_outside_the_repository_is_refused(path: str) -> None:
    with pytest.raises(BadInput):
        workflow(path, LOCK, "0.1.0")
