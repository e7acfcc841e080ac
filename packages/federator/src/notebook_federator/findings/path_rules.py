"""Rules about files: absolute paths, and data read from elsewhere than the site's data folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .facts import Facts, Spot, dotted
from .shapes import Finding, Level, at

_ROOTS = (
    "home|Users|root|mnt|media|Volumes|content|kaggle|data|datasets?|scratch|work|workspace|projects?|"
    "storage|gpfs|lustre|nfs|raid|srv|opt|export|net|s?hare(?:d)?|dbfs|private"
)
_ABSOLUTE = re.compile(rf"^(?:file:/+|/(?:{_ROOTS})(?:/|$)|[A-Za-z]:[\\/](?![\\/])|\\\\\w|~\w*[\\/])")
_RELATIVE = re.compile(r"^(?![a-z]+://)(?!/)[\w .()\-\\/]*(?:[\\/]\w|\w\.[A-Za-z]\w{1,4}$)")
_READERS = {
    "open", "read_csv", "read_excel", "read_parquet", "read_json", "read_table", "read_pickle", "read_hdf",
    "read_feather", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "loadmat", "imread", "ImageFolder",
    "DatasetFolder", "listdir", "scandir", "glob", "iglob", "walk", "Path", "join", "dcmread", "read_image",
    "image_dataset_from_directory", "OpenSlide",
}  # fmt: skip
_WRITERS = {"savefig", "save", "to_csv", "dump", "savetxt", "imwrite"}


class AbsolutePath:
    """A path that only exists on the author's machine."""

    code = "NF105"
    title = "Absolute local path"
    levels: tuple[Level, ...] = ("error",)
    why = "No site has the author's folders: this code would fail there, or read something else."
    example = 'labels = pd.read_csv("/home/ines/data/labels.csv")'
    remedy = "Build the path from data_path: os.path.join(data_path, ...)."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at every string in what the slice would carry."""
        for spot in facts.spots:
            text = _text(spot)
            if text is None or not _ABSOLUTE.match(text) or _continues(spot) or facts.is_replaced(spot):
                continue
            message = f"{_shown(text)} is a path on this machine; no site has it."
            yield at(facts.place(spot.statement, spot.node), self.code, "error", message, self.remedy)


class PathOutsideData:
    """Data is read from a fixed relative path, not from the site's data folder."""

    code = "NF115"
    title = "Data read outside data_path"
    levels: tuple[Level, ...] = ("warning",)
    why = "At a site only the data folder is mounted; a file beside the notebook is not there."
    example = 'mean = torch.load("data/mean.pt")'
    remedy = "Build the path from data_path: os.path.join(data_path, ...)."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at the first argument of calls that read files which the slice does not write itself."""
        own = _files_written(facts)
        for spot in facts.spots:
            if not isinstance(spot.node, ast.Call) or not spot.node.args or facts.is_replaced(spot):
                continue
            path, name = spot.node.args[0], dotted(spot.node.func).rsplit(".", 1)[-1]
            if name not in _READERS or not isinstance(path, ast.Constant) or not isinstance(path.value, str):
                continue
            text = path.value
            if _RELATIVE.match(text) and not _ABSOLUTE.match(text) and text not in own:
                message = f"{_shown(text)} is read from beside the notebook; a site has only its data folder."
                yield at(facts.place(spot.statement, path), self.code, "warning", message, self.remedy)


def _text(spot: Spot) -> str | None:
    node = spot.node
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _continues(spot: Spot) -> bool:
    """Whether the string is joined to something before it, so that it is no path of its own."""
    parent = spot.around[-1] if spot.around else None
    if isinstance(parent, ast.JoinedStr):
        return parent.values[0] is not spot.node
    return isinstance(parent, ast.BinOp) and parent.right is spot.node


def _files_written(facts: Facts) -> set[str]:
    """Literal arguments of calls that write, such as ``torch.save(net.state_dict(), "best.pt")``."""
    calls = [spot.node for spot in facts.spots if isinstance(spot.node, ast.Call) and _writes(spot.node)]
    arguments = [argument for call in calls for argument in call.args]
    return {a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)}


def _writes(call: ast.Call) -> bool:
    """A call that writes: ``open(path, "w")``, ``np.save``."""
    mode = call.args[1] if len(call.args) > 1 else None
    mode = next((word.value for word in call.keywords if word.arg == "mode"), mode)
    writes = isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value[:1] in tuple("wax")
    return writes or dotted(call.func).rsplit(".", 1)[-1] in _WRITERS


def _shown(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'
