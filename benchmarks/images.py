"""Both images of a notebook, built and pushed: `nbfed build` beside `docker build` and `docker push`.

    python benchmarks/images.py [--without-docker] [options of nbfed build, such as --wheels DIR]

Docker builds the context that `nbfed build --export-dockerfile` writes, in a daemon of its own that has
never seen an image. Both take the same wheels from the same package index on this machine over HTTP, and
push to the same registry, which holds the base image alone before every build that is called cold. Then
another empty Docker pulls as a site does. Needs a registry (Debian: docker-registry) and apt-get for the base
image; for Docker also root. Takes about 8 minutes on 2 cores with Docker, 1 minute without.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/containers"))
from images_docker import Docker, NoDocker, Seconds, empty_docker
from images_notebooks import Bench, Run, fetch_wheels, settle_locks, take_from, write_notebooks
from images_servers import Registry, package_index
from images_tables import print_layers, print_pulls, print_speed, print_start

CONTEXTS = {"server": "server-aggregation", "client": "client-training"}
COLD_REPEATS = 3
REPEATS = 5
STEPS = ("first", "next", "other")
STARTED = """
import time
began = time.perf_counter()
import pathlib
import nbfed_site.__main__, nbfed_site.link
from nbfed_site.program import Program
runtime = time.perf_counter() - began
Program(pathlib.Path("/app/slice"), {}, None, lambda progress: None).prepare(0)
print(runtime, time.perf_counter() - began)
"""


def measure_ours(bench: Bench) -> dict[str, list[Run]]:
    """`nbfed build --push` from cold to a changed line."""
    found: dict[str, list[Run]] = {"cold": [], "wheels": [], "author": [], "line": []}
    for _ in range(COLD_REPEATS):
        shutil.rmtree(bench.cache, ignore_errors=True)
        bench.empty_registry()
        found["cold"].append(bench.push("first"))
    for _ in range(COLD_REPEATS):
        for kind in bench.cache.iterdir():
            if kind.name != "wheels":
                shutil.rmtree(kind)
        bench.empty_registry()
        found["wheels"].append(bench.push("first"))
    for _ in range(REPEATS):
        bench.change_line("first")
        found["line"].append(bench.push("first"))
    shutil.rmtree(bench.cache)
    found["author"].append(bench.push("first"))
    assert not list((bench.cache / "wheels").glob("*.whl")), "a known layer was made again"
    return found


def measure_docker(bench: Bench, docker: Docker, pip_conf: Path) -> dict[str, list[Seconds]]:
    """`docker build` and `docker push` of both exported contexts, from cold to a changed line.

    pip's cache is a mount that outlives ``--no-cache``; the base image stays pulled.
    """
    found: dict[str, list[Seconds]] = {"cold": [], "wheels": [], "line": []}

    def both(*options: str) -> Seconds:
        contexts = bench.export("first")
        secret = ("--secret", f"id=pip,src={pip_conf}", *options)
        return {
            role: docker.build_and_push(contexts / folder, bench.image("docker", "first", role), *secret)
            for role, folder in CONTEXTS.items()
        }

    bench.empty_registry()
    found["cold"].append(both())
    bench.empty_registry()
    found["wheels"].append(both("--no-cache"))
    for _ in range(REPEATS):
        bench.change_line("first")
        found["line"].append(both())
    for name in ("next", "other"):  # what a site pulls later
        context = bench.export(name) / CONTEXTS["client"]
        secret = ("--secret", f"id=pip,src={pip_conf}")
        docker.build_and_push(context, bench.image("docker", name), *secret)
    return found


def pull(bench: Bench, site: Docker, maker: str) -> list[tuple[float, int]]:
    """Seconds and bytes of a site that pulls the client images of three notebooks, one after the other."""
    found = []
    for name in STEPS:
        before = bench.registry.sent()
        seconds = site.timed("pull", "--quiet", bench.image(maker, name))
        found.append((seconds, bench.registry.sent() - before))
    return found


def start(site: Docker, image: str) -> dict[str, list[float]]:
    """Seconds of a container that does nothing; and inside one, until a site's process has loaded the runtime
    and until data and model of the notebook are ready."""
    closed = ("--network", "none", "--read-only", "--user", "12345:12345", "--cap-drop", "ALL")
    scratch = ("--tmpfs", "/scratch:mode=1777", "--env", "TMPDIR=/scratch")
    python = ("run", "--rm", *closed, *scratch, "--entrypoint", "/app/venv/bin/python3", image, "-I", "-c")
    inside = [tuple(map(float, site(*python, STARTED).split()[-2:])) for _ in range(REPEATS)]
    nothing = [site.timed(*python, "pass") for _ in range(REPEATS)]
    return {"container": nothing, "runtime": [a for a, _ in inside], "ready": [b for _, b in inside]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--without-docker", action="store_true", help="measure nbfed alone")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="nbfed-images-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        registry = Registry(folder / "registry")
        try:
            measure(Bench(folder, registry), options, arguments.without_docker)
        finally:
            registry.stop()


def measure(bench: Bench, options: list[str], without_docker: bool) -> None:
    """Everything, in one run on one machine."""
    print(f"Load of this machine before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores")
    bench.empty_registry()
    write_notebooks(bench)
    locking = settle_locks(bench, options)
    with package_index(fetch_wheels(bench)) as index:
        take_from(bench, index)
        ours = measure_ours(bench)
        try:
            docker = None if without_docker else docker_side(bench, index)
        except NoDocker as reason:
            print(f"Docker is not measured: {reason}.")
            docker = None
        print_speed(locking, ours, docker)
        theirs = (
            {role: bench.registry.manifest(f"docker:{role}-first") for role in CONTEXTS} if docker else {}
        )
        print_layers(ours["cold"][-1].said, theirs)
        if docker is not None:
            site_side(bench)


def docker_side(bench: Bench, index: str) -> dict[str, list[Seconds]]:
    """Docker as a builder; leaves the images of all notebooks, its own and ours, in the registry."""
    pip_conf = bench.folder / "pip.conf"  # pip caches what comes from hosts that it trusts
    pip_conf.write_text(f"[global]\nindex-url = {index}/simple/\ntrusted-host = localhost\n")
    with empty_docker(bench.folder / "builder") as docker:
        return measure_docker(bench, docker, pip_conf)


def site_side(bench: Bench) -> None:
    """Docker at a site: what it pulls, and how a site's process starts."""
    for name in STEPS:
        bench.push(name)
    with empty_docker(bench.folder / "site") as site:
        ours = pull(bench, site, "nbfed")
        print_start(start(site, bench.image("nbfed", "first")))
    with empty_docker(bench.folder / "site") as site:
        print_pulls(ours, pull(bench, site, "docker"))


if __name__ == "__main__":
    main()
