"""The one tree of errors: each says what, where and what to do next, under a stable code."""

from typing import ClassVar


class NbfedError(Exception):
    """Base of every error that Notebook Federator raises on purpose.

    Attributes:
        code: stable identifier, documented in ``docs/reference/errors.md``.
        exit_code: 1 failed, 2 cannot connect or not authorised, 3 timed out, 4 bad input, 130 interrupted.
        what: what went wrong, one sentence.
        where: the file, cell, site or round it concerns; may be empty.
        hint: what to do next; may be empty.
    """

    code: ClassVar[str] = "NE100"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"Where: {self.where}")
        if self.hint:
            parts.append(f"Next: {self.hint}")
        return "\n".join(parts)


class Interrupted(NbfedError):
    """The user stopped the command; what was finished is kept."""

    code = "NE101"
    exit_code = 130


class BadInput(NbfedError):
    """A file, option or setting cannot be used as it is."""

    code = "NE400"
    exit_code = 4


class NotebookUnreadable(BadInput):
    """The notebook file is missing, not JSON, or not a notebook that nbformat accepts."""

    code = "NE401"


class NotebookBlocked(BadInput):
    """The notebook has findings that must be mended before it can be federated."""

    code = "NE402"


class SettingsInvalid(BadInput):
    """A setting of the federation contradicts another or has no meaning."""

    code = "NE403"


class RunUnreadable(BadInput):
    """A run folder is missing, incomplete, or does not belong to this notebook."""

    code = "NE404"


class FederationUnreadable(BadInput):
    """A federation folder is missing, incomplete, or its federation.toml makes no sense."""

    code = "NE405"


class KitInvalid(BadInput):
    """A kit was edited, is incomplete, or is not for this image."""

    code = "NE406"


class NotApproved(BadInput):
    """The site's operator has not approved this image and slice."""

    code = "NE407"


class CannotConnect(NbfedError):
    """Server or site cannot be reached, or refuses the caller."""

    code = "NE200"
    exit_code = 2


class PortInUse(CannotConnect):
    """The address to listen on is taken."""

    code = "NE201"


class VersionSkew(CannotConnect):
    """Server and site run different versions of Notebook Federator or Flower."""

    code = "NE202"


class JoinRefused(CannotConnect):
    """The server does not take a join token: used, stale, expired, or of a removed site."""

    code = "NE203"


class CertificateRefused(CannotConnect):
    """A certificate is expired, not valid yet, revoked, or of another authority."""

    code = "NE204"


class TimedOut(NbfedError):
    """A declared deadline passed."""

    code = "NE300"
    exit_code = 3


class QuorumMissed(TimedOut):
    """Fewer sites than the declared quorum took part before the deadline."""

    code = "NE301"


class StorageFull(NbfedError):
    """A checkpoint or ledger entry could not be written."""

    code = "NE501"


class ServerLost(NbfedError):
    """The server process ended before the run did."""

    code = "NE502"


class LedgerBroken(NbfedError):
    """The ledger's hash chain does not hold."""

    code = "NE503"


class SiteFailed(NbfedError):
    """A site could not do its task."""

    code = "NE600"


class SiteCodeFailed(SiteFailed):
    """The notebook's own code raised at a site."""

    code = "NE601"


class SiteDataFailed(SiteFailed):
    """A site's data cannot be trained on: none, or not what the blocks return."""

    code = "NE602"


class ReleaseRefused(SiteFailed):
    """An update holds something that the site's release policy does not let out."""

    code = "NE603"


class TaskRefused(SiteFailed):
    """The server asked a site for something its image or approval does not cover."""

    code = "NE604"


class UpdateRefused(SiteFailed):
    """The server does not take an update: it does not fit the model, or is not finite."""

    code = "NE605"


class DataUnfit(SiteDataFailed):
    """A site's data does not fit the federation's data contract."""

    code = "NE606"


def error_kind(code: str) -> type[NbfedError]:
    """The class with this code; :class:`NbfedError` itself where there is none."""
    found = [NbfedError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return next((kind for kind in found if kind.code == code), NbfedError)
