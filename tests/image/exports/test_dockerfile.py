"""The build context as files; that Docker and Podman take it is tested with the containers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from nbfed_site.contracts import BadInput, Manifest, Names
from notebook_federator.image.assembling import Identity, code_layer, configuration
from notebook_federator.image.base_image import BaseImage, Python
from notebook_federator.image.exports.dockerfile import Recipe, build_context
from notebook_federator.image.exports.instructions import instructions
from notebook_federator.image.shapes import ROLES, Platform
from notebook_federator.locking import Lock, LockedWheel, Needs, Role, Target

REFERENCE = "registry.example/python@sha256:" + "5" * 64
BASE = BaseImage(REFERENCE, Platform(), {}, (), Python("/usr/local/bin/python3", "3.12"))
WHEEL = LockedWheel("click", "8.1.8", "click-8.1.8-py3-none-any.whl", "https://one/click.whl", "1" * 64, 100)
LOCK = Lock(
    Target("3.12", "linux/amd64", "cpu", REFERENCE),
    Needs({}, "", ""),
    (WHEEL,),
    {"client": ("click",), "server": ()},
)
CONFIGURATION: dict[str, Any] = {
    "User": "65532:65532",
    "Env": ["PATH=/app/venv/bin:/usr/bin", "LEVEL=1"],
    "Entrypoint": ["/app/venv/bin/python3", "-I"],
    "Cmd": ["up", "$HOME"],
    "WorkingDir": "/",
    "StopSignal": "SIGTERM",
    "ExposedPorts": {"9092/tcp": {}},
    "Labels": {"org.opencontainers.image.title": "client-training"},
    "Healthcheck": {"Test": ["CMD", "healthy", "now"], "Interval": 30_000_000_000, "Retries": 2},
}
SLICE = {"slice.py": b"1", "manifest.json": b"{}", "more/part.py": b"2"}
RUNTIME = {"nbfed_site/__init__.py": b"3", "nbfed_site-1.dist-info/METADATA": b"4"}


def context(role: Role = "client", base: BaseImage = BASE) -> dict[str, bytes]:
    return build_context(Recipe(role, LOCK, base, CONFIGURATION, SLICE, RUNTIME))


def instruction(text: str, name: str) -> str:
    """The one instruction of that name in the last stage."""
    joined = text.rpartition("\nFROM ")[2].replace("\\\n", "")
    (found,) = [line for line in joined.splitlines() if line.startswith(f"{name} ")]
    return found.removeprefix(f"{name} ")


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    path = tmp_path / "Dockerfile"
    path.write_bytes(context()["Dockerfile"])
    plain = [str(hadolint), "--no-color", str(path)]
    assert subprocess.run(plain, capture_output=True, text=True, check=False).stdout == ""
    # What is ignored is the one fixed platform of each stage, and nothing else.
    strict = subprocess.run(
        [*plain[:1], "--disable-ignore-pragma", *plain[1:]], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    assert [line.split()[1] for line in strict] == ["DL3029"] * 3


def test_the_base_is_named_by_its_digest_and_for_its_platform() -> None:
    text = context()["Dockerfile"].decode()
    assert f"\nFROM --platform=linux/amd64 {REFERENCE}\n" in text
    assert f"\nARG INSTALLER={REFERENCE}\n" in text


def test_no_instruction_of_the_last_stage_needs_a_shell_in_the_base() -> None:
    last = context()["Dockerfile"].decode().rpartition("\nFROM ")[2]
    assert "\nRUN " not in last


def test_the_configuration_is_the_images() -> None:
    text = context()["Dockerfile"].decode()
    assert instruction(text, "USER") == "65532:65532"
    assert instruction(text, "ENTRYPOINT") == '["/app/venv/bin/python3", "-I"]'
    assert instruction(text, "CMD") == '["up", "$HOME"]'
    assert instruction(text, "ENV") == 'PATH="/app/venv/bin:/usr/bin"     LEVEL="1"'
    assert instruction(text, "LABEL") == 'org.opencontainers.image.title="client-training"'
    assert instruction(text, "EXPOSE") == "9092/tcp"
    assert instruction(text, "STOPSIGNAL") == "SIGTERM"
    assert instruction(text, "WORKDIR") == "/"
    assert instruction(text, "HEALTHCHECK") == '--interval=30s --retries=2 CMD ["healthy", "now"]'


def test_nothing_in_a_value_is_expanded() -> None:
    assert instructions({"Env": ['ODD=$PATH "x" \\ =']}) == ['ENV ODD="\\$PATH \\"x\\" \\\\ ="']


def test_a_label_with_a_line_break_is_refused() -> None:
    with pytest.raises(BadInput, match="title holds a line break"):
        instructions({"Labels": {"title": "a\nRUN evil"}})


def test_a_setting_that_would_be_lost_is_refused() -> None:
    with pytest.raises(BadInput, match="Volumes"):
        instructions({"Volumes": {"/x": {}}})
    assert instructions({"Volumes": {}}) == []


def test_a_health_check_may_be_switched_off() -> None:
    assert instructions({"Healthcheck": {"Test": ["NONE"]}}) == ["HEALTHCHECK NONE"]


def test_the_code_is_that_of_the_code_layer() -> None:
    files = context()
    with tarfile.open(fileobj=code_layer(BASE, RUNTIME, SLICE).content.open()) as archive:
        expected = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
        links = {member.name: member.linkname for member in archive if member.issym()}
    places = {
        "slice/": "app/slice/",
        "runtime/": "app/venv/lib/python3.12/site-packages/",
        "pyvenv.cfg": "app/venv/pyvenv.cfg",
    }
    found = {
        name.replace(start, place, 1): data
        for name, data in files.items()
        for start, place in places.items()
        if name.startswith(start)
    }
    assert found == expected
    text = files["Dockerfile"].decode()
    assert all(f"ln -s {target} /image/{name}" in text for name, target in links.items())
    for start, place in places.items():
        folder = place.removesuffix("pyvenv.cfg")
        assert f"COPY {start} /image/{folder}\n" in text


def test_the_server_gets_its_own_wheels() -> None:
    assert b"click==" in context("client")["requirements.txt"]
    assert b"click==" not in context("server")["requirements.txt"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_context_survives_the_gitignore_of_a_python_project(tmp_path: Path) -> None:
    common = "__pycache__/\n*.egg-info/\nbuild/\ndist/\nlib/\nlib64/\nwheels/\nvenv/\nenv/\n.env\n*.whl\n"
    (tmp_path / ".gitignore").write_text(common)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    names = "\n".join(f"client/{name}" for name in context())
    ignored = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", "--stdin"],
        input=names,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""


@pytest.mark.parametrize("role", ROLES)
def test_all_that_our_images_say_and_do_is_written(role: Role) -> None:
    manifest = Manifest("model.ipynb", "sha256:aa", "sha256:bb", "function", "torch", (), (), Names("net"))
    config = configuration(Identity(role, manifest, "sha256:dd", "cu128", "0.1.0"), BASE)
    text = "\n".join(instructions(config))
    assert json.dumps(config["Entrypoint"]) in text
    assert all(f'{name}="{value}"' in text for name, value in config["Labels"].items())
    assert all(f'{one.partition("=")[0]}="{one.partition("=")[2]}"' in text for one in config["Env"])
    assert "HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD" in text
    assert ("EXPOSE" in text) == (role == "server")
