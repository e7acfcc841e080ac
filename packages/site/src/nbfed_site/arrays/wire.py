"""Half the bytes on the wire: float32 as bfloat16, the upper 16 bits of each value."""

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 18


def encode_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round float32 ``values`` to bfloat16 bit patterns of the same shape.

    Rounds to nearest, ties to even (IEEE 754); a value beyond the range becomes infinite, NaN stays
    NaN. Works in chunks, so that no temporary is as large as the model.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    encoded = np.empty(bits.shape, np.uint16)
    for start in range(0, bits.size, _CHUNK):
        chunk = bits[start : start + _CHUNK]
        upper = chunk >> 16
        rounded = (chunk + (0x7FFF + (upper & 1))) >> 16
        is_nan = (chunk & 0x7FFFFFFF) > 0x7F800000
        encoded[start : start + _CHUNK] = np.where(is_nan, upper | 0x40, rounded)
    return encoded.reshape(values.shape)


def decode_bf16(encoded: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bit patterns; exact."""
    bits = encoded.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)
