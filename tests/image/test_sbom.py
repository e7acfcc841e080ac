"""The bill of materials: complete, valid, the same bytes each time."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nbfed_site.contracts import BadInput
from notebook_federator.image import sbom
from notebook_federator.image.shapes import ROLES, Role
from notebook_federator.locking.shapes import Lock, LockedWheel, Needs, Target
from small_images import BASE, two_images


def wheel(name: str, version: str, number: int = 7) -> LockedWheel:
    filename = f"{name}-{version}-py3-none-any.whl"
    return LockedWheel(
        name, version, filename, f"https://user:pw@index.example/{filename}", f"{number:064x}", 10
    )


NUMPY, TORCH, FLWR = wheel("numpy", "2.1.0"), wheel("torch", "2.13.0+cpu"), wheel("flwr", "1.41.0")
LOCK = Lock(
    Target("3.11", "linux/amd64", "cpu", BASE),
    Needs({"server": ("flwr",), "client": ("flwr", "torch")}, "sha256:aa", "sha256:bb"),
    (FLWR, NUMPY, TORCH),
    {"server": ("flwr", "numpy"), "client": ("flwr", "numpy", "torch")},
)


def written(lock: Lock = LOCK, role: Role = "client") -> bytes:
    return sbom.write(lock, role, BASE, "0.1.0")


@pytest.mark.parametrize("role", ROLES)
def test_it_is_valid_cyclonedx(role: Role) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written(role=role).decode()) is None


def test_every_wheel_is_named_with_version_purl_and_hash() -> None:
    found = {item["name"]: item for item in json.loads(written())["components"]}
    assert found["torch"]["version"] == "2.13.0+cpu"
    assert found["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert found["torch"]["hashes"] == [{"alg": "SHA-256", "content": TORCH.sha256}]
    assert {"flwr", "numpy", "torch", "nbfed-site"} < found.keys()


def test_the_server_lists_its_own_packages_and_no_torch() -> None:
    names = {package.name for package in sbom.packages(written(role="server"))}
    assert names == {"flwr", "numpy", "nbfed-site", "notebook-federator", BASE.partition("@")[0]}


def test_the_base_image_is_there_by_digest() -> None:
    base = next(item for item in json.loads(written())["components"] if item["type"] == "container")
    assert base["version"] == BASE.partition("@")[2]
    assert "repository_url=docker.io%2Flibrary%2Fpython" in base["purl"].replace("/", "%2F")


def test_role_platform_python_and_torch_are_properties() -> None:
    found = {item["name"]: item["value"] for item in json.loads(written())["metadata"]["properties"]}
    assert found == {
        "notebook-federator:role": "client",
        "notebook-federator:platform": "linux/amd64",
        "notebook-federator:python": "3.11",
        "notebook-federator:torch": "cpu",
    }


def test_the_same_lock_gives_the_same_bytes_in_another_process() -> None:
    code = "import sys, test_sbom; sys.stdout.buffer.write(test_sbom.written())"
    folder = {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    environment = os.environ | folder
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert again.stdout == written()


def test_no_time_no_address_of_an_index_and_no_password() -> None:
    assert "timestamp" not in json.loads(written())["metadata"]
    assert b"index.example" not in written()


def test_another_wheel_gives_another_serial_number_and_key() -> None:
    other = dataclasses.replace(LOCK, packages=(FLWR, wheel("numpy", "2.1.0", 8), TORCH))
    assert json.loads(written())["serialNumber"] != json.loads(written(other))["serialNumber"]
    assert sbom.key(LOCK, "client", BASE, "0.1.0") != sbom.key(other, "client", BASE, "0.1.0")


@pytest.mark.parametrize(
    ("role", "base", "version"), [("server", BASE, "1"), ("client", "x@y", "1"), ("client", BASE, "2")]
)
def test_the_key_depends_on_all_that_is_written(role: Role, base: str, version: str) -> None:
    assert sbom.key(LOCK, role, base, version) != sbom.key(LOCK, "client", BASE, "1")


def test_the_key_does_not_depend_on_the_notebook() -> None:
    """Else a one-line change would write the document anew."""
    other = dataclasses.replace(LOCK, needs=Needs(LOCK.needs.requirements, "sha256:cc", "sha256:dd"))
    assert sbom.key(LOCK, "client", BASE, "1") == sbom.key(other, "client", BASE, "1")


def test_the_key_needs_no_slow_import() -> None:
    slow = "{'cyclonedx', 'urllib3', 'packageurl'}"
    code = f"import sys, notebook_federator.image.sbom; print(sorted({slow} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_is_attached_names_the_image_as_its_subject() -> None:
    image = two_images()[0]
    made = sbom.attachment(image.descriptor, written())
    manifest = json.loads(made.manifest)
    assert manifest["subject"]["digest"] == image.digest
    assert manifest["artifactType"] == sbom.MEDIA_TYPE
    assert made.blobs[manifest["layers"][0]["digest"]] == written()


@pytest.mark.parametrize(
    "document", [b"", b"[]", b'{"bomFormat": "SPDX"}', b'{"bomFormat": "CycloneDX", "components": [1]}']
)
def test_other_documents_are_refused(document: bytes) -> None:
    with pytest.raises(BadInput, match="bill of materials"):
        sbom.packages(document)
