"""Search for bytes that are not expected, led by coverage: ``python -m tests.fuzz SECONDS [TARGET ...]``.

Every target is searched for so many seconds. What a search has learnt is kept in ``build/fuzz/TARGET``, and
the next goes on from there. An input that something failed with is written beside that folder; once that is
mended, it belongs into ``tests/fuzz/inputs/TARGET``, where the tests try it for ever.
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nbfed_site", "notebook_federator"], enable_loader_override=False):
    from .seeds import seeds
    from .targets import TARGETS

_INPUTS = Path(__file__).parent / "inputs"
_KEPT = Path("build/fuzz")
_INPUT_BYTES, _INPUT_SECONDS, _MEGABYTES = 4096, 10, 2048


def main(arguments: list[str]) -> int:
    """Search each target in a process of its own; non-zero if an input failed."""
    failed = []
    for name in arguments[1:] or TARGETS:
        if (process := os.fork()) == 0:
            _search(name, arguments[0])
        if os.waitpid(process, 0)[1]:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "no input failed")
    return int(bool(failed))


def _search(name: str, seconds: str) -> None:
    """Search one target; does not return."""
    print(f"\n== {name}: {(TARGETS[name].__doc__ or '').splitlines()[0]}", flush=True)
    kept = _KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (kept / f"seed-{number}").write_bytes(seed)
    known = [str(_INPUTS / name)] if (_INPUTS / name).exists() else []
    options = {
        "max_total_time": seconds,
        "max_len": _INPUT_BYTES,
        "timeout": _INPUT_SECONDS,
        "rss_limit_mb": _MEGABYTES,
        "artifact_prefix": f"{_KEPT}/{name}-",
        "verbosity": 0,
        "print_final_stats": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *words, str(kept), *known], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
