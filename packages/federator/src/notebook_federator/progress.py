"""What a run looks like while it runs: a live table for people, lines for logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .federation.events import Event
from .federation.narration import RunView

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


def site_table(view: RunView) -> RenderableType:
    """The live table: one row per site."""
    from rich.table import Table

    table = Table(title=view.stage, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, side in (("site", "left"), ("state", "left"), ("epoch", "right"), ("train", "right")):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    table.add_column("global model on its test set")
    table.add_column("traffic", justify="right")
    for name, site in sorted(view.sites.items()):
        metrics = "  ".join(f"{key} {value:.3f}" for key, value in site.metrics.items())
        epoch = f"{site.epoch}/{site.epochs}" if site.epochs else ""
        table.add_row(name, site.state, epoch, str(site.examples or ""), metrics, f"{site.megabytes:.1f} MB")
    return table


@dataclass(slots=True)
class LiveProgress:
    """Shows a run on a rich console: a live table on a terminal or in Jupyter, plain lines elsewhere."""

    console: Console
    view: RunView = field(default_factory=RunView)
    live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal or self.console.is_jupyter:
            from rich.live import Live

            self.live = Live(console=self.console, refresh_per_second=8)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        sentence = self.view.see(event)
        if sentence:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        if self.live is not None:
            self.live.update(site_table(self.view))
