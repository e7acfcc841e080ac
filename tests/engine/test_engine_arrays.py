"""What goes in at one end comes out at the other, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from nbfed_site.arrays.wire import decode_bf16, encode_bf16
from nbfed_site.contracts import BadInput, Evaluation, RoundInput, RoundOutput, SiteCard
from nbfed_site.link.pack import (
    CHUNK_BYTES,
    Slot,
    array_at,
    chunks_of,
    slots_from_json,
    slots_json,
    total_bytes,
)

AWKWARD = {
    "plain": np.arange(12, dtype=np.float32).reshape(3, 4),
    "special": np.array([np.nan, -0.0, np.inf, -np.inf, 1e-45], np.float32),
    "double": np.linspace(0, 1, 7),
    "half": np.float16([1.5, -2]),
    "counts": np.array(7, np.int64),
    "scalar": np.array(0.1, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False, True]),
    "image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "strided": np.arange(40, dtype=np.float32).reshape(5, 8)[::2, ::3],
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "swapped": np.arange(4, dtype=">f4"),
    "ä ö/ü": np.ones(3, np.int32),
}


def same(left: Any, right: Any) -> bool:
    equal: bool = (
        left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()
    )
    return equal


def test_all_kinds_of_arrays_cross_the_wire_bit_for_bit(federate: Any) -> None:
    federation = federate()
    federation.start()
    federation.transport.send(RoundInput("t", "train", 1, AWKWARD, {"epochs": 2}), ["a", "b", "c"])
    for reply in federation.replies(3).values():
        assert list(reply.output.arrays) == list(AWKWARD)
        assert all(same(reply.output.arrays[name], array) for name, array in AWKWARD.items())


def test_arrays_over_several_chunks(federate: Any) -> None:
    federation = federate(names=("a",))
    federation.start()
    rng = np.random.default_rng(1)
    arrays = {
        "first": rng.standard_normal(CHUNK_BYTES // 8 + 5).astype(np.float32),
        "zeros": np.zeros(3 * CHUNK_BYTES // 4 + 1, np.float32),
        "last": rng.standard_normal((3, 5)).astype(np.float32),
    }
    federation.transport.send(RoundInput("t", "train", 1, arrays), ["a"])
    reply = federation.replies(1)["a"]
    assert all(same(reply.output.arrays[name], array) for name, array in arrays.items())


def test_equal_replies_of_all_sites_arrive_and_equal_bytes_travel_once(federate: Any) -> None:
    federation = federate()
    federation.start()
    arrays = {"w": np.random.default_rng(2).standard_normal(CHUNK_BYTES // 4).astype(np.float32)}
    federation.transport.send(RoundInput("t", "train", 1, arrays), ["a", "b", "c"])
    for reply in federation.replies(3).values():
        assert same(reply.output.arrays["w"], arrays["w"])
        assert reply.bytes_down > arrays["w"].nbytes
        assert reply.bytes_up < arrays["w"].nbytes / 10  # the server has this chunk: it sent it


def test_half_precision_wire(federate: Any) -> None:
    federation = federate(names=("a",), wire="bf16")
    federation.start()
    arrays = {**AWKWARD, "big": np.random.default_rng(3).standard_normal(300_000).astype(np.float32)}
    federation.transport.send(RoundInput("t", "train", 1, arrays), ["a"])
    reply = federation.replies(1)["a"]
    for name, array in arrays.items():
        whole = array.dtype != np.dtype("<f4")
        expected = array if whole else decode_bf16(encode_bf16(array)).reshape(array.shape)
        assert same(reply.output.arrays[name], expected)
    assert reply.bytes_up < 0.6 * arrays["big"].nbytes


def test_everything_else_of_a_reply_crosses_too(federate: Any) -> None:
    def handle(task: RoundInput) -> RoundOutput:
        assert (task.round, task.config) == (3, {"epochs": 2, "mu": 0.5, "evaluate": True, "name": "x"})
        evaluation = Evaluation(4, {"loss": 0.25}, ((1, 2), (0, 1)), ("no", "yes"))
        card = SiteCard({"train": 3}, {"train": {"no": 1}}, {"train": 0}, (), ("one class only",))
        return RoundOutput(
            task.task_id, task.kind, 3, 9, {"loss": 1.0}, evaluation, card=card, seconds={"train": 2.0}
        )

    federation = federate(names=("a",))
    federation.start(handle)
    config = {"epochs": 2, "mu": 0.5, "evaluate": True, "name": "x"}
    federation.transport.send(RoundInput("t", "train", 3, None, config), ["a"])
    output = federation.replies(1)["a"].output
    assert output == handle(RoundInput("t", "train", 3, None, config))


@settings(max_examples=60)
@given(
    st.lists(
        npst.arrays(
            st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1", ">f4"]),
            npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
        ),
        max_size=6,
    )
)
def test_packing_and_unpacking_are_inverse(items: list[Any]) -> None:
    arrays = {f"array {i}": item for i, item in enumerate(items)}
    slots: list[Slot] = []
    run = b"".join(b"".join(chunk) for chunk in chunks_of(arrays, "fp32", slots))
    assert len(run) == total_bytes(slots)
    assert slots_from_json(slots_json(slots)) == tuple(slots)
    buffer = np.frombuffer(run, np.uint8)
    assert all(same(array_at(slot, buffer), arrays[slot.name]) for slot in slots)


@pytest.mark.parametrize(
    "layout", [[["w", "|O", [2], ""]], [["w", "<f4", [-1], ""]], [["w", "<f4", [2], "zip"]], [[1, 2]], [None]]
)
def test_layouts_that_make_no_sense_are_refused(layout: Any) -> None:
    with pytest.raises(BadInput):
        slots_from_json(layout)


def test_python_objects_are_refused(federate: Any) -> None:
    federation = federate(names=("a",))
    with pytest.raises(BadInput, match="cannot be sent"):
        federation.transport.send(RoundInput("t", "train", 1, {"w": np.array([{}], object)}), ["a"])


def test_memory_is_used_again_but_never_under_arrays_that_somebody_holds(federate: Any) -> None:
    kept: list[Any] = []

    def handle(task: RoundInput) -> RoundOutput:
        assert task.arrays is not None
        kept.append(task.arrays["w"] if task.round < 3 else task.arrays["w"].ctypes.data)
        return RoundOutput(task.task_id, task.kind, task.round)

    federation = federate(names=("a",))
    federation.start(handle)
    for number in range(1, 6):
        model = {"w": np.full(50_000, number, np.float32)}
        federation.transport.send(RoundInput(f"t{number}", "train", number, model), ["a"])
        federation.replies(1)
    assert [float(array.max()) for array in kept[:2]] == [1.0, 2.0]
    assert kept[3] == kept[4]
