"""The commands about records: `nbfed ledger verify` and `nbfed ledger compare`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Answer, answer, output_option

if TYPE_CHECKING:
    from .auditing import Audit
    from .comparing import Comparison

_PATH = click.Path(path_type=Path)


@click.group()
def ledger() -> None:
    """Check the records of a federation and its runs."""


@ledger.command()
@click.argument("path", metavar="FEDERATION|RUN|FILE", type=_PATH)
@click.option(
    "--key", type=_PATH, metavar="PEM", help="The federation's public key, signing.pub, as you know it."
)
@click.option("--head", metavar="N:HASH", help="A head that was noted earlier: it must still be there.")
@output_option
def verify(path: Path, key: Path | None, head: str | None, output: str) -> None:
    """Check that no entry was changed, removed or moved, and that every one is signed."""

    def produce() -> Answer:
        from .auditing import audit

        return _audited(audit(path, _read_key(key), _read_head(head)))

    answer(output, produce)


@ledger.command()
@click.argument("place", metavar="FEDERATION|RUN", type=_PATH)
@click.argument("receipts", metavar="receipts.jsonl", type=_PATH)
@click.option("--site", help="Whose file it is [default: whose key signed it].")
@output_option
def compare(place: Path, receipts: Path, site: str | None, output: str) -> None:
    """Compare a site's own receipts with those that the coordinator kept."""

    def produce() -> Answer:
        from .comparing import compare as compared

        return _compared(compared(place, receipts, site))

    answer(output, produce)


def _read_key(path: Path | None) -> str | None:
    from nbfed_site.contracts import BadInput

    try:
        return None if path is None else path.read_text()
    except (OSError, ValueError) as error:
        raise BadInput(
            "The public key cannot be read.", where=str(error), hint="Name signing.pub."
        ) from error


def _read_head(text: str | None) -> tuple[int, str] | None:
    from nbfed_site.contracts import SettingsInvalid

    if text is None:
        return None
    count, _, found = text.partition(":")
    if not count.isdigit():
        hint = "Write what `nbfed ledger verify` printed: 12:sha256:..."
        raise SettingsInvalid(f"{text!r} is no head of a ledger.", hint=hint)
    return int(count), found


def _audited(found: Audit) -> Answer:
    lines = list(found.findings)
    for item in found.checked:
        signed = "each signed" if item.signed else "not signed"
        lines.append(f"{item.path}: {item.entries} entries, {signed}, each fits the ones before it.")
        lines.append(f"  head {item.entries}:{item.head}")
    lines.append(_verdict(len(found.findings)))
    data = {
        "findings": list(found.findings),
        "ledgers": [{**asdict(item), "path": str(item.path)} for item in found.checked],
    }
    return Answer("\n".join(lines), data, 1 if found.findings else 0)


def _compared(found: Comparison) -> Answer:
    from .rounds.legible import legible

    lines = legible([*found.findings, *found.notes])  # they quote what the site wrote
    lines.append(
        f"{found.site}: {found.entries} entries at the site, {found.kept} of them at the coordinator."
    )
    lines.append(_verdict(len(found.findings)))
    return Answer("\n".join(lines), asdict(found), 1 if found.findings else 0)


def _verdict(count: int) -> str:
    return f"{count} not as it should be." if count else "Everything is as it was written."
