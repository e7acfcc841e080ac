"""bfloat16 on the wire, bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from nbfed_site.arrays import decode_bf16, encode_bf16


def bits(*patterns: int):
    return np.array(patterns, np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (0x3F800000, 0x3F80),  # 1.0
        (0x3F808000, 0x3F80),  # a tie, to even (down)
        (0x3F818000, 0x3F82),  # a tie, to even (up)
        (0x3F808001, 0x3F81),  # just above a tie
        (0x3F807FFF, 0x3F80),  # just below a tie
        (0x80000000, 0x8000),  # -0.0
        (0x7F7FFFFF, 0x7F80),  # the largest float32 rounds to infinity
        (0x7F800000, 0x7F80),  # infinity
        (0xFF800000, 0xFF80),
        (0x00000001, 0x0000),  # the smallest subnormal
        (0x0000C000, 0x0001),  # a subnormal that rounds up
    ],
)
def test_rounding_is_to_nearest_even(pattern: int, expected: int) -> None:
    assert encode_bf16(bits(pattern))[0] == expected


@pytest.mark.parametrize("pattern", [0x7F800001, 0x7FC00000, 0xFFFFFFFF, 0xFF800001, 0x7FFFFFFF])
def test_nan_stays_nan_of_its_sign(pattern: int) -> None:
    decoded = decode_bf16(encode_bf16(bits(pattern)))
    assert np.isnan(decoded[0])
    assert np.signbit(decoded[0]) == bool(pattern >> 31)


@given(st.integers(0, 0xFFFF))
def test_every_bfloat16_survives(pattern: int) -> None:
    value = decode_bf16(np.array([pattern], np.uint16))
    again = encode_bf16(value)[0]
    assert again == pattern or (np.isnan(value[0]) and np.isnan(decode_bf16(encode_bf16(value))[0]))


@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=3), elements=st.floats(width=32)))
def test_rounding_is_torch_rounding(values) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.from_numpy(np.array(values)).to(torch.bfloat16).to(torch.float32).numpy()
    encoded = encode_bf16(values)
    assert encoded.dtype == np.uint16
    assert encoded.shape == values.shape
    assert np.array_equal(decode_bf16(encoded), expected, equal_nan=True)


def test_strided_and_large_arrays_are_encoded_whole() -> None:
    values = np.random.default_rng(0).normal(size=(3, 300_000)).astype(np.float32)
    assert np.array_equal(encode_bf16(values.T), encode_bf16(np.ascontiguousarray(values.T)))
    assert np.abs(decode_bf16(encode_bf16(values)) / values - 1).max() <= 2**-8
