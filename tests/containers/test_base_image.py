"""The base image of these tests runs as a hospital would run it, on every engine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from container_engines import UID, Engine, Unpacked
from debian_base import push_base

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
    found = engine.run(debian_base, "python3", "-c", LOOK).stdout
    assert found.split() == [str(UID), "[]", "0000000000000000", "1"]


def test_as_a_folder_with_the_callers_uid(unpacked: Callable[[str], Unpacked], debian_base: str) -> None:
    image = unpacked(debian_base)
    found = image.run("python3", "-I", "-c", LOOK).stdout.split()
    assert found[1] == "[]"


def test_the_same_packages_give_the_same_image(debian_base: str) -> None:
    host, _, _ = debian_base.partition("/")
    with urllib.request.urlopen(f"http://{host}/v2/base/manifests/3.11") as answer:
        before = answer.headers["Docker-Content-Digest"]
    assert push_base(debian_base) == before
    labelled = push_base(f"{host}/base:labelled", label=True)
    assert labelled != before
    with urllib.request.urlopen(f"http://{host}/v2/base/manifests/labelled") as answer:
        config = json.loads(answer.read())["config"]["digest"]
    with urllib.request.urlopen(f"http://{host}/v2/base/blobs/{config}") as answer:
        assert json.loads(answer.read())["config"]["Labels"] == {
            "org.notebook-federator.python": "/usr/bin/python3:3.11"
        }
