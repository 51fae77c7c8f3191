"""Feature hashing in numpy: stable across runs, machines and Python versions.

The rule: every function maps arrays to arrays; the numbers are part of the model format, so changing one makes older
models meaningless and needs a new `FEATURE_VERSION`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEATURE_VERSION = 2

U64 = np.uint64
Slots = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Pieces = NDArray[np.uint8]

# Odd multipliers with well-spread bits; the first is 2^64 divided by the golden ratio.
_MIX = U64(0x9E3779B97F4A7C15)
_GRAM = U64(0xD1B54A32D192ED03)
_FOLD = U64(29)
_PIECE_BITS, _PIECE_MASK = np.uint32(6), np.uint32(63)


def mix(hashes: Hashes) -> Hashes:
    """Return well-mixed 64-bit values of hashes whose low bits are weak."""
    return (hashes ^ (hashes >> _FOLD)) * _MIX


def to_slots(hashes: Hashes, bits: int) -> Slots:
    """Return the slot of each hash in a table of 2^bits: the top bits after a multiply."""
    return (mix(hashes) >> U64(64 - bits)).astype(np.uint32)


def gram_hashes(data: bytes, length: int) -> Hashes:
    """Return a hash for each run of `length` (at most 8) neighbouring bytes, empty when there are fewer."""
    count = max(0, len(data) - length + 1)
    # Eight bytes from each place on, of which the first `length` count.
    grams = np.ndarray((count,), "<u8", data + bytes(8), strides=(1,)) & U64((1 << 8 * length) - 1)
    return grams * _GRAM


def unique(slots: Slots) -> Slots:
    """Return the distinct slots in ascending order; sorts the array it is given."""
    if slots.size == 0:
        return slots
    slots.sort()
    keep = np.empty(slots.size, np.bool_)
    keep[0] = True
    np.not_equal(slots[1:], slots[:-1], out=keep[1:])
    return slots[keep]


def unique_with_pieces(slots: Slots, pieces: Pieces) -> tuple[Slots, Pieces]:
    """Return the distinct slots in ascending order, each with the lowest of its pieces.

    A slot has at most 26 bits and a piece 6: one sort of both together does it.
    """
    keys = slots << _PIECE_BITS
    keys |= pieces
    keys.sort()
    sorted_slots = keys >> _PIECE_BITS
    keep = np.ones(keys.size, np.bool_)
    np.not_equal(sorted_slots[1:], sorted_slots[:-1], out=keep[1:])
    return sorted_slots[keep], (keys[keep] & _PIECE_MASK).astype(np.uint8)
