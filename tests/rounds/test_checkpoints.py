"""Models on disk: exact, in order, and whole or not there at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nbfed_site.contracts import Evaluation, RunUnreadable, StorageFull
from notebook_federator.rounds.checkpoints import StoredArrays, write_arrays
from notebook_federator.rounds.store import ModelStore

DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))


@settings(max_examples=50)
@given(st.dictionaries(st.text("abc.019", min_size=1), ARRAYS, min_size=1, max_size=4))
def test_what_was_written_comes_back_bit_for_bit(tmp_path_factory, arrays) -> None:
    path = tmp_path_factory.mktemp("models") / "m.safetensors"
    write_arrays(path, arrays)
    found = StoredArrays(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert found[name].tobytes() == array.tobytes()


def test_the_same_model_has_the_same_digest(tmp_path: Path) -> None:
    arrays = {"b": np.arange(5.0), "a": np.zeros((2, 3), np.float32)[:, ::2]}
    one = write_arrays(tmp_path / "one.safetensors", arrays)
    assert one.digest == write_arrays(tmp_path / "two.safetensors", arrays).digest
    other = write_arrays(tmp_path / "three.safetensors", {**arrays, "b": np.arange(5.0) + 1})
    assert other.digest != one.digest


def test_a_full_disk_leaves_the_older_model_as_it_was(tmp_path: Path) -> None:
    """The operating system refuses the write: files may not grow beyond 64 KiB in the child process."""
    path = tmp_path / "m.safetensors"
    write_arrays(path, {"w": np.ones(10)})
    before = path.read_bytes()
    code = f"""
import resource, sys, numpy as np
from pathlib import Path
from nbfed_site.contracts import StorageFull
from notebook_federator.rounds.checkpoints import write_arrays
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    write_arrays(Path({str(path)!r}), {{"w": np.ones(1_000_000)}})
except StorageFull as error:
    sys.exit(0 if "resume" in error.hint and error.where else 1)
sys.exit(2)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, b"\xff" * 8])
def test_a_damaged_model_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(damage)
    with pytest.raises(RunUnreadable) as caught:
        StoredArrays(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("taken", ["best.json.part", "best.part", "last.part"])
def test_what_cannot_be_noted_is_said_and_no_model_is_lost(tmp_path: Path, taken: str) -> None:
    store = ModelStore(tmp_path)
    for number in (0, 1):
        store.save(number, {"w": np.zeros(3)}, {})
    (tmp_path / taken).mkdir()  # nobody can write there
    store.note("round-1", "test", Evaluation(5, {"loss": 1.0}))
    with pytest.raises(StorageFull, match="could not be written"):
        store.choose_best(1)
        store.save(2, {"w": np.ones(3)}, {})
    assert np.array_equal(store.arrays(1)["w"], np.zeros(3))
