"""How long a site goes on trying: ever more slowly, never without saying why, and not for ever."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping

from nbfed_site.contracts import CannotConnect, Scalar

from .refusals import NotRecognised

_RETRY_SECONDS = (0.2, 5.0)

Tell = Callable[[str, Mapping[str, Scalar]], None]


class Patience:
    """Waits between attempts to reach one server."""

    def __init__(self, server: str, give_up_seconds: float | None, stop: threading.Event, tell: Tell) -> None:
        self._server, self._give_up = server, give_up_seconds
        self._stop, self._tell = stop, tell
        self._heard = time.monotonic()

    def heard(self) -> None:
        """The server has answered."""
        self._heard = time.monotonic()

    def wait_after(self, error: Exception, attempt: int) -> None:
        """Tell why attempt number ``attempt`` (from 0) failed, and wait until the next or until told to stop.

        Raises:
            CannotConnect: the server was away for too long.
        """
        away = time.monotonic() - self._heard
        if self._give_up is not None and away > self._give_up:
            raise CannotConnect(
                f"The server was out of reach for {away:.0f} seconds: {error}.",
                where=self._server,
                hint="Ask the coordinator whether it is still there; `doctor` looks at the way to it.",
            ) from error
        pause = min(_RETRY_SECONDS[0] * 2 ** min(attempt, 9), _RETRY_SECONDS[1]) * random.uniform(0.5, 1.5)
        if isinstance(error, NotRecognised) and attempt == 0:
            pause = 0.0
        self._tell("disconnected", {"cause": str(error), "retry_seconds": round(pause, 2)})
        self._stop.wait(pause)
