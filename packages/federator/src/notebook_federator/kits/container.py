"""How a site's container runs, said once: every way to start one is written from what stands here."""

from __future__ import annotations

from dataclasses import dataclass

from nbfed_site.contracts import Kit

from ..image.assembling import PYTHON, UNPRIVILEGED

KIT, DATA, SCRATCH = "/kit", "/data", "/scratch"  # in the container; only the last can be written
USER = UNPRIVILEGED  # where nobody says who
PROCESSES = 4096
SHARED_MEMORY = "2g"
STOP_SECONDS = 60
PULL_WAIT = 7200  # seconds; three layers of a gigabyte come at once on a line of 4 Mbit/s
HEALTHY = (PYTHON, "-I", "-m", "nbfed_site", "healthy")
PASSED_ON = ("HTTPS_PROXY", "NO_PROXY", "https_proxy", "no_proxy", "NBFED_MIN_EXAMPLES", "NBFED_SHARE")
"""Variables of the operator that the container gets: the way to the server, and what only tightens."""
TOKEN_FILE = "join-token.pem"
IMAGES_FILE = "images.tar"


@dataclass(frozen=True, slots=True)
class Image:
    """The client image.

    Attributes:
        reference: ``REGISTRY/NAME@sha256:...``.
        gpu: whether it is made for NVIDIA devices.
        reads_data: whether its notebook reads a folder of the site.
        configuration: digest of its configuration where the kit brings the image along, else empty: what
            Docker and Podman call an image that they loaded from a file.
    """

    reference: str
    gpu: bool = False
    reads_data: bool = True
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class SiteContainer:
    """One site's container, as its kit has it run; ``contact``: whom its operator may ask, one line."""

    kit: Kit
    image: Image
    contact: str = ""

    @property
    def name(self) -> str:
        """Of container, volume and stack; two federations may have a site of the same name."""
        return f"nbfed-{self.kit.site[:40]}-{self.kit.authority.removeprefix('sha256:')[:8]}"

    @property
    def runnable(self) -> str:
        """What an engine is told to run unless it knows better."""
        return self.image.configuration or self.image.reference


def closed_options() -> tuple[str, ...]:
    """Options of ``docker run`` and ``podman run`` that shut the container; no word has a space in it."""
    return (
        "--read-only",
        *("--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges"),
        *("--pids-limit", str(PROCESSES)),
        *("--stop-timeout", str(STOP_SECONDS)),
    )
