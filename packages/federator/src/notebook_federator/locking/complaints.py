"""What `uv` says when it finds no set of wheels, as errors that say whose fault it is and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbfed_site.contracts import NbfedError, SettingsInvalid

from .errors import IndexUnreachable, LockUnsolvable, Trouble
from .runtime import normalised, runtime_requirements
from .shapes import Target

_NAME = r"`?(?P<{0}>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?:\[[^\]]*\])?(?P<{0}_version>[<>=!~][^\s`]*)?`?"
_NO_WHEEL = (
    re.compile(_NAME.format("name") + r" (?:has|have) no (?:usable )?wheels"),
    re.compile(r"Wheels are required for " + _NAME.format("name")),
    re.compile(r"Building source distributions for " + _NAME.format("name") + " is disabled"),
)
_UNKNOWN = (
    re.compile(_NAME.format("name") + r" was not found in the"),
    re.compile(r"there (?:is|are) no versions? of " + _NAME.format("name") + r"(?=[\s,])"),
)
_DEPENDS = re.compile(_NAME.format("source") + r" depends? on " + _NAME.format("on") + r"(?=[\s,]|$)")
_FETCH = re.compile(r"Failed to fetch:? `?(?P<url>[^\s`]+)|error sending request for url \((?P<sent>[^)]+)\)")
_REFUSED = re.compile(r"\((?P<url>https?://[^)\s]+)\) (?:could not be queried|returned a) .*")
_OTHERS = re.compile(
    r"on the following platforms?: (?P<platforms>.+)|with the following .*?tags?: (?P<tags>.+)"
)
_LONGEST = 700


@dataclass(frozen=True, slots=True)
class _Complaint:
    """`uv`'s message, and what it was asked.

    Attributes:
        text: the whole message.
        reason: its explanation on one line.
        mentioned: the requirement lines that the explanation names.
    """

    text: str
    reason: str
    mentioned: tuple[str, ...]
    target: Target

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(normalised(line) for line in self.mentioned))


def error_of(text: str, requirements: Sequence[str], target: Target) -> NbfedError:
    """The error that stands for `uv`'s message ``text`` about ``requirements``."""
    reason = _reason(text)
    mentioned = tuple(line for line in requirements if _mentions(reason, normalised(line)))
    complaint = _Complaint(text, reason, mentioned, target)
    return (
        _unreachable(complaint)
        or _unusable(complaint, requirements)
        or _lacking(complaint, "no wheel", _NO_WHEEL)
        or _lacking(complaint, "unknown", _UNKNOWN)
        or _conflict(complaint)
    )


def _reason(text: str) -> str:
    """The explanation without its head and hints, on one line."""
    body = re.split(r"\n\s*hint:", text.strip())[0]
    head, found, tail = body.partition("cause:")
    shown = " ".join((tail if found else head.removeprefix("error:")).split())
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " ..."


