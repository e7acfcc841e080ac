"""The security officer's page says what the kit says, prints on one sheet, and brings nothing along."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kit_examples import NOW, federation
from nbfed_site.contracts import Kit, ReleasePolicy, rebuilt
from notebook_federator.image.signing_keys import fingerprint, make_key, public_key
from notebook_federator.kits import Wishes, issue
from notebook_federator.ledger.signing import Signer

PAGES = ("SECURITY.md", "SECURITY.html", "README.md")
LONG = "ghcr.io/our-university-hospital/breast-cancer-study-2026@sha256:" + "7e5a" * 16


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit with everything in it that a page can hold."""
    folder = tmp_path_factory.mktemp("study")
    make_key(folder / "key.pem")
    key = public_key(folder / "key.pem").decode()
    policy = ReleasePolicy(max_bytes=600 << 20)
    study = federation(folder / "study", "hospital-a", client=LONG, key=key, policy=policy)
    return issue(study, "hospital-a", Wishes(), NOW).path


def told(kit: Path) -> Kit:
    return rebuilt(Kit, json.loads((kit / "kit.json").read_bytes()))


def words(path: Path) -> str:
    """A page's text, for a reader."""
    text = path.read_text()
    return html.unescape(re.sub(r"\s*<[^>]+>\s*", " ", text)) if path.suffix == ".html" else text


@pytest.mark.parametrize("page", PAGES)
def test_every_digest_host_and_port_is_the_kits(kit: Path, page: str) -> None:
    text, says = words(kit / page), told(kit)
    keys = {fingerprint((kit / name).read_bytes()) for name in ("signing.pub", "images.pub")}
    known = {LONG.partition("@")[2], says.slice_digest, says.notebook_digest, says.authority, *keys}
    assert set(re.findall(r"sha256:[0-9a-f]{64}", text)) <= known
    assert "fed.example.org" in text
    assert set(re.findall(r"port\W+(\d+)", text)) == {"9443"}


@pytest.mark.parametrize("page", ["SECURITY.md", "SECURITY.html"])
def test_the_page_says_it_all(kit: Path, page: str) -> None:
    text, says = words(kit / page), told(kit)
    signing = fingerprint(Signer.load(kit.parents[1] / "keys/signing.key").public_key.encode())
    for value in (LONG, says.slice_digest, says.notebook_digest, says.authority, says.token, signing):
        assert value in text
    for value in ("65532:65532", "fewer than 10 samples", "at most 629,145,600 bytes", "after 90 days"):
        assert value in text
    assert ", ".join(says.policy.metrics) in text
    assert "without their message text" in text
    assert "Dr. A. Example, +49 30 000 000" in text
    assert "until 2026-12-27" in text


def test_both_pages_say_the_same(kit: Path) -> None:
    def plain(name: str) -> list[str]:
        return re.findall(r"\w+", words(kit / name).split("What runs", 1)[1].replace("`", ""))

    page, text = plain("SECURITY.html"), plain("SECURITY.md")
    assert page[: len(text)] == text


class Tags(HTMLParser):
    """Collects what a page could load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.links += [f"{name}={value}" for name, value in attrs if name in {"src", "href", "onload"}]


def test_the_page_brings_no_script_and_loads_nothing(kit: Path) -> None:
    text, tags = (kit / "SECURITY.html").read_text(), Tags()
    tags.feed(text)
    assert not tags.found & {"script", "link", "img", "iframe", "object"}
    assert tags.links == []
    assert "url(" not in text
    assert "@import" not in text


def test_a_name_cannot_write_html(tmp_path: Path) -> None:
    study = federation(tmp_path / "study", "hospital-a", contact="<script>alert(1)</script>")
    text = (issue(study, "hospital-a", Wishes(), NOW).path / "SECURITY.html").read_text()
    assert "<script" not in text


def test_it_prints_on_one_sheet(kit: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no browser here (Debian: apt-get install chromium)")
    out = tmp_path / "page.pdf"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    subprocess.run(
        [*command, profile, f"--print-to-pdf={out}", str(kit / "SECURITY.html")],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert len(re.findall(rb"/Type\s*/Page\b", out.read_bytes())) == 1
