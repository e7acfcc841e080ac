"""The page in a real browser: tables are there, nothing is asked of the network, narrow screens fit."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from notebook_federator.report import RunRecord, write_report

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    return found


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the origin under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def browse(chromium: str, profile: Path, url: str, *options: str) -> str:
    command = [chromium, *QUIET, OFFLINE, f"--user-data-dir={profile}", *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def requests_of_page(log: Path, origin: str) -> set[str]:
    """Addresses that a page of ``origin`` itself asked for (the browser's own requests have no origin)."""
    parameters = [entry.get("params", {}) for entry in json.loads(log.read_text())["events"]]
    return {item["url"] for item in parameters if item.get("initiator") == origin and "url" in item}


def test_the_page_asks_for_nothing_and_shows_its_tables(
    heart: dict[str, Any], chromium: str, served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, origin = served
    write_report(RunRecord.from_json(heart), folder)
    log = tmp_path / "net.json"
    page = browse(
        chromium, tmp_path / "profile", f"{origin}/report.html", f"--log-net-log={log}", "--dump-dom"
    )
    assert requests_of_page(log, origin) == set()
    assert page.count("<table") >= 5 + 2 + 3
    assert "The federation was exactly as accurate as cleveland alone" in page


def test_the_check_sees_a_request(chromium: str, served: tuple[Path, str], tmp_path: Path) -> None:
    folder, origin = served
    (folder / "leak.html").write_text('<img src="/picture.png">')
    log = tmp_path / "net.json"
    browse(chromium, tmp_path / "profile", f"{origin}/leak.html", f"--log-net-log={log}", "--dump-dom")
    assert f"{origin}/picture.png" in requests_of_page(log, origin)


def test_a_phone_need_not_scroll_sideways(
    heart: dict[str, Any], chromium: str, served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, origin = served
    write_report(RunRecord.from_json(heart), folder)
    (folder / "phone.html").write_text(
        '<iframe id="f" src="report.html" width="360" height="800"></iframe><p id="out"></p><script>'
        "f.onload = () => { const page = f.contentDocument.documentElement;"
        'out.textContent = "width " + page.scrollWidth }'
        "</script>"
    )
    page = browse(
        chromium, tmp_path / "profile", f"{origin}/phone.html", "--virtual-time-budget=5000", "--dump-dom"
    )
    assert "width 360" in page
