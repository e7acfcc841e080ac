"""The rule about the aggregation block: can it ever train?"""

from __future__ import annotations

from collections.abc import Iterator

from ..analysis import Place, StrategyRead
from .facts import Facts
from .shapes import Finding, Level, at

_MINIMA = ("min_available_nodes", "min_train_nodes", "min_evaluate_nodes")


class NeverTrains:
    """The strategy waits for sites that cannot come, chooses none, or cannot be read."""

    code = "NF109"
    title = "Strategy that can never train"
    levels: tuple[Level, ...] = ("error", "warning", "hint")
    why = (
        "A strategy that asks for more sites than there are waits for ever. Values that only running "
        "code could tell are not known before the run."
    )
    example = "strategy = fl.server.strategy.FedAvg(min_fit_clients=3)   # with two sites"
    remedy = "Ask for no more sites than the federation has; give numbers as plain literals."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at the strategy's settings and at the number of rounds."""
        if facts.analysis.strategy is not None:
            strategy = facts.analysis.strategy
            yield from self._minima(strategy, facts.sites)
            yield from self._fractions(strategy)
            yield from self._unread(strategy)
        yield from self._rounds(facts)

    def _minima(self, strategy: StrategyRead, sites: int | None) -> Iterator[Finding]:
        asked = {name: int(strategy.settings[name]) for name in _MINIMA if name in strategy.settings}
        most = max(asked.values(), default=0)
        if sites is None and most > 2:
            name = max(asked, key=lambda key: asked[key])
            message = f"The strategy needs at least {most} sites."
            step = "Say how many there are with --site or --sites, and this is checked."
            yield at(_argument(strategy, name), self.code, "hint", message, step)
        for name, value in asked.items():
            if sites is not None and value > sites:
                there = "is one" if sites == 1 else f"are {sites}"
                message = f"The strategy waits for {value} sites, but there {there}: it can never train."
                step = f"Ask for {sites} at most, or add sites."
                yield at(_argument(strategy, name), self.code, "error", message, step)

    def _fractions(self, strategy: StrategyRead) -> Iterator[Finding]:
        train = strategy.settings.get("fraction_train", 1.0)
        place = _argument(strategy, "fraction_train")
        if float(train) <= 0 and not strategy.settings.get("min_train_nodes"):
            message = "The strategy lets no site train."
            yield at(place, self.code, "error", message, "Give a fraction above 0, such as 1.0.")
        if float(train) > 1:
            message = f"A fraction of {train} of the sites cannot train."
            yield at(place, self.code, "error", message, "Give a fraction between 0 and 1.")

    def _unread(self, strategy: StrategyRead) -> Iterator[Finding]:
        if not strategy.name:
            message = f"{strategy.written} is no strategy that can be read from the notebook."
            step = (
                "Choose fedavg, fedprox, fedadam, fedyogi, fedavgm, trimmed_mean or median with --strategy."
            )
            yield at(strategy.place, self.code, "warning", message, step)
        for name in strategy.unread:
            message = f"The value of {name} is only known when code runs, so it is not used."
            place = _argument(strategy, name)
            yield at(place, self.code, "warning", message, "Write it as a plain number.")

    def _rounds(self, facts: Facts) -> Iterator[Finding]:
        rounds = facts.analysis.rounds
        if rounds is None:
            return
        if rounds.rounds is None:
            message = "The number of rounds is only known when code runs."
            step = "Write it as a plain number, or give --rounds."
            yield at(rounds.place, self.code, "warning", message, step)
        elif rounds.rounds < 1:
            message = f"With {rounds.rounds} rounds nothing is trained."
            yield at(rounds.place, self.code, "error", message, "Give at least 1 round.")


def _argument(strategy: StrategyRead, name: str) -> Place:
    return strategy.arguments.get(name, strategy.place)
