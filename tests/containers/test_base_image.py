"""The base image of these tests runs as a hospital would run it, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import urllib3
from container_engines import UID, Engine, Unpacked
from debian_base import push_base
from notebook_federator.image.shapes import MANIFEST

LOOK = """
import ctypes, os, sqlite3, ssl
assert ssl.create_default_context().get_ca_certs(), "no certificate authorities"
[ctypes.CDLL(name) for name in ("libstdc++.so.6", "libgomp.so.1")]
places = [place for place in ("/", "/etc", "/usr", "/tmp", "/run", "/var/tmp") if os.access(place, os.W_OK)]
caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNewPrivs"))]
print(os.getuid(), places, *caps)
"""


def test_unprivileged_read_only_and_complete(engine: Engine, debian_base: str) -> None:
    engine.pull(debian_base)
    found = engine.run(debian_base, "python3", "-c", LOOK, options=("--network", "none")).stdout
    assert found.split() == [str(UID), "[]", "0000000000000000", "1"]


def test_as_a_folder_with_the_callers_uid(unpacked: Callable[[str], Unpacked], debian_base: str) -> None:
    image = unpacked(debian_base)
    found = image.run("python3", "-I", "-c", LOOK).stdout.split()
    assert found[1] == "[]"


def test_says_where_its_python_is_only_when_asked(shared_registry: Any, debian_base: str) -> None:
    push_base(f"{shared_registry.address}/base:labelled", label=True)
    labels = {"org.notebook-federator.python": "/usr/bin/python3:3.11"}
    assert config_of(shared_registry.address, "labelled")["config"]["Labels"] == labels
    assert "Labels" not in config_of(shared_registry.address, "3.11")["config"]


def config_of(registry: str, tag: str) -> dict[str, Any]:
    at = f"http://{registry}/v2/base"
    manifest = urllib3.request("GET", f"{at}/manifests/{tag}", headers={"Accept": MANIFEST}).json()
    found: dict[str, Any] = urllib3.request("GET", f"{at}/blobs/{manifest['config']['digest']}").json()
    return found
