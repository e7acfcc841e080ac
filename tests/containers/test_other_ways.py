"""A site by Compose and by Swarm: the container is the one that the kit's script runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from container_engines import UID, Engine
from kit_sites import Site, made
from notebook_federator.image.assembling import PYTHON
from notebook_federator.kits.container import Image

pytestmark = pytest.mark.end_to_end
DIGESTS = """
import hashlib, json, os
def digest(name):
    return "sha256:" + hashlib.sha256(open("/kit/" + name, "rb").read()).hexdigest()
print(json.dumps({name: digest(name) for name in os.listdir("/kit")}))
"""


@pytest.fixture
def site(docker: Engine, probe: str, open_folder: Callable[[], Path]) -> Iterator[Site]:
    """A site that `doctor` has looked at."""
    found = made(docker, open_folder(), Image(probe))
    found("doctor", str(found.data))
    yield found
    found("erase", "--yes")


def facts(site: Site, container: str) -> dict[str, Any]:
    """How a container runs, whoever started it."""
    (found,) = json.loads(site.engine("container", "inspect", container).stdout)
    host, config = found["HostConfig"], found["Config"]
    mounts = {item["Destination"]: item["RW"] for item in found["Mounts"]}
    return {
        "command": config["Cmd"],
        "user": config["User"],
        "read-only": host["ReadonlyRootfs"],
        "capabilities": host["CapDrop"],
        "processes": host["PidsLimit"],
        "data": mounts["/data"],
        "scratch": mounts["/scratch"],
        "environment": sorted(config["Env"]),
    }


def test_compose_runs_the_same_container(site: Site) -> None:
    if not shutil.which("docker-compose"):
        pytest.skip("no Compose here (Debian: apt-get install docker-compose)")
    site("up")
    script, shut = facts(site, site.name), site.inspected()
    site("stop")
    site.engine("rm", site.name)
    composed(site, "up", "--detach")
    assert facts(site, site.name) == script
    found = site.inspected()
    for name in ("SecurityOpt", "ShmSize", "RestartPolicy"):
        assert plain(found["HostConfig"][name]) == plain(shut["HostConfig"][name])
    assert found["Config"]["StopTimeout"] == shut["Config"]["StopTimeout"]
    assert "takes part already" in site("up").stderr
    assert site("logs").stdout == "taking part\n"
    composed(site, "down")


def plain(value: Any) -> str:
    """Compose writes `no-new-privileges:true` for what `docker run` calls `no-new-privileges`."""
    return json.dumps(value, sort_keys=True).replace(":true", "")


def composed(site: Site, *words: str) -> None:
    """Run Compose with nothing but what `doctor` wrote."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NBFED_")}
    found = subprocess.run(
        ["docker-compose", *words],
        cwd=site.kit, env=plain | dict(site.engine.environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


@pytest.fixture
def swarm(docker: Engine) -> Iterator[str]:
    """Name of this machine as the only node of a swarm, which ends with the test."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() != "inactive":
        pytest.skip("this Docker is part of a swarm, which is left alone")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        yield docker("node", "ls", "--format", "{{.Hostname}}").stdout.strip()
    finally:
        docker("swarm", "leave", "--force")


def test_swarm_runs_the_same_container_with_the_whole_kit(site: Site, swarm: str) -> None:
    site("up")
    script = facts(site, site.name)
    site("stop")
    site.engine("rm", site.name)
    variables = {"NBFED_NODE": swarm, "NBFED_DATA": str(site.data), "NBFED_USER": f"{UID}:{UID}"}
    docker = Engine("docker", site.engine.command, environment={**site.engine.environment, **variables})
    docker("stack", "deploy", "--compose-file", str(site.kit / "stack.yml"), site.name)
    try:
        container = running(site, swarm)
        assert facts(site, container) == script
        found = json.loads(docker("exec", container, PYTHON, "-I", "-c", DIGESTS).stdout)
        kit = json.loads((site.kit / "kit.json").read_text())
        assert {name: found[name] for name in kit["files"]} == kit["files"]
        assert found.keys() - kit["files"].keys() == {"kit.json", "kit.sig"}
        shm = docker(
            "exec",
            container,
            PYTHON,
            "-I",
            "-c",
            "import os; s = os.statvfs('/dev/shm'); print(s.f_frsize * s.f_blocks)",
        )
        assert int(shm.stdout) == 2 << 30
    finally:
        docker("stack", "rm", site.name)
        gone(site)


def running(site: Site, node: str, seconds: float = 90) -> str:
    """The container of the stack's only task, once it is healthy."""
    until = time.monotonic() + seconds
    name = f"{site.name}_site"
    while True:
        found = site.engine("ps", "--quiet", "--filter", f"name={name}").stdout.split()
        if (
            found
            and site.engine(
                "exec", found[0], PYTHON, "-I", "-m", "nbfed_site", "healthy", check=False
            ).returncode
            == 0
        ):
            return found[0]
        if time.monotonic() > until:
            pytest.fail(site.engine("service", "ps", "--no-trunc", name, check=False).stdout)
        time.sleep(0.5)


def gone(site: Site, seconds: float = 90) -> None:
    """Wait until the stack's container has ended, so that its volume can go."""
    until = time.monotonic() + seconds
    while site.engine("ps", "--all", "--quiet", "--filter", f"name={site.name}").stdout.strip():
        assert time.monotonic() < until
        time.sleep(0.5)
