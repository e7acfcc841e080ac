"""The security officer's page, as HTML that prints on one sheet and as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from .container import SiteContainer
from .security import Fingerprints, Section, sections, summary
from .texts import filled, template

_CODE = re.compile(r"`([^`]+)`")


def security_files(container: SiteContainer, prints: Fingerprints) -> dict[str, bytes]:
    """``SECURITY.html`` and ``SECURITY.md``: name -> bytes."""
    found = sections(container, prints)
    return {"SECURITY.html": _html(container, found), "SECURITY.md": _markdown(container, found)}


def _html(container: SiteContainer, found: Sequence[Section]) -> bytes:
    kit = container.kit
    return filled(
        template("security.html"),
        site=html.escape(kit.site),
        federation=html.escape(kit.federation),
        serial=kit.serial,
        issued=html.escape(kit.issued),
        summary=html.escape(summary(container)),
        sections="\n".join(map(_section, found[:-1])),
        digests=_section(found[-1]),
    )


def _section(section: Section) -> str:
    rows = "\n".join(f"<dt>{html.escape(what)}</dt><dd>{_marked(text)}</dd>" for what, text in section.rows)
    return f"<section>\n<h2>{html.escape(section.title)}</h2>\n<dl>\n{rows}\n</dl>\n</section>"


def _marked(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text))


def _markdown(container: SiteContainer, found: Sequence[Section]) -> bytes:
    kit = container.kit
    lines = [
        f"# Security sheet: {kit.site} in {kit.federation}",
        "",
        f"Kit {kit.serial}, issued {kit.issued}. `SECURITY.html` is the same, to print.",
        "",
        summary(container),
    ]
    for section in found:
        lines += ["", f"## {section.title}", "", *(f"- **{what}**: {text}" for what, text in section.rows)]
    return ("\n".join(lines) + "\n").encode()
