"""Frozen shapes shared by authors, servers and sites. Standard library only.

What every command needs is loaded with the package, the rest when it is asked for: a dozen of these
shapes take longer to make than most commands take to begin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .canonical import canonical_json, derive_seed, digest, json_digest
from .errors import (
    BadInput,
    CannotConnect,
    CertificateRefused,
    DataUnfit,
    FederationUnreadable,
    Interrupted,
    JoinRefused,
    KitInvalid,
    LedgerBroken,
    NbfedError,
    NotApproved,
    NotebookBlocked,
    NotebookUnreadable,
    PortInUse,
    QuorumMissed,
    ReleaseRefused,
    RunUnreadable,
    ServerLost,
    SettingsInvalid,
    SiteCodeFailed,
    SiteDataFailed,
    SiteFailed,
    StorageFull,
    TaskRefused,
    TimedOut,
    UpdateRefused,
    VersionSkew,
    error_kind,
)
from .model import Array, Arrays, ArraySpec, Scalar
from .plain import plain, rebuilt
from .slice import PHASES, LineSpan, Manifest, Names, Parameter, Phase, Section

if TYPE_CHECKING:
    from .data import DataContract
    from .kit import Kit
    from .policy import DEFAULT_METRICS, Receipt, ReleasePolicy
    from .rounds import (
        Evaluation,
        RoundInput,
        RoundOutput,
        SiteCard,
        SiteFailure,
        TaskKind,
        output_from_header,
        output_header,
    )
    from .state import SiteState, Stage
else:  # what no line above names stays unknown to type checkers

    def __getattr__(name: str) -> Any:
        """A shape that is not loaded yet."""
        for module in ("data", "kit", "policy", "rounds", "state") if name in __all__ else ():
            loaded = vars(import_module(f".{module}", __name__))
            if name in loaded:
                return loaded[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DEFAULT_METRICS",
    "PHASES",
    "Array",
    "ArraySpec",
    "Arrays",
    "BadInput",
    "CannotConnect",
    "CertificateRefused",
    "DataContract",
    "DataUnfit",
    "Evaluation",
    "FederationUnreadable",
    "Interrupted",
    "JoinRefused",
    "Kit",
    "KitInvalid",
    "LedgerBroken",
    "LineSpan",
    "Manifest",
    "Names",
    "NbfedError",
    "NotApproved",
    "NotebookBlocked",
    "NotebookUnreadable",
    "Parameter",
    "Phase",
    "PortInUse",
    "QuorumMissed",
    "Receipt",
    "ReleasePolicy",
    "ReleaseRefused",
    "RoundInput",
    "RoundOutput",
    "RunUnreadable",
    "Scalar",
    "Section",
    "ServerLost",
    "SettingsInvalid",
    "SiteCard",
    "SiteCodeFailed",
    "SiteDataFailed",
    "SiteFailed",
    "SiteFailure",
    "SiteState",
    "Stage",
    "StorageFull",
    "TaskKind",
    "TaskRefused",
    "TimedOut",
    "UpdateRefused",
    "VersionSkew",
    "canonical_json",
    "derive_seed",
    "digest",
    "error_kind",
    "json_digest",
    "output_from_header",
    "output_header",
    "plain",
    "rebuilt",
]
