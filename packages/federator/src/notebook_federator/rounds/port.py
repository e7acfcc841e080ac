"""The port between the round loop and whatever carries tasks to sites and outputs back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nbfed_site.contracts import RoundInput, RoundOutput, SiteFailure, SiteState


@dataclass(frozen=True, slots=True)
class Joined:
    """A site connected. ``instance`` differs after a restart: tasks sent before are lost."""

    site: str
    instance: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A site has not been heard of for longer than its heartbeat allows."""

    site: str


@dataclass(frozen=True, slots=True)
class Received:
    """A site has fetched a task whole and is working on it."""

    site: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Replied:
    """A site's output. ``output.arrays`` reads each array from disk when asked; call ``discard``
    on the transport when done with it.

    ``bytes_down`` and ``bytes_up`` are the bytes of this task and reply on the wire;
    ``seconds`` runs from :meth:`Transport.send` to the whole reply.
    """

    site: str
    output: RoundOutput
    bytes_down: int
    bytes_up: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A site could not do a task and says why. ``task_id`` is empty where the site was turned away."""

    site: str
    task_id: str
    failure: SiteFailure


@dataclass(frozen=True, slots=True)
class Progressed:
    """A site says where it stands; told with its signs of life, where it has changed."""

    site: str
    state: SiteState


Event = Joined | Lost | Received | Replied | Failed | Progressed


class Transport(Protocol):
    """Carries tasks to sites by name, and events back. Used from one thread."""

    def send(self, task: RoundInput, sites: Sequence[str]) -> None:
        """Queue ``task`` for each of ``sites`` (its arrays are stored once). Returns at once."""

    def events(self, timeout: float) -> Iterator[Event]:
        """Yield what happened, waiting at most ``timeout`` seconds for the first event."""

    def discard(self, reply: Replied) -> None:
        """Free the disk space behind ``reply.output.arrays``."""

    def cancel(self, task_id: str) -> None:
        """Take back a task: sites that have not begun it never get it, late replies are dropped."""

    def close(self) -> None:
        """Tell sites that the run is over (``stop``) and free everything."""
