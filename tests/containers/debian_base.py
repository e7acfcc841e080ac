"""A base image with Python 3 from Debian packages: no daemon, no root, no network but Debian's mirror.

apt resolves, downloads and verifies the packages (signed ``InRelease``, then SHA-256 of every file); none is
installed, no maintainer script runs. The same packages give the same bytes.

Usage: ``python tests/containers/debian_base.py localhost:5000/base:3.11 [--label]``
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from notebook_federator.image.layer_writer import LayerWriter, Written
from notebook_federator.image.registry.client import Registry
from notebook_federator.image.registry.reference import parse
from notebook_federator.image.shapes import (
    CONFIG,
    LAYER,
    MANIFEST,
    BytesContent,
    Descriptor,
    FileContent,
    digest_of,
)

PACKAGES = (
    *(
        "base-files",
        "base-passwd",
        "ca-certificates",
        "coreutils",
        "dash",
        "media-types",
        "netbase",
        "tzdata",
    ),
    *("libgomp1", "libstdc++6", "python3", "python3-venv"),
)
ONLY_FOR_SCRIPTS = frozenset(  # what only the maintainer scripts of others would use
    {"debconf", "dpkg", "init-system-helpers", "mawk", "openssl", "perl-base", "sed", "tar"}
)
LEFT_OUT = re.compile(
    r"usr/share/(applications|bug|doc-base|info|lintian|locale|man|menu|pixmaps)/"
    r"|usr/share/doc/(?!.*/copyright$)"
    r"|usr/lib/python3\.\d+/(test|idlelib|lib2to3/tests|turtledemo)/"
    r"|.*__pycache__/"
)
MERGED = ("bin", "lib", "lib64", "sbin")  # links into /usr, as Debian's installer makes them
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
PYTHON_LABEL = "org.notebook-federator.python"
RECIPE = "2"  # a change here makes the layer anew
OWN_FOLDERS = {name: 0o755 for name in ("dev", "etc", "proc", "run", "sys")} | {"root": 0o700, "tmp": 0o1777}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (``data``) or a symbolic link (``target``)."""

    data: bytes = b""
    mode: int = 0o644
    target: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """The layer in the user's cache: its digests, and the version of its Python."""

    path: Path
    digest: str
    diff_id: str
    python: str


def push_base(reference: str, label: bool = False) -> str:
    """Make the image and push it to ``HOST/NAME:TAG``; returns its digest.

    With ``label`` the image says where its Python is; without, a reader has to look at its files.
    """
    made, name = make_layer(), parse(reference)
    layer = Descriptor(LAYER, made.digest, made.path.stat().st_size)
    config = to_json(image_config(made, label))
    described = Descriptor(CONFIG, digest_of(config), len(config))
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described.to_json(),
            "layers": [layer.to_json()],
        }
    )
    registry = Registry(name.registry)
    registry.push_blob(name.repository, layer, FileContent(made.path))
    registry.push_blob(name.repository, described, BytesContent(config))
    return registry.push_manifest(name.repository, name.tag or "latest", manifest, MANIFEST)


def image_config(made: Made, label: bool) -> dict[str, object]:
    """The image's configuration (OCI image specification, "Image Configuration")."""
    labels = {"Labels": {PYTHON_LABEL: f"/usr/bin/python3:{made.python}"}} if label else {}
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return {
        "architecture": machine.stdout.strip(),
        "os": "linux",
        "config": {"Env": environment, "Cmd": ["python3"], **labels},
        "rootfs": {"type": "layers", "diff_ids": [made.diff_id]},
        "history": [{"created_by": "Debian packages"}],
    }


def make_layer() -> Made:
    """The layer, from the user's cache where the mirror's packages have not changed since."""
    folder = platformdirs.user_cache_path("notebook-federator-tests") / "debian-base"
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    names = download(folder)
    recipe = "\n".join((RECIPE, LEFT_OUT.pattern, *names))
    key = hashlib.sha256(recipe.encode()).hexdigest()[:32]
    path, index = folder / f"{key}.tar.gz", folder / f"{key}.json"
    if not index.exists():
        entries = image_files([folder / "archives" / name for name in names])
        written, data = written_layer(entries)
        versions = re.findall(r"^usr/lib/python(3\.\d+)/os\.py$", "\n".join(entries), re.MULTILINE)
        facts = {"digest": written.digest, "diff_id": written.diff_id, "python": versions[0]}
        place(path, data)
        place(index, to_json(facts))
    return Made(path, **json.loads(index.read_bytes()))


