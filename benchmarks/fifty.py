"""Fifty sites join at once, with kits, and train ten rounds of a small model over mutual TLS.

    python benchmarks/fifty.py [--sites 50] [--rounds 10]

The server is the real one, with its ledger, checkpoints and receipts. Sites are the real program in
processes of their own, with numpy in the place of a notebook, so that one machine holds them all.
"""

import argparse
import dataclasses
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import tomli_w
from notebook_federator import api, federating, slicing, templates
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import FederationSettings, Images, RoundWishes, plain
from notebook_federator.kits.issuing import Wishes, issue
from notebook_federator.ledger import Ledger

SECONDS = 600.0
SITES = Path(__file__).with_name("fifty_sites.py")


def make(folder: Path, names: list[str], rounds: int) -> FederationFolder:
    """The federation, its slice in ``folder/slice``, and a kit for everybody."""
    cut = api.check(templates.write(folder / "study.ipynb", "breast-cancer")).slice
    assert cut is not None
    slicing.write(cut, folder / "slice")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{probe.getsockname()[1]}"
    digests = (cut.manifest.notebook_digest, cut.manifest.slice_digest)
    image = "registry.example.org/lab/study@sha256:"
    settings = FederationSettings("study", server, Images(image + "a" * 64, image + "b" * 64, *digests))
    wishes = RoundWishes(rounds=rounds, epochs=1, deadline=120.0, join_deadline=300.0)
    settings = dataclasses.replace(settings, rounds=wishes)
    made = FederationFolder(folder / "federation")
    now = datetime.now(UTC)
    made.create(settings, tomli_w.dumps(plain(settings)).encode(), cut.manifest, now)
    federating.add_sites(made, names, now)
    for name in names:
        issue(made, name, Wishes(), now)
    return made


def watch(server: subprocess.Popen[bytes], made: FederationFolder) -> tuple[int, int]:
    """Peak memory (MB) and most open files of the server, while it runs."""
    peak = files = 0
    until = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            status = Path(f"/proc/{server.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) // 1024)
            files = max(files, len(list(Path(f"/proc/{server.pid}/fd").iterdir())))
        except (OSError, IndexError):
            break
        time.sleep(0.1)
    return peak, files


def main() -> int:
    """Run it and print the figures; non-zero if not all sites were in all rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    names = [f"site-{number:02}" for number in range(1, options.sites + 1)]
    with tempfile.TemporaryDirectory(prefix="nbfed-fifty-") as scratch:
        folder = Path(scratch)
        made = make(folder, names, options.rounds)
        port = made.settings().port
        words = ["serve", str(made.path), "--host", "127.0.0.1", "--port", str(port), "--format", "json"]
        words += ["--grace", "0"]  # a site that is lost is counted, not waited for
        with (folder / "server.log").open("wb") as log:
            program = [sys.executable, "-I", "-m", "notebook_federator.federation.serving"]
            server = subprocess.Popen([*program, *words], stdout=log, stderr=log)
        sites = subprocess.Popen(
            [sys.executable, str(SITES), str(folder), str(folder / "slice"), *names],
            stdout=subprocess.PIPE,
            text=True,
        )
        peak, files = watch(server, made)
        ends = Counter(line.split()[1] for line in sites.communicate(timeout=60)[0].splitlines())
        peaks = [int((folder / "sites" / name / "peak").read_text()) // 1024 for name in names]
        return show(made, options, ends, (peak, files, max(peaks)), server.wait(10))


def show(
    made: FederationFolder,
    options: argparse.Namespace,
    ends: Counter[str],
    most: tuple[int, int, int],
    code: int,
) -> int:
    """Print what the ledger says."""
    with Ledger(made.run(1).ledger, lambda: "") as ledger:
        entries = list(ledger.entries())
        checked = ledger.verify(made.public_key.read_text())
    rounds = [entry.body for entry in entries if entry.kind == "round_finished"]
    seconds = [one["seconds"] for one in rounds]
    last = {entry.kind: datetime.fromisoformat(entry.at) for entry in entries}  # of each kind
    until = {kind: (last[kind] - last["started"]).total_seconds() for kind in ("joined", "card")}
    bad = ("failed", "dropped", "lost", "left_out")
    failures = Counter(entry.kind for entry in entries if entry.kind in bad)
    print(f"{options.sites} sites, {options.rounds} rounds, 0.1 MB model, mutual TLS")
    print(f"    all joined after {until['joined']:.1f} s, described after {until['card']:.1f} s")
    middle, worst = statistics.median(seconds), max(seconds)
    print(f"    seconds a round: first {seconds[0]:.2f}, median {middle:.2f}, worst {worst:.2f}")
    print(f"    server: peak memory {most[0]} MB, open files {most[1]}; a site: peak memory {most[2]} MB")
    print(f"    failures: {dict(failures) or 'none'}; exit codes: server {code}, sites {dict(ends)}")
    print(f"    ledger: {checked} entries, verified")
    whole = len(rounds) == options.rounds and all(len(one["weights"]) == options.sites for one in rounds)
    return int(not whole or code != 0)


if __name__ == "__main__":
    sys.exit(main())
