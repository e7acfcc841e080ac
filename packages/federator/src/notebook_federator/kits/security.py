"""What a hospital's security officer has to know of a kit, as plain statements with their values."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .container import DATA, IMAGES_FILE, KIT, PROCESSES, SCRATCH, USER, SiteContainer


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What can be compared by telephone; ``sha256:...`` each, ``images`` empty where it is not known.

    Attributes:
        signing: of the key that the kit and the federation's ledger are signed with.
        images: of the key that the images are signed with. token_expires: UTC, ISO 8601.
    """

    signing: str
    images: str
    token_expires: str


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its answers: (what, statement); a statement may hold `code`."""

    title: str
    rows: tuple[tuple[str, str], ...]


def sections(container: SiteContainer, prints: Fingerprints) -> tuple[Section, ...]:
    """The page from its top to its end; the last section is the one with digests."""
    return (
        _what_runs(container, prints),
        _as_whom(container),
        _network(container),
        _end(),
        _what_leaves(container),
        _what_stays(container),
        _records(container),
        _stolen(container, prints),
        _compared(container, prints),
    )


def summary(container: SiteContainer) -> str:
    """The page in three sentences."""
    return (
        "One container on your machine trains a model on data that it can only read. The model's numbers, "
        "counts and scores leave it over a single outbound connection; the data do not. It opens no port, "
        "is not root, and runs only the code in the image named here."
    )


def _what_runs(container: SiteContainer, prints: Fingerprints) -> Section:
    name = IMAGES_FILE if container.image.configuration else "IMAGE"
    checks = f"`nbfed image inspect {name}` lists every package in it"
    if prints.images:
        checks += f"; `nbfed image verify {name} --key images.pub` checks its signature"
    return Section("What runs", (
        ("Image", "One, always by the digest below, with one notebook's code in it: the slice below."),
        ("To check it", f"{checks}."),
        ("Nothing else", "The server sends model arrays and the words train or evaluate, never code. Another "
         "image or slice runs only after `sh site approve` on this machine."),
    ))  # fmt: skip


def _as_whom(container: SiteContainer) -> Section:
    data = f"Your data folder (`{DATA}`) and this kit (`{KIT}`) are mounted read-only."
    if not container.image.reads_data:
        data = f"The notebook reads no folder of yours. This kit (`{KIT}`) is mounted read-only."
    gpu = " It sees the machine's NVIDIA devices." if container.image.gpu else ""
    return Section("As whom, and how closed", (
        ("User", f"The one who starts it; `{USER}` where that is root."),
        ("Closed", f"Root file system read-only, all capabilities dropped, no new privileges, at most "
         f"{PROCESSES} processes, the engine's own system call filter.{gpu} Where SELinux is enforced, the "
         "script leaves your data's labels as they are, and so runs this container without one."),
        ("Files", f"{data} Only `{SCRATCH}` can be written: the volume `{container.name}`."),
    ))  # fmt: skip


def _network(container: SiteContainer) -> Section:
    url = urlsplit(container.kit.server)
    registry = f"The engine pulls the image from `{container.image.reference.partition('/')[0]}`, once."
    if container.image.configuration:
        registry = "None is needed: the image is in this kit, in `images.tar`."
    return Section("Network", (
        ("Outbound", f"One connection: host `{url.hostname}`, TCP port `{url.port or 443}`, from the "
         "container; through `HTTPS_PROXY` where that is set."),
        ("Mutual TLS", "The site takes a server's certificate of the federation's own authority only, and "
         "shows its own. Its private key is made on this machine and never leaves it. A proxy that opens "
         "TLS is refused."),
        ("Inbound", "Nothing: no port is opened or published."),
        ("Registry", registry),
    ))  # fmt: skip


def _what_leaves(container: SiteContainer) -> Section:
    policy = container.kit.policy
    size = f", at most {policy.max_bytes:,} bytes" if policy.max_bytes is not None else ""
    message = "without their message text"
    if policy.allow_messages:
        message = (
            "and the message text, which can quote data, only if you start the site with `--allow-messages`"
        )
    return Section("What leaves", (
        ("Model", f"The model's arrays after training here{size}."),
        ("Scores", f"{', '.join(policy.metrics)}; counts of right and wrong answers per class."),
        ("Counts", "Samples per split and class, unreadable ones, how the data miss the declared format."),
        ("Errors", f"Class, notebook cell and line, {message}."),
        ("Progress", "Round, epoch, seconds, versions; digests and signatures of what came in and left."),
    ))  # fmt: skip


def _what_stays(container: SiteContainer) -> Section:
    few = container.kit.policy.min_examples
    return Section("What never leaves", (
        ("Data", "Samples, images, table rows, identifiers, file names, the answer for any single sample."),
        ("Held back", f"Whatever rests on fewer than {few} samples, any score not named above, numbers that "
         "are not finite, arrays that the model does not have."),
        ("Stricter", "`sh site up ... --min-examples N` asks for more samples. Nobody can ask for fewer."),
        ("To weigh", "A model is made from the data, and its numbers may hold traces of them. No noise is "
         "added (no differential privacy)."),
    ))  # fmt: skip


def _records(container: SiteContainer) -> Section:
    return Section("Records", (
        ("Here", "`sh site receipts` prints what came in, left and was refused: chained by hashes and "
         "signed. `sh site logs` prints the rest. Both stay until `sh site erase`."),
        ("There", "The coordinator promises to erase models, scores and ledger of each run after "
         f"{container.kit.retention_days} days."),
    ))  # fmt: skip


def _end() -> Section:
    return Section("To stop, and to erase", (
        ("Stop", "`sh site stop`, at any time; `sh site up` goes on."),
        ("Erase", "`sh site erase` removes container, image, key, certificate and records. What was sent "
         "before stays with the coordinator, who takes the site out with `nbfed federation remove-site`."),
    ))  # fmt: skip


def _stolen(container: SiteContainer, prints: Fingerprints) -> Section:
    return Section("If somebody copies this kit", (
        ("Before you join", f"The copy can join once in the name of `{container.kit.site}`, until "
         f"{prints.token_expires}: its holder gets the model and can send false updates. It reaches no "
         "data and no machine of any site."),
        ("How it shows", "Your own `sh site up` is refused: the token was used. The coordinator sees it."),
        ("After you joined", "The copy opens nothing. Every try is refused and recorded."),
        ("What helps", "A new kit makes every older one useless at once. An edited kit is refused."),
    ))  # fmt: skip


def _compared(container: SiteContainer, prints: Fingerprints) -> Section:
    kit = container.kit
    rows = [
        ("Image", f"`{container.image.reference}`"),
        ("Slice", f"`{kit.slice_digest}`"),
        ("Notebook", f"`{kit.notebook_digest}`"),
        ("Authority", f"`{kit.authority}`"),
        ("Signing key", f"`{prints.signing}`"),
    ]
    if prints.images:
        rows.append(("Image key", f"`{prints.images}`"))
    rows += [
        ("Kit", f"number {kit.serial} of `{kit.site}`, issued {kit.issued}, join token `{kit.token}`"),
        ("Whom to ask", container.contact or "The coordinator who gave you this kit."),
    ]
    return Section("To compare by telephone with the coordinator", tuple(rows))
