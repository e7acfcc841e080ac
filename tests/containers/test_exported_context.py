"""The exported build contexts, really built: by Docker with secrets, by Podman with build arguments."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import platform
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from container_engines import Engine
from notebook_federator.image.assembling import code_layer
from notebook_federator.image.base_image import BaseImage, Python
from notebook_federator.image.exports.dockerfile import Recipe, build_context
from notebook_federator.image.exports.requirements import local_wheels
from notebook_federator.image.shapes import MANIFEST, Platform
from notebook_federator.locking import Lock, LockedWheel, Needs, Target

PACKAGES = "/app/venv/lib/python3.11/site-packages"
RUN = b"import sys, alpha, beta, gamma; print(sys.prefix, alpha.NAME, beta.NAME, sys.argv[1:])"
RAN = ["/app/venv", "alpha", "beta", "['up']"]
BETA = {
    "beta/__init__.py": b"NAME = 'beta'\ndef main(): print(NAME)\n",
    "beta-1.0.dist-info/entry_points.txt": b"[console_scripts]\nbeta-run = beta:main\n",
    "beta-1.0.data/data/share/beta.txt": b"data",
}
SLICE = {"slice.py": b"x = 1\n", "manifest.json": b"{}", "lib/more.py": b"y = 2\n"}
RUNTIME = {
    "nbfed_site/__init__.py": b"",
    "nbfed_site/__main__.py": RUN,
    "nbfed_site-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: nbfed-site\nVersion: 1.0\n",
}
CONFIGURATION: dict[str, Any] = {
    "User": "65532:65532",
    "Env": ["PATH=/app/venv/bin:/usr/bin:/bin", 'ODD=a "b" $PATH \\ é'],
    "Entrypoint": ["/app/venv/bin/python3", "-I", "-m", "nbfed_site"],
    "Cmd": ["--help"],
    "WorkingDir": "/",
    "StopSignal": "SIGINT",
    "Labels": {"org.opencontainers.image.title": "client-training", "odd": '$HOME "quoted" \\'},
    "ExposedPorts": {"9092/tcp": {}},
}
PLAIN = {name: value for name, value in CONFIGURATION.items() if name not in {"Env", "Labels"}}
NOTES = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")  # by an installer, of itself
LOOK = """
import json, os
from importlib.metadata import distributions
files = [f"{at}/{name}" for at, folders, names in os.walk("/app") for name in names]
found = distributions(path=["/app/venv/lib/python3.11/site-packages"])
said = {"files": files, "distributions": {one.name: one.version for one in found}}
for folder in ("scratch", "data"):
    said[folder] = oct(os.stat(f"/{folder}").st_mode)
open("/app/slice/manifest.json").read()
print(json.dumps(said))
"""
Serve = Callable[[Path, str], str]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and keeps no log."""

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves folders of wheels on addresses of this machine, as ``HOST:PORT``."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path, host: str) -> str:
        server = http.server.ThreadingHTTPServer((host, 0), partial(Quiet, directory=folder))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{host}:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def make_wheel(folder: Path, address: str, name: str, files: Mapping[str, bytes]) -> LockedWheel:
    """A wheel (PyPA's "Binary distribution format") in ``folder``, which is reached at ``address``."""
    info = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in {**files, f"{info}/RECORD": record(files, info)}.items():
            archive.writestr(inside, data)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return LockedWheel(name, "1.0", path.name, f"{address}/{path.name}", digest, len(data))


def record(files: Mapping[str, bytes], info: str) -> bytes:
    digests = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()) for name, data in files.items()}
    lines = [f"{name},sha256={digests[name].decode().rstrip('=')},{len(files[name])}" for name in files]
    return "\n".join([*lines, f"{info}/RECORD,,\n"]).encode()


@dataclass(frozen=True, slots=True)
class Exported:
    """A context on disk, what its image has to hold, and where its wheels can be had."""

    folder: Path
    names: frozenset[str]
    find_links: str


@pytest.fixture
def exported(tmp_path: Path, serve: Serve, debian_base: str) -> Exported:
    """A client's context: wheels on two hosts and in a folder; files for no other user.

    One wheel is called pip, as a lock's may be: the pip that installs must leave it alone.
    """
    places = {name: tmp_path / name for name in ("index", "other", "own")}
    for place in places.values():
        place.mkdir()
    index, other = serve(places["index"], "localhost"), serve(places["other"], "127.0.0.1")
    wheels = (
        make_wheel(places["index"], f"http://{index}", "alpha", {"alpha.py": b"NAME = 'alpha'"}),
        make_wheel(places["other"], f"http://{other}", "beta", BETA),
        make_wheel(places["own"], places["own"].as_uri(), "gamma", {"gamma.py": b""}),
        make_wheel(places["index"], f"http://{index}", "pip", {"pip/__init__.py": b""}),
    )
    base = base_of(debian_base)
    target = Target("3.11", str(base.platform), "cpu", base.reference)
    lock = Lock(target, Needs({}, "", ""), wheels, {"client": tuple(wheel.name for wheel in wheels)})
    folder = tmp_path / "context"
    for name, data in build_context(Recipe("client", lock, base, CONFIGURATION, SLICE, RUNTIME)).items():
        write_private(folder / name, data)
    for wheel in local_wheels(lock, "client"):
        write_private(folder / "wheelhouse" / wheel.filename, (places["own"] / wheel.filename).read_bytes())
    layer = code_layer(base, RUNTIME, SLICE)
    with tarfile.open(fileobj=layer.content.open()) as archive:
        code = {f"/{member.name}" for member in archive if not member.isdir()}
    return Exported(folder, frozenset(code | installed(places.values())), f"http://{index}")