def place(path: Path, data: bytes) -> None:
    """Write a file that others either see whole or not at all."""
    begun = path.with_suffix(f".{os.getpid()}")
    begun.write_bytes(data)
    begun.rename(path)


def download(folder: Path) -> list[str]:
    """Have apt put the packages and all they need into ``folder``/archives; returns their file names."""
    own_lists = f"Dir::State={folder / 'state'}"
    for attempt in ((), ("-o", own_lists)):
        if attempt:  # this machine's lists of packages are missing or old
            (folder / "state" / "lists" / "partial").mkdir(parents=True, exist_ok=True)
            apt(folder, "update", *attempt)
        try:
            planned = apt(folder, "install", "--print-uris", "-o", "Dir::Cache::archives=/dev/null", *attempt)
            names = sorted(line.split()[1] for line in planned.splitlines() if line.startswith("'"))
            if any(not (folder / "archives" / name).exists() for name in names):
                apt(folder, "install", "--download-only", *attempt)
        except subprocess.CalledProcessError as error:
            refused = error
        else:
            return [name for name in names if name.partition("_")[0] not in ONLY_FOR_SCRIPTS]
    sys.exit(f"apt does not give the packages:\n{refused.stderr}")


def apt(folder: Path, verb: str, *options: str) -> str:
    """Run apt-get with a cache of its own and nothing installed; returns what it prints."""
    settings = (
        *(
            "Dir::State::status=/dev/null",
            f"Dir::Cache={folder}",
            f"Dir::Cache::archives={folder / 'archives'}",
        ),
        *("APT::Sandbox::User=root", "Debug::NoLocking=1", "APT::Install-Recommends=0"),
    )
    pairs = [word for setting in settings for word in ("-o", setting)]
    packages = PACKAGES if verb == "install" else ()
    command = ["apt-get", verb, "-y", "-qq", *pairs, *options, *packages]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def image_files(packages: Iterable[Path]) -> dict[str, Entry]:
    """Unpack the packages in memory, and do what their maintainer scripts would have done."""
    found: dict[str, Entry] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for data in pool.map(package_tar, packages):
            found.update(package_files(data))
    authorities = sorted(name for name in found if re.match(r"usr/share/ca-certificates/.*\.crt$", name))
    bundle = b"".join(found[name].data for name in authorities)
    links = {name: Entry(target=f"usr/{name}") for name in MERGED}
    accounts = {f"etc/{name}": found[f"usr/share/base-passwd/{name}.master"] for name in ("passwd", "group")}
    shell = {"usr/bin/sh": Entry(target="dash")}
    return found | accounts | links | shell | {ENVIRONMENT["SSL_CERT_FILE"].strip("/"): Entry(bundle)}


def package_tar(package: Path) -> bytes:
    """The files of one package as a tar archive."""
    return subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout


def package_files(data: bytes) -> dict[str, Entry]:
    """The kept files and links of one package; hard links name a file of the same package."""
    own: dict[str, Entry] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            name = placed(member.name)
            if member.isdir() or LEFT_OUT.match(name):
                continue
            if member.issym():
                own[name] = Entry(target=member.linkname)
            elif member.islnk():
                own[name] = own[placed(member.linkname)]
            elif (stream := archive.extractfile(member)) is not None:
                own[name] = Entry(stream.read(), member.mode & 0o755)  # no setuid
    return own


def placed(name: str) -> str:
    """Where a package's file is once /bin, /sbin and /lib are links into /usr."""
    plain = name.removeprefix("./")
    return f"usr/{plain}" if plain.partition("/")[0] in MERGED else plain


def written_layer(entries: Mapping[str, Entry]) -> tuple[Written, bytes]:
    """The files, their folders and the usual empty folders as one layer."""
    folders = OWN_FOLDERS | {
        str(parent): 0o755
        for name in entries
        for parent in Path(name).parents
        if str(parent) not in OWN_FOLDERS
    }
    out = io.BytesIO()
    writer = LayerWriter(out)
    for name in sorted(folders.keys() - {"."}):
        writer.directory(name, folders[name])
    for name, entry in sorted(entries.items()):
        if entry.target:
            writer.link(name, entry.target)
        else:
            writer.file(name, entry.data, entry.mode)
    return writer.finish(), out.getvalue()


def to_json(value: object) -> bytes:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("reference", help="HOST:PORT/NAME:TAG, on this machine")
    parser.add_argument("--label", action="store_true", help="say in the image where its Python is")
    options = parser.parse_args()
    print(push_base(options.reference, options.label))


if __name__ == "__main__":
    main()
