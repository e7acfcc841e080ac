"""The parts of an image that change with the notebook."""

import gzip
import io
import json
import tarfile

import pytest
from nbfed_site.contracts import Manifest, Names
from notebook_federator.image import assembling
from notebook_federator.image.assembling import Identity
from notebook_federator.image.base_image import BaseImage, Python
from notebook_federator.image.runtime_files import runtime_files
from notebook_federator.image.shapes import (
    LAYER,
    ROLES,
    BuiltImage,
    BytesContent,
    Descriptor,
    Layer,
    Platform,
    Role,
    digest_of,
)

SLICE = {"slice.py": b"x = 1\n", "manifest.json": b"{}", "helpers/own.py": b"y = 2\n"}


def manifest() -> Manifest:
    return Manifest(
        "model.ipynb",
        "sha256:aa",
        "sha256:bb",
        "function",
        "torch",
        (),
        (),
        Names("net"),
        strategy={"name": "fedavg"},
    )


def base(history: int = 0, **config: object) -> BaseImage:
    layer = Layer(
        Descriptor(LAYER, digest_of(b"base"), 4), digest_of(b"tar"), 0, "base", BytesContent(b"base")
    )
    described = {"config": config, "history": [{"created_by": "FROM"}] * history}
    return BaseImage(
        "localhost:5000/base@sha256:cc",
        Platform(),
        described,
        (layer,),
        Python("/usr/local/bin/python3", "3.12"),
    )


def identity(role: Role, torch: str = "cpu") -> Identity:
    return Identity(role, manifest(), "sha256:dd", torch, "0.1.0")


def built(role: Role, **kinds: str) -> BuiltImage:
    files = assembling.slice_files(role, SLICE)
    layer = assembling.code_layer(base(), runtime_files(role), files)
    return assembling.assemble(identity(role, **kinds), base(), [layer])


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with layer.content.open() as stream:
        data = gzip.decompress(stream.read())
    assert digest_of(data) == layer.diff_id
    assert len(data) == layer.unpacked
    return {item.name: item for item in tarfile.open(fileobj=io.BytesIO(data))}


@pytest.mark.parametrize("role", ROLES)
def test_the_same_inputs_give_the_same_bytes(role: Role) -> None:
    one, two = built(role), built(role)
    assert one.digest == two.digest
    assert one.config == two.config


def test_the_client_holds_the_slice_and_the_site_package_alone() -> None:
    found = members(built("client").layers[-1])
    assert {name for name in found if name.startswith("app/slice/") and found[name].isfile()} == {
        "app/slice/slice.py", "app/slice/manifest.json", "app/slice/helpers/own.py",
    }  # fmt: skip
    packages = "app/venv/lib/python3.12/site-packages"
    assert f"{packages}/nbfed_site/__main__.py" in found
    assert not any(name.startswith(f"{packages}/notebook_federator") for name in found)
    assert found["app/venv/bin/python3"].linkname == "/usr/local/bin/python3"


def test_the_server_holds_no_code_of_the_notebook() -> None:
    found = members(built("server").layers[-1])
    assert [name for name in found if name.startswith("app/slice/")] == ["app/slice/manifest.json"]
    rooms = {
        name.split("notebook_federator/")[1].split("/")[0] for name in found if "notebook_federator/" in name
    }
    assert rooms == {"__init__.py", "aggregation", "federation", "ledger", "rounds"}


@pytest.mark.parametrize("role", ROLES)
def test_anyone_may_read_and_only_scratch_may_be_written(role: Role) -> None:
    found = members(built(role).layers[-1])
    writable = {name for name, item in found.items() if item.mode & 0o022 and not item.issym()}
    assert writable == {"scratch"}
    assert all(item.mode & 0o004 for item in found.values())
    assert all((item.uid, item.gid, item.uname) == (0, 0, "") for item in found.values())


def test_the_configuration_runs_isolated_and_unprivileged() -> None:
    config = json.loads(built("client").config)["config"]
    assert config["Entrypoint"] == ["/app/venv/bin/python3", "-I", "-m", "nbfed_site"]
    assert config["User"] == "65532:65532"
    assert "FLWR_TELEMETRY_ENABLED=0" in config["Env"]
    assert not any("NVIDIA" in line for line in config["Env"])
    assert config["Labels"]["org.notebook-federator.slice-digest"] == "sha256:bb"
    assert config["Labels"]["org.opencontainers.image.base.digest"] == "sha256:cc"


def test_the_environment_of_the_base_stays() -> None:
    found = assembling.configuration(
        identity("client"), base(Env=["PATH=/opt/bin", "SSL_CERT_FILE=/etc/ca.pem"])
    )
    assert "PATH=/app/venv/bin:/opt/bin" in found["Env"]
    assert "SSL_CERT_FILE=/etc/ca.pem" in found["Env"]


def test_only_a_client_for_gpus_asks_for_them() -> None:
    def environment(role: Role, torch: str) -> str:
        return " ".join(assembling.configuration(identity(role, torch), base())["Env"])

    assert "NVIDIA_VISIBLE_DEVICES=all" in environment("client", "cu128")
    assert "NVIDIA" not in environment("server", "cu128")


@pytest.mark.parametrize("told", [0, 1, 2])
def test_history_tells_of_every_layer(told: int) -> None:
    layer = assembling.code_layer(base(told), {}, SLICE)
    config = json.loads(assembling.assemble(identity("client"), base(told), [layer]).config)
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 2


def test_manifest_and_config_fit_each_other() -> None:
    image = built("server")
    found = json.loads(image.manifest)
    assert found["config"]["digest"] == digest_of(image.config)
    assert [item["digest"] for item in found["layers"]] == [layer.descriptor.digest for layer in image.layers]
    assert found["layers"][-1]["annotations"]["org.notebook-federator.title"] == "site runtime, slice"


def test_the_runtime_has_a_version_that_scanners_find() -> None:
    found = runtime_files("server")
    names = [name for name in found if name.endswith(".dist-info/METADATA")]
    assert sorted(name.split("-")[0] for name in names) == ["nbfed_site", "notebook_federator"]
    assert not any("__pycache__" in name for name in found)
