"""The tables that the benchmark of images prints."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from images_docker import Seconds
from images_notebooks import Run

TITLES = {
    "cold": "everything cold, wheels downloaded",
    "wheels": "wheels cached, layers cold",
    "line": "one line changed",
    "author": "empty cache, layers in the registry",
}
STEPS = ("the first notebook", "the next one, same lock", "another one, same torch")


def print_speed(
    locking: float, ours: Mapping[str, Sequence[Run]], docker: Mapping[str, Sequence[Seconds]] | None
) -> None:
    """Seconds from the shell for both images, medians."""
    print(f"\nSeconds from the shell, both images built and pushed (locking before, once: {locking:.1f} s)")
    print(f"{'':<38}{'nbfed':>8}{'docker':>9}{'ratio':>8}   docker build + push: server, client")
    for key, title in TITLES.items():
        seconds = statistics.median(run.seconds for run in ours[key])
        line = f"{title:<38}{seconds:>8.2f}"
        if docker and key in docker:
            parts = {role: _median(docker[key], role) for role in ("server", "client")}
            total = sum(map(sum, parts.values()))
            words = ", ".join(f"{build:.2f} + {push:.2f}" for build, push in parts.values())
            line += f"{total:>9.2f}{total / seconds:>8.1f}   {words}"
        print(line)
    spread = sorted(run.seconds for run in ours["line"])
    peak = max(run.peak_mb for runs in ours.values() for run in runs)
    print(f"one line changed, of {len(spread)}: {spread[0]:.2f} to {spread[-1]:.2f} s")
    print(f"peak memory of nbfed build: at most {peak:.0f} MB")


def _median(runs: Sequence[Seconds], role: str) -> tuple[float, float]:
    build, push = ([run[role][part] for run in runs] for part in (0, 1))
    return statistics.median(build), statistics.median(push)


def print_layers(said: Mapping[str, Any], docker: Mapping[str, Mapping[str, Any]] | None) -> None:
    """What every layer weighs, and what was left out."""
    print("\nLayers over the base, MB compressed and unpacked")
    for role, image in said["images"].items():
        for layer in image["layers"]:
            print(
                f"  {role:<8}{layer['title']:<28}{layer['bytes'] / 1e6:>8.2f}{layer['unpacked'] / 1e6:>9.2f}"
            )
        line = f"  {role:<8}{'added, of all':<28}{image['added_bytes'] / 1e6:>8.2f}"
        if docker:
            added = sum(layer["size"] for layer in docker[role]["layers"]) - image["base_bytes"]
            line += f"         Docker's image: {added / 1e6:.2f}"
        print(line)
    reasons: dict[str, int] = {}
    for item in said["left_out"]:
        reasons[item["reason"]] = reasons.get(item["reason"], 0) + item["bytes"]
    for reason, size in reasons.items():
        print(f"  left out {size / 1e6:.1f} MB unpacked: {reason}")


def print_pulls(ours: Sequence[tuple[float, int]], docker: Sequence[tuple[float, int]]) -> None:
    """What a site pulls for the client images of three notebooks, one after the other."""
    print("\nA site pulls the client image of        nbfed: s       MB     docker: s       MB")
    for title, (seconds, size), (other, more) in zip(STEPS, ours, docker, strict=True):
        print(f"  {title:<36}{seconds:>8.2f}{size / 1e6:>9.3f}{other:>14.2f}{more / 1e6:>9.3f}")


def print_start(seconds: Mapping[str, Sequence[float]]) -> None:
    """How fast a site's process is there."""
    print("\nStart of a site in a container: seconds, the first time and the median of the others")
    titles = {
        "container": "container that does nothing",
        "runtime": "in it: site runtime and Flower loaded",
        "ready": "in it: data and model ready",
    }
    for key, title in titles.items():
        first, *others = seconds[key]
        print(f"  {title:<40}{first:>6.2f}{statistics.median(others):>7.2f}")
