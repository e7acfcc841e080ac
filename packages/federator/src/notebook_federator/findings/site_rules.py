"""Rules about what a site lacks: the internet, perhaps a GPU."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..analysis import Place
from .facts import Facts, Spot, dotted, written
from .shapes import Finding, Level, at

_CALLS = re.compile(
    r"(^|\.)(urlopen|urlretrieve|from_pretrained|hub\.load|load_state_dict_from_url|load_url|"
    r"download_url_to_file|hf_hub_download|snapshot_download|get_file|gdown\.download|wget\.download|"
    r"kagglehub\.\w+|(requests|httpx|session)\.(get|post|request)|load_dataset|"
    r"fetch_(openml|20newsgroups\w*|california_housing|olivetti_faces|lfw_\w+|covtype|kddcup99|rcv1))$"
)
_SHELL = re.compile(
    r"^(?:[!%]{1,2}\s*|.*[;&|]\s*)(wget|curl|gdown|kaggle\s+(?:datasets|competitions)|git\s+clone|aws\s+s3|gsutil)\b"
)
_GUARDS = re.compile(r"is_available|device_count|cuda|gpu|device", re.IGNORECASE)
_CUDA = re.compile(r"^cuda(:\d+)?$")


class NetworkUse:
    """The code fetches something from the internet."""

    code = "NF107"
    title = "Network use"
    levels: tuple[Level, ...] = ("warning",)
    why = "A site has no internet: a download hangs behind the hospital's firewall, or fails at once."
    example = "self.body = models.resnet18(pretrained=True)"
    remedy = "Start from random weights, or load the file from a path that every site has."

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at calls that the slice would carry, and at shell lines anywhere."""
        for spot in facts.spots:
            if isinstance(spot.node, ast.Call):
                yield from self._call(facts, spot, spot.node)
        for cell in facts.notebook.cells:
            for magic in cell.magics:
                if match := _SHELL.match(magic.text):
                    message = f"{match[1]} fetches from the internet; no site runs this line."
                    step = "Let each site put its own data into its data folder."
                    column = max(0, cell.source.split("\n")[magic.line - 1].find(magic.text.split("\n")[0]))
                    place = Place(cell.number, magic.line, column, magic.line, column + len(magic.text))
                    yield at(place, self.code, "warning", message, step)

    def _call(self, facts: Facts, spot: Spot, call: ast.Call) -> Iterator[Finding]:
        for word in call.keywords:
            if _fetches(word):
                message = f"{written(word)} downloads; a site has no internet."
                yield at(facts.place(spot.statement, word), self.code, "warning", message, self.remedy)
        if _CALLS.search(dotted(call.func)):
            message = f"{dotted(call.func)} may fetch from the internet, which a site does not have."
            yield at(facts.place(spot.statement, call.func), self.code, "warning", message, self.remedy)


class HardCodedCuda:
    """The code needs a GPU without asking whether there is one."""

    code = "NF108"
    title = "Hard-coded CUDA"
    levels: tuple[Level, ...] = ("warning",)
    why = "A site without an NVIDIA GPU cannot run this code."
    example = "net.cuda()"
    remedy = 'Set DEVICE = "cuda" if torch.cuda.is_available() else "cpu" once, and use .to(DEVICE).'

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look for ``.cuda()`` and the device name outside of any question about the device."""
        for spot in facts.spots:
            if _needs_cuda(spot) and not _guarded(spot):
                node = spot.node
                message = f"{written(node)} needs a GPU, which not every site has."
                yield at(facts.place(spot.statement, node), self.code, "warning", message, self.remedy)


def _fetches(word: ast.keyword) -> bool:
    value = word.value
    if word.arg in ("pretrained", "download"):
        return isinstance(value, ast.Constant) and value.value is True
    if word.arg in ("weights", "weights_backbone", "encoder_weights"):
        named = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return named or "Weights" in dotted(value)
    return False


def _needs_cuda(spot: Spot) -> bool:
    node = spot.node
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "cuda"
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or not _CUDA.match(node.value):
        return False
    return not any(isinstance(parent, ast.Compare) for parent in spot.around[-2:])


def _guarded(spot: Spot) -> bool:
    """Inside a condition that asks about the device, or after such an ``and``."""
    tests = [node.test for node in spot.around if isinstance(node, ast.If | ast.IfExp | ast.While)]
    tests += [node for node in spot.around if isinstance(node, ast.BoolOp)]
    return any(_GUARDS.search(_names(test)) for test in tests) or any(
        isinstance(node, ast.Try) for node in spot.around
    )


def _names(node: ast.AST) -> str:
    return " ".join(
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    )


class UncountedSamples:
    """Nothing tells how many samples the model is trained or tested on."""

    code = "NF123"
    title = "Samples that cannot be counted"
    levels: tuple[Level, ...] = ("error",)
    why = (
        "A site's update weighs as much as the training samples behind it, and few samples may not leave. "
        "Loaders are counted, and arrays of the data cells that the model is given, whole or as slices such "
        "as `X[i:i + 32]`; where neither can be told from the code, the notebook has to say it."
    )
    example = "#| federate: train\nwhile training:\n    xb, yb = next_batch()\n    loss = score(net(xb), yb)"
    remedy = (
        'Write in the data cell `num_examples = {"trainset": len(X_train), "testset": len(X_test)}`, '
        "with the names of your own data."
    )

    def check(self, facts: Facts) -> Iterator[Finding]:
        """Look at what the slice knows of the training and the test data."""
        if facts.names is None or facts.names.num_examples:
            return
        loaders = {"train": facts.names.train_loader, "test": facts.names.test_loader}
        for block in facts.analysis.blocks:
            if block.role in loaders and not loaders[block.role]:
                message = f"It cannot be told on how many samples this {block.role} cell works."
                yield at(block.place, self.code, "error", message, self.remedy)
