"""A federation's folder, its server as a process of its own, and light sites that join it by a token."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from nbfed_site.contracts import (
    ArraySpec,
    CannotConnect,
    Evaluation,
    RoundInput,
    RoundOutput,
    SiteCard,
    SiteState,
    output_header,
)
from nbfed_site.enrolling import signed_receipts
from nbfed_site.link import generate_key
from nbfed_site.link.courier import Courier
from nbfed_site.link.fleet import VERSIONS, FleetClient
from nbfed_site.link.refusals import NotRecognised, Unreachable
from notebook_federator import federating
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.federation.federation_settings import RoundWishes, plain

from ..federation.small_study import MANIFEST, SETTINGS, SLICE
from .mutual import call, client_context, free_port, signing_request

SECONDS = 180.0
SPECS = (ArraySpec("w", (3,), "float32"),)


def make_federation(folder: Path, **wishes: Any) -> FederationFolder:
    """A new federation without sites, whose server listens on this machine."""
    wanted = {"rounds": 3, "epochs": 2, "deadline": 60.0, "join_deadline": 60.0, **wishes}
    address = f"https://127.0.0.1:{free_port()}"
    settings = replace(SETTINGS, server=address, rounds=RoundWishes(**wanted))
    made = FederationFolder(folder)
    made.create(settings, tomli_w.dumps(plain(settings)).encode(), MANIFEST, datetime.now(UTC))
    return made


@dataclass
class Kit:
    """What a site has of its federation: its token, and what to say when it joins."""

    federation: FederationFolder
    site: str
    digest: str
    token: Path
    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "site.pem"

    def request(self, key: Path | None = None, **changes: Any) -> bytes:
        own = key or self.key
        if not own.exists():
            generate_key(own)
        csr = signing_request(own).decode()
        return json.dumps(
            {"csr": csr, "kit": self.digest, "slice": SLICE, "versions": VERSIONS, **changes}
        ).encode()

    def join(self, key: Path | None = None, **changes: Any) -> tuple[int, Any]:
        """Ask the server; the status and the JSON of its answer."""
        context = client_context(self.federation.certificate("authority"), self.token)
        server = self.federation.settings().server
        status, body = call(server, context, "POST", "/v1/join", self.request(key, **changes))
        found = json.loads(body)
        if status == 200:
            self.certificate.write_text(found["certificate"])
        return status, found


def give_kit(federation: FederationFolder, site: str, folder: Path) -> Kit:
    """Add a site, or give it a new kit."""
    (folder / site).mkdir(parents=True, exist_ok=True)
    known = federating.add_sites(federation, [site], datetime.now(UTC)).membership.member(site)
    token = federation.authority().join_token(site, datetime.now(UTC))
    digest = f"sha256:{token.id:>064}"
    facts = {"serial": known.serial + 1, "kit": digest, "token": token.id, "expires": token.expires}
    with federation.open_ledger() as ledger:
        ledger.append("kit_issued", site=site, **facts)
    path = folder / site / f"token-{token.id}.pem"
    path.write_bytes(token.pem)
    return Kit(federation, site, digest, path, folder / site)


@dataclass
class Server:
    """The server's process; started again after its end, it goes on."""

    federation: FederationFolder
    process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> str:
        return (self.federation.path / "log.txt").read_text()

    def command(self, *words: str) -> list[str]:
        program = [sys.executable, "-I", "-m", "notebook_federator.federation.serving"]
        return [*program, *words, str(self.federation.path)]

    def start(self, *words: str) -> "Server":
        port = str(self.federation.settings().port)
        command = self.command("serve", "--host", "127.0.0.1", "--port", port, "--format", "json", *words)
        command += [] if "--grace" in words else ["--grace", "0"]
        with (self.federation.path / "log.txt").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd="/")
        self.until("listening", count=self.count("listening") + 1)
        return self

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=180, check=False)

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.splitlines(keepends=True) if (self.federation.path / "log.txt").exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def count(self, kind: str) -> int:
        return sum(event["event"] == kind for event in self.events())

    def until(self, event_kind: str, count: int = 1, **wanted: Any) -> dict[str, Any]:
        """The event of that kind, once there are so many."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = [
                event
                for event in self.events()
                if event["event"] == event_kind
                and all(event.get(key) == value for key, value in wanted.items())
            ]
            if len(found) >= count:
                return found[-1]
            assert self.process is None or self.process.poll() in (None, 0), self.log
            assert time.monotonic() < deadline, f"no {event_kind} {wanted}: {self.log}"
            time.sleep(0.05)

    def status(self) -> dict[str, Any]:
        """The live state, as the command tells it."""
        answer = self.call("status", "--format", "json")
        assert answer.returncode == 0, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)["data"]
        return found

    def site(self, name: str) -> dict[str, Any]:
        return next(site for site in self.status()["sites"] if site["site"] == name)

    def end(self) -> int:
        assert self.process is not None
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@dataclass
class LightSite:
    """A member in a thread: it drifts towards a value of its own, and trains when it may."""

    kit: Kit
    pull: float
    may_train: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    refused: list[Exception] = field(default_factory=list)
    unfit: tuple[str, ...] = ()

    def leave(self) -> None:
        """Go away for now, as a site does that is stopped."""
        self.stopped.set()
        self.courier.leave()

    def start(self) -> "LightSite":
        kit = self.kit
        context = client_context(kit.federation.certificate("authority"), kit.certificate, kit.key)
        self.client = FleetClient(kit.federation.settings().server, kit.key, context, SLICE)
        self.courier = Courier(self.client, "fp32")
        self.receipts = signed_receipts(kit.folder / "receipts.jsonl", kit.key)
        for work in (self._run, self._beat):
            threading.Thread(target=work, daemon=True).start()
        return self

    def say(self, stage: Any, number: int, epoch: int) -> None:
        self.client.say(SiteState(stage, number, epoch, 2).header())

    def _beat(self) -> None:
        while not self.stopped.wait(0.3):
            with suppress(NotRecognised, Unreachable, CannotConnect):
                self.courier.heartbeat(5.0, 5.0)

    def _run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._serve()
            except (NotRecognised, Unreachable) as error:
                self.courier.forget(error)
                time.sleep(0.1)
            except CannotConnect as error:
                self.refused.append(error)
                self.stopped.set()

    def _serve(self) -> None:
        self.courier.activate(5.0)
        task = self.courier.fetch()
        if task is None:
            return
        if task.input.kind == "stop":
            self.stopped.set()
            return
        told = {"ledger": task.input.ledger}
        came = self.receipts.record("received", task.input, task.input.arrays, told)
        output = self.answer(task.input)
        if self.stopped.is_set():
            return
        left = self.receipts.record("released", task.input, output.arrays, {})
        output = replace(output, receipts=(came, left))
        delivery = self.courier.pack(task, {"output": output_header(output)}, output.arrays)
        while not self.stopped.is_set():
            try:
                self.courier.activate(5.0)
                self.courier.deliver(delivery)
                return
            except (NotRecognised, Unreachable) as error:
                self.courier.forget(error)
                time.sleep(0.1)

    def answer(self, task: RoundInput) -> RoundOutput:
        common = (task.task_id, task.kind, task.round)
        if task.kind == "describe":
            return RoundOutput(*common, card=SiteCard({"train": 20}, {}, {}, SPECS, unfit=self.unfit))
        if task.kind == "initialise":
            return RoundOutput(*common, arrays={"w": np.ones(3, np.float32)})
        assert task.arrays is not None
        current = np.array(task.arrays["w"])
        loss = Evaluation(20, {"loss": float(np.mean((current - self.pull) ** 2))})
        if task.kind == "evaluate":
            return RoundOutput(*common, evaluation=loss)
        self.say("training", task.round, 1)
        self.began.set()
        self.may_train.wait(SECONDS)
        trained = {"w": (current + np.float32(0.5) * (np.float32(self.pull) - current)).astype(np.float32)}
        return RoundOutput(*common, num_examples=20, evaluation=loss, arrays=trained)


def await_that(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What ``holds`` gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
    return found