def _mentions(reason: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", reason) is not None


def _unreachable(complaint: _Complaint) -> NbfedError | None:
    text = complaint.text
    refused, failed = _REFUSED.search(text), _FETCH.search(text)
    if refused:
        hint = "Give credentials in the index's URL or in a .netrc file."
        return IndexUnreachable("The package index refuses the caller.", where=refused["url"], hint=hint)
    if failed:
        url, last = failed["url"] or failed["sent"], text.strip().rpartition("cause:")[2]
        what = f"The package index cannot be reached: {' '.join(last.split())}."
        return IndexUnreachable(what, where=url, hint=_network_hint(url, complaint.target))
    if "network was disabled" in text or "connectivity is disabled" in text:
        what = "Versions cannot be settled: UV_OFFLINE forbids the network, and not all is cached."
        return IndexUnreachable(what, hint="Unset UV_OFFLINE, or give a folder of wheels with --wheels.")
    return None


def _network_hint(url: str, target: Target) -> str:
    if "download.pytorch.org" in url:
        return (
            f"Check the network and HTTPS_PROXY, or give a folder that has torch's {target.torch} wheel with "
            "--wheels FOLDER, or another index that has it with --index URL."
        )
    return "Check the network and HTTPS_PROXY, or name an index that can be reached with --default-index URL."


def _unusable(complaint: _Complaint, requirements: Sequence[str]) -> NbfedError | None:
    """Input that `uv` cannot even read."""
    text = complaint.text
    if "--torch-backend" in text and "invalid value" in text:
        known = re.search(r"possible values: ([^\]]+)", text)
        hint = f"Use one of {known[1]}." if known else ""
        return SettingsInvalid(f"{complaint.target.torch!r} is no variant of torch.", hint=hint)
    if "parse requirement" in text:
        lines = [line for line in requirements if line in text] or ["One"]
        what = f"{max(lines, key=len)} is not a requirement that an installer can read."
        hint = "Mend it on the notebook's pip line: NAME, or NAME==VERSION."
        return LockUnsolvable(what, hint=hint, kind="unknown", distributions=(normalised(lines[0]),))
    return None


def _lacking(
    complaint: _Complaint, kind: Trouble, patterns: Sequence[re.Pattern[str]]
) -> LockUnsolvable | None:
    """A distribution that is not there; None where the explanation rests on something else too."""
    text = " ".join(complaint.text.split())
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    culprits = {match["name"]: match.groupdict().get("name_version") or "" for match in reversed(found)}
    edges = [(match["source"], match["on"]) for match in _DEPENDS.finditer(text)]
    ends = {on for _, on in edges} - {source for source, _ in edges}
    if not culprits or ends - culprits.keys():
        return None
    name = next(iter(culprits))
    asked = next((line for line in complaint.mentioned if normalised(line) == name), name + culprits[name])
    behind = [line for line in complaint.mentioned if normalised(line) not in culprits]
    what = _no_wheel(complaint, asked) if kind == "no wheel" else f"There is no {asked} to be had"
    what += f", which {' and '.join(behind)} needs." if behind else "."
    names = tuple(dict.fromkeys((*culprits, *complaint.names)))
    return LockUnsolvable(what, hint=_HINTS[kind].format(asked), kind=kind, distributions=names)


_HINTS = {
    "no wheel": "Take a version that has one, or make one on a machine like the sites' with "
    "`pip wheel --no-deps {} -w wheels` and add --wheels wheels.",
    "unknown": "Check name and version of {}, or say who has it with --index URL or --wheels FOLDER.",
}


def _no_wheel(complaint: _Complaint, asked: str) -> str:
    target = complaint.target
    what = f"{asked} has no wheel for Python {target.python} on {target.platform}"
    others = [match["platforms"] or match["tags"] for match in _OTHERS.finditer(complaint.text)]
    if others:
        return f"{what} (there are some for {'; '.join(others).replace('`', '')})"
    return f"{what}, only its source code or wheels for others"


def _conflict(complaint: _Complaint) -> LockUnsolvable:
    runtime = {*runtime_requirements("server"), *runtime_requirements("client")}
    ours = [line for line in complaint.mentioned if line in runtime]
    theirs = [line for line in complaint.mentioned if line not in runtime]
    names = tuple(dict.fromkeys(normalised(line) for line in (*theirs, *ours)))
    hint = (
        f"Take another version of {_and(names[: len(theirs)])}: install it here and run the notebook "
        "with it, or ask for it on a pip line (`%pip install NAME==VERSION`)."
    )
    if theirs and ours:
        what = f"{_and(theirs)} cannot be installed beside what sites and server run ({_and(ours)})"
    elif theirs:
        what = f"No versions satisfy {_and(theirs)}"
    else:
        what = f"No versions satisfy what sites and server run on Python {complaint.target.python}"
        hint = "Take a base image with another Python, or look at what --index and --wheels lead to."
    return LockUnsolvable(f"{what}: {complaint.reason}", hint=hint, kind="conflict", distributions=names)


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)
