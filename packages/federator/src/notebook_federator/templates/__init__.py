"""The notebooks that ``nbfed new`` writes: an empty template and two filled examples."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from nbfed_site.contracts import BadInput, StorageFull

EXAMPLES = ("breast-cancer", "histology")

__all__ = ["EXAMPLES", "write"]


def write(destination: Path, example: str | None = None) -> Path:
    """Write the empty template, or a filled ``example``, and return where it stands.

    The name gets the suffix ``.ipynb`` where it lacks it. The same bytes are written every time.

    Raises:
        BadInput: no such example, the file exists, or its folder does not.
        StorageFull: the file could not be written.
    """
    if example is not None and example not in EXAMPLES:
        raise BadInput(f"There is no example {example!r}.", hint=f"Choose one of: {', '.join(EXAMPLES)}.")
    if not destination.name:
        raise BadInput("The notebook needs a name.", where=str(destination), hint="Name a file.")
    suffix = "" if destination.suffix == ".ipynb" else ".ipynb"
    path = destination.with_name(destination.name + suffix)
    content = (files(__package__) / f"{example or 'template'}.ipynb").read_bytes()
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise BadInput(
            "A file of this name exists and stays as it is.", where=str(path), hint="Choose another name."
        ) from None
    except FileNotFoundError:
        raise BadInput("The folder does not exist.", where=str(path.parent), hint="Make it first.") from None
    except OSError as error:
        raise StorageFull(f"The notebook cannot be written: {error.strerror}.", where=str(path)) from error
    return path
