"""What of a wheel is left out of an image, and why. Every line here was tried against real wheels.

Nothing is left out by its kind alone: scikit-image reads its ``.pyi`` files at run time, CuPy its C headers,
numba-cuda a static library, and torch starts no process without ``torch/bin/torch_shm_manager``. So each rule
names a distribution, and everything that is not named stays.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate

TESTS = "the package's own tests"
TYPES = "types for editors and checkers"
COMPILING = "for compiling extensions; the image has no compiler"
BYTECODE = "bytecode of the machine that made the wheel"

WHOLE = {
    "uv": "installs packages; Flower calls it only to install an app's dependencies, which is switched off",
}

TESTED = (  # distributions whose folders ``tests`` hold tests only
    *(
        "h5py",
        "imageio",
        "joblib",
        "matplotlib",
        "mpmath",
        "networkx",
        "nibabel",
        "nilearn",
        "numpy",
        "pandas",
    ),
    *("pyarrow", "pywavelets", "scikit-image", "scikit-learn", "scipy", "statsmodels", "sympy", "tifffile"),
)

STAYS = ("numpy/_core/tests/_natype.py",)  # numpy.testing of numpy 2.2 imports it


@dataclass(frozen=True, slots=True)
class Rule:
    """Files of one distribution (normalised name; ``*``: of each) that match, ``*`` spanning folders."""

    distribution: str
    pattern: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files of a distribution that are not in the image; ``size`` unpacked, in bytes."""

    distribution: str
    pattern: str
    reason: str
    files: int
    size: int


RULES = (
    Rule("*", "__pycache__/*", BYTECODE),
    Rule("*", "*/__pycache__/*", BYTECODE),
    *(Rule(name, f"*/{folder}/*", TESTS) for name in TESTED for folder in ("tests", "test")),
    Rule("numpy", "*.pyi", TYPES),
    Rule("numpy", "*.pxd", COMPILING),
    Rule("numpy", "*/lib/*.a", COMPILING),
    Rule("numpy", "numpy/_core/include/*", COMPILING),
    Rule("pyarrow", "pyarrow/include/*", COMPILING),
    Rule("pyarrow", "pyarrow/src/*", COMPILING),
    Rule("scikit-learn", "*.pyx", COMPILING),
    Rule("scipy", "*.pyx", COMPILING),
    Rule("tensorflow", "tensorflow/include/*", COMPILING),
    Rule("tensorflow-cpu", "tensorflow/include/*", COMPILING),
    Rule("torch", "torch/include/*", COMPILING),
    Rule("torch", "torch/share/cmake/*", COMPILING),
    Rule("torch", "torch/bin/protoc*", COMPILING),
    Rule("torch", "torch/test/*", TESTS),
    Rule("torch", "torch/bin/*Test", TESTS),
    Rule("torch", "torch/bin/test_*", TESTS),
    Rule("torch", "torch/bin/*.ptl", TESTS),
    Rule("torch", "torch/bin/upgrader_models/*", TESTS),
    Rule("torch", "torch/lib/lib*_test.so", TESTS),
    Rule("torch", "torch/lib/libbackend_with_compiler.so", TESTS),
    Rule("torch", "torch/lib/libaoti_custom_ops.so", TESTS),
    Rule("torch", "*.pyi", TYPES),
)


@functools.cache
def digest() -> str:
    """Stands for the whole table: layers made by another one have another key."""
    rules = [(rule.distribution, rule.pattern) for rule in RULES]
    return hashlib.sha256(repr((rules, sorted(WHOLE), STAYS)).encode()).hexdigest()


def rule_for(distribution: str) -> Callable[[str], Rule | None]:
    """Finds the rule that leaves out a file of ``distribution``, by its path below ``site-packages``."""
    rules = [rule for rule in RULES if rule.distribution in ("*", distribution)]
    patterns = [(re.compile(translate(rule.pattern)), rule) for rule in rules]

    def find(path: str) -> Rule | None:
        if path in STAYS:
            return None
        return next((rule for pattern, rule in patterns if pattern.match(path)), None)

    return find
