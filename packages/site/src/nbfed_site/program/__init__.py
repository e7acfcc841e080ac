"""One slice as an object that prepares, trains and evaluates, whatever carries its tasks."""

from .failures import Stopped, describe_failure
from .partition import Partition
from .program import Program, Split
from .source import Slice, read_slice
from .watch import Progress

__all__ = ["Partition", "Program", "Progress", "Slice", "Split", "Stopped", "describe_failure", "read_slice"]
