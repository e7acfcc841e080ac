"""Every command shown in the README and the documentation is run, in the order of its page."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "builds"))
from desk import push_base

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
REGISTRY = "ghcr.io/our-lab"
ELSEWHERE = ("make demo", "make test")  # run by .ci/run itself


def commands(page: Path) -> list[str]:
    lines = [line.strip() for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ") and line[2:] not in ELSEWHERE]


def prepare(page: Path, folder: Path) -> None:
    """What a reader of the page is told to have, or has made on a page before."""
    if page.stem in ("mark-cells", "faults"):
        source = ROOT / "tests/fixtures/notebooks/inline_loop_unmarked.ipynb"
        (folder / "my-notebook.ipynb").write_bytes(source.read_bytes())
    if page.stem == "faults":
        run("nbfed check my-notebook.ipynb --fix", folder)
        run("nbfed run my-notebook.ipynb --sites 3 --rounds 1", folder)
    if page.stem == "histology":
        make_patches(folder)
    if page.stem == "build-images":
        run("nbfed new my-study.ipynb --example breast-cancer", folder)


def make_patches(folder: Path) -> None:
    """A manifest and pictures in the layout that the page describes: 8x8 digits in pink, 40 patients."""
    from csv import writer

    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    (folder / "images").mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = writer(file)
        rows.writerow(["file", "patient", "label"])
        for number, (image, digit) in enumerate(zip(digits.images[:600], digits.target[:600], strict=True)):
            pink = (255 - image[:, :, None] * np.array([4.0, 15.0, 8.0])).clip(0, 255).astype("uint8")
            Image.fromarray(pink).resize((50, 50)).save(folder / f"images/p{number:04d}.png")
            rows.writerow([f"images/p{number:04d}.png", f"patient-{number % 40}", int(digit >= 7)])
    with tarfile.open(folder / "patches.tar", "w") as archive:
        archive.add(folder / "images", "images")


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    binaries = str(Path(sys.executable).parent)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"} | variables,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_commands_of_a_page_work(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The registry that pages push to, and the base image, stand on this machine."""
    building = [command for command in commands(page) if command.startswith("nbfed build")]
    registry = request.getfixturevalue("registry").address if building else ""
    variables = {"NBFED_BUILD_BASE": push_base(registry)} if building else {}
    prepare(page, tmp_path)
    for command in commands(page):
        found = run(command.replace(REGISTRY, f"{registry}/our-lab"), tmp_path, **variables)
        expected = 4 if "cannot be federated yet" in found.stdout else 0
        assert found.returncode == expected, f"{command}\n{found.stdout}\n{found.stderr}"


def test_commands_are_found() -> None:
    found = {page.stem: commands(page) for page in PAGES}
    assert len(found["README"]) >= 4
    assert sum(map(len, found.values())) >= 15
