"""What a round may cost in memory and on disk, measured in a process of its own."""

import subprocess
import sys

import pytest

SIZE = 64 * 2**20
MEMORY = """
import resource, sys
from collections.abc import Mapping
import numpy as np
from notebook_federator.aggregation import make_strategy

class Site(Mapping):
    def __getitem__(self, name): return np.ones({elements}, np.float32)
    def __iter__(self): return iter("ab")
    def __len__(self): return 2

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

strategy = make_strategy({{"name": sys.argv[1]}})
before = peak()
strategy.begin(Site())
for _ in range(6):
    strategy.add(Site(), 10)
model = strategy.finish()
assert model["a"].nbytes + model["b"].nbytes == {size}
print(peak() - before)
"""
FULL = """
import resource
import numpy as np
from nbfed_site.contracts import StorageFull
from notebook_federator.aggregation import make_strategy

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
strategy = make_strategy({"name": "median"})
model = {"w": np.zeros(1 << 20, np.float32)}
strategy.begin(model)
try:
    strategy.add(model, 1)
except StorageFull as error:
    print(error.code, error.hint)
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize(
    ("name", "models"), [("fedavg", 2.5), ("fedadam", 2.5), ("median", 1.75), ("trimmed_mean", 1.75)]
)
def test_memory_stays_at_the_accumulators_and_one_array(name: str, models: float) -> None:
    code = MEMORY.format(elements=SIZE // 8, size=SIZE)
    assert int(python(code, name)) < models * SIZE + 2**23


def test_a_full_disk_is_said_as_such() -> None:
    assert python(FULL).startswith("NE501 Free disk space")