def write_private(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(data)
    path.chmod(0o600)


def base_of(reference: str) -> BaseImage:
    """The tests' base image by its digest."""
    host, _, name = reference.partition("/")
    repository, _, tag = name.rpartition(":")
    address = f"http://{host}/v2/{repository}/manifests/{tag}"
    digest = urllib3.request("HEAD", address, headers={"Accept": MANIFEST}).headers["Docker-Content-Digest"]
    machine = {"aarch64": "arm64"}.get(platform.machine(), "amd64")
    named = f"{host}/{repository}@{digest}"
    return BaseImage(named, Platform("linux", machine), {}, (), Python("/usr/bin/python3", "3.11"))


def installed(folders: Iterable[Path]) -> set[str]:
    """Where the files of all wheels have to be, without what an installer notes of itself."""
    found = {"/app/venv/bin/beta-run", "/app/venv/share/beta.txt"}
    for path in (path for folder in folders for path in folder.iterdir()):
        names = zipfile.ZipFile(path).namelist()
        found |= {f"{PACKAGES}/{name}" for name in names if not name.startswith("beta-1.0.data/")}
    return {name for name in found if not name.endswith("/RECORD")}


def build(engine: Engine, exported: Exported, *options: str) -> str:
    """Build the context with wheels from the loopback only; returns the image's name."""
    image = f"nbfed-exported-{engine.name}:test"
    engine("build", "--network=host", "--tag", image, *options, str(exported.folder), timeout=240)
    return image


def require_equivalent(engine: Engine, image: str, exported: Exported) -> None:
    """The image runs as a hospital runs it, and holds what ours would hold, set up as ours would be."""
    assert engine.run(image, "up", options=["--network=none"]).stdout.split() == RAN
    look = ["--network=none", "--entrypoint=/usr/bin/python3"]
    found = json.loads(engine.run(image, "-I", "-c", LOOK, options=look).stdout)
    assert {name for name in found["files"] if not name.endswith(NOTES)} == exported.names
    assert found["distributions"] == dict.fromkeys(("alpha", "beta", "gamma", "pip", "nbfed-site"), "1.0")
    assert (found["scratch"], found["data"]) == ("0o41777", "0o40755")
    config = json.loads(engine("image", "inspect", image).stdout)[0]["Config"]
    assert {name: config[name] for name in PLAIN} == PLAIN
    assert CONFIGURATION["Labels"].items() <= config["Labels"].items()
    assert set(CONFIGURATION["Env"]) <= set(config["Env"])
    history = engine("history", "--no-trunc", image).stdout
    assert exported.find_links not in history
    assert "PIP_" not in history


def pip_settings(exported: Exported) -> tuple[str, str]:
    """The option that gives Docker the tests' index as a secret."""
    path = exported.folder.parent / "pip.conf"
    path.write_text(f"[global]\nno-index = true\nfind-links = {exported.find_links}\n")
    return "--secret", f"id=pip,src={path}"


def test_docker_builds_an_equivalent_image(docker: Engine, exported: Exported) -> None:
    image = build(docker, exported, *pip_settings(exported))
    try:
        require_equivalent(docker, image, exported)
    finally:
        docker("image", "rm", "--force", image, check=False)


def test_docker_refuses_a_wheel_that_is_not_the_locked_one(docker: Engine, exported: Exported) -> None:
    path = exported.folder / "requirements.txt"
    lines = path.read_text().splitlines()
    lines[-1] = f"    --hash=sha256:{'0' * 64}"
    path.write_text("\n".join(lines))
    words = ("build", "--network=host", *pip_settings(exported), str(exported.folder))
    found = docker(*words, check=False, timeout=240)
    assert found.returncode != 0
    assert "DO NOT MATCH THE HASHES" in found.stderr


def test_podman_builds_one_with_an_installer_of_another_layout(
    podman: Engine, exported: Exported, tmp_path: Path, debian_base: str
) -> None:
    own = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--tls-verify=false", "--layers=false")
    pip = Path(pytest.importorskip("pip").__file__).parent
    shutil.copytree(pip, tmp_path / "installer" / "pip")
    (tmp_path / "installer" / "Dockerfile").write_text(
        f"FROM {debian_base}\n"
        "COPY pip /usr/lib/python3/dist-packages/pip\n"
        "RUN mkdir -p /opt/bin && ln -s /usr/bin/python3 /opt/bin/python3\n"
        "ENV PATH=/opt/bin:/usr/bin:/bin\n"
    )
    installer = "localhost/nbfed-installer:test"
    podman("build", "--tag", installer, *own, str(tmp_path / "installer"))
    pairs = (f"INSTALLER={installer}", f"PIP_FIND_LINKS={exported.find_links}", "PIP_NO_INDEX=1")
    image = build(podman, exported, *own, *(word for pair in pairs for word in ("--build-arg", pair)))
    require_equivalent(podman, image, exported)
