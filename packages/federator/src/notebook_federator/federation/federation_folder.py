"""Where a federation keeps everything: one folder, which can be moved to another machine as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbfed_site.contracts import FederationUnreadable, Manifest, canonical_json, plain

from ..ledger import Entry, Ledger, Signer
from .authority import Authority
from .certificates import Pair, is_for
from .events import utc_now
from .exclusive import exclusive
from .federation_settings import FederationSettings
from .federation_toml import read_settings
from .folder import RunFolder
from .membership import Membership, fold

SETTINGS = "federation.toml"


@dataclass(frozen=True, slots=True)
class FederationFolder:
    """Paths inside one federation's folder."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """What the coordinator wishes."""
        return self.path / SETTINGS

    @property
    def ledger(self) -> Path:
        """What was decided, and what became of it."""
        return self.path / "ledger.sqlite"

    @property
    def keys(self) -> Path:
        """Private keys and certificates; for the owner alone."""
        return self.path / "keys"

    @property
    def slice(self) -> Path:
        """The manifest of the slice that the images hold."""
        return self.path / "slice"

    def key(self, name: str) -> Path:
        """A private key: ``authority``, ``server``, ``coordinator`` or ``signing``."""
        return self.keys / f"{name}.key"

    def certificate(self, name: str) -> Path:
        """A certificate: ``authority``, ``server`` or ``coordinator``."""
        return self.keys / f"{name}.pem"

    @property
    def public_key(self) -> Path:
        """What the federation's signatures are checked with."""
        return self.keys / "signing.pub"

    @property
    def server(self) -> Path:
        """What only the server that runs needs: its lock, its signs of life, temporary files."""
        return self.path / ".server"

    def kit(self, site: str) -> Path:
        """The newest kit of a site."""
        return self.path / "kits" / site

    def run(self, number: int) -> RunFolder:
        """One run; they are numbered from 1."""
        return RunFolder(self.path / "runs" / str(number))

    # -- reading ------------------------------------------------------------------------------

    def settings(self) -> FederationSettings:
        """What ``federation.toml`` says.

        Raises:
            FederationUnreadable: it is missing, or makes no sense.
        """
        return read_settings(self.settings_file)

    def manifest(self) -> Manifest:
        """The manifest of the slice that the images hold.

        Raises:
            RunUnreadable: there is none, or it is damaged.
        """
        return RunFolder(self.path).manifest()

    def authority(self) -> Authority:
        """The federation's certificate authority.

        Raises:
            FederationUnreadable: its files are missing or damaged.
        """
        try:
            pair = (self.certificate("authority").read_bytes(), self.key("authority").read_bytes())
            return Authority.load(Pair(*pair))
        except (OSError, ValueError, TypeError) as error:
            hint = "Restore the folder keys/ from a copy of the federation's folder."
            raise FederationUnreadable(
                f"The federation's authority cannot be read: {error}.", where=str(self.keys), hint=hint
            ) from error

    def signer(self) -> Signer:
        """What entries and kits are signed with.

        Raises:
            FederationUnreadable: the key is missing or damaged.
        """
        return Signer.load(self.key("signing"))

    def open_ledger(
        self, observe: Callable[[Entry], None] | None = None, now: Callable[[], str] = utc_now
    ) -> Ledger:
        """The federation's ledger, for reading and for signed entries.

        Raises:
            FederationUnreadable: there is no ledger, or no key.
            LedgerBroken: the file is not a ledger.
        """
        if not self.ledger.exists():
            what = "The federation's ledger is missing."
            hint = "Restore ledger.sqlite from a copy of the federation's folder."
            raise FederationUnreadable(what, where=str(self.path), hint=hint)
        return Ledger(self.ledger, now, observe, self.signer())

    def locked(self) -> AbstractContextManager[None]:
        """Keep other commands from changing the federation meanwhile, as :func:`exclusive` does."""
        return exclusive(self.path)

    def membership(self) -> Membership:
        """Who belongs to the federation by now.

        Raises:
            FederationUnreadable, LedgerBroken: as :meth:`open_ledger`.
        """
        with self.open_ledger() as ledger:
            return fold(ledger.entries())

    # -- making -------------------------------------------------------------------------------

    def create(self, settings: FederationSettings, text: bytes, manifest: Manifest, now: datetime) -> None:
        """Make the folder with its keys, certificates and ledger.

        Args:
            text: of ``federation.toml``, which is written last: with it the folder is a federation.
            now: UTC, for the certificates.

        Raises:
            FederationUnreadable: there is a federation in this folder already.
            TimedOut: as :meth:`locked`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._create(settings, text, manifest, now)

    def _create(self, settings: FederationSettings, text: bytes, manifest: Manifest, now: datetime) -> None:
        if self.ledger.exists():
            hint = "Choose another folder with --out."
            raise FederationUnreadable(
                "There is a federation in this folder already.", where=str(self.path), hint=hint
            )
        for folder in (self.keys, self.path / "kits"):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.slice.mkdir(exist_ok=True)
        self.write_manifest(manifest)
        authority = Authority.make(settings.name, now)
        self._write_keys(authority, settings.host, now)
        with Ledger(self.ledger, utc_now, signer=self.signer()) as ledger:
            self.ledger.chmod(0o600)
            ledger.append(
                "created",
                name=settings.name,
                server=settings.server,
                key=self.public_key.read_text(),
                authority=authority.fingerprint,
            )
        write(self.settings_file, text)

    def certify_server(self, host: str, now: datetime) -> None:
        """Make the server's certificate anew where it is missing, or not for this name or address."""
        try:
            fits = is_for(self.certificate("server").read_bytes(), host)
        except (OSError, ValueError):
            fits = False
        if not fits:
            pair = self.authority().server(host, now)
            write_private(self.key("server"), pair.key)
            write(self.certificate("server"), pair.certificate)

    def write_manifest(self, manifest: Manifest) -> None:
        """Keep the manifest of the slice that the images hold."""
        write(self.slice / "manifest.json", canonical_json(plain(manifest)))

    def _write_keys(self, authority: Authority, host: str, now: datetime) -> None:
        pairs: Mapping[str, Pair] = {
            "authority": authority.pair,
            "server": authority.server(host, now),
            "coordinator": authority.coordinator(now),
        }
        for name, pair in pairs.items():
            write_private(self.key(name), pair.key)
            write(self.certificate(name), pair.certificate)
        key, signer = Signer.make()
        write_private(self.key("signing"), key)
        write(self.public_key, signer.public_key.encode())


def find_federation(start: Path) -> FederationFolder:
    """The federation in a folder, or the only one in the folders directly below it.

    Raises:
        FederationUnreadable: there is none, or there are several.
    """
    if (start / SETTINGS).exists():
        return FederationFolder(start)
    found = sorted(path.parent for path in start.glob(f"*/{SETTINGS}"))
    if len(found) == 1:
        return FederationFolder(found[0])
    hint = f"Name one: {', '.join(map(str, found))}." if found else "Make one: nbfed federation init NOTEBOOK"
    what = "There are several federations here." if found else "There is no federation here."
    raise FederationUnreadable(what, where=str(start.absolute()), hint=hint)


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    _write(path, data, 0o644)


def write_private(path: Path, data: bytes) -> None:
    """Write a file for the owner alone, whole or not at all."""
    _write(path, data, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    making = path.with_name(f".{path.name}.{os.getpid()}")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    making.replace(path)
