"""Writes blocks.bin: weight blocks of every type that is run, and the F32 values that gguf-py (the
reference implementation of the formats) makes of them. Needs the packages gguf and numpy.

    python3 tests/golden/blocks.py > tests/golden/blocks.bin

A record per type, little-endian: u32 type, u32 number of blocks, u32 bytes and u32 elements of a
block, all blocks, all values.
"""

import random
import struct
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where a type's halves (scales and minima) lie in its block.
HALVES = {
    T.F16: [0], T.BF16: [], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [],
}

# Zero of both signs, smallest and largest subnormals, smallest normal, one, largest, infinities, NaNs.
EDGES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF,
         0x7C00, 0xFC00, 0x7E00, 0xFFFF]
EXPONENTS = [0, 1, 2, 3, 126, 127, 128, 129, 252, 253, 254, 255]


def finite_half(rng):
    return rng.choice([0, 0x8000]) | rng.randrange(0x7C00)


def blocks_of(kind, size, rng):
    def payload():
        return bytearray(rng.randrange(256) for _ in range(size))

    def scaled(block, halves):
        for at, h in zip(HALVES[kind], halves):
            struct.pack_into("<H", block, at, h)
        return bytes(block)

    out = []
    if kind in (T.F16, T.BF16):
        out = [struct.pack("<H", h) for h in EDGES] + [struct.pack("<H", h << 7) for h in range(512)]
        return out + [bytes(payload()) for _ in range(64)]
    if kind == T.MXFP4:
        return [bytes([e]) + bytes(payload()[1:]) for e in EXPONENTS + [rng.randrange(256)] * 4]
    # Every edge as each of the scales, the other scale (if any) an edge elsewhere in the list.
    for i, edge in enumerate(EDGES):
        out.append(scaled(payload(), [edge, EDGES[i * 4 % len(EDGES)]]))
    # Every byte the same, or counted up: each nibble, each scale, each bit of a plane alone.
    for fill in (lambda i: 0, lambda i: 255, lambda i: i * 17 & 255, lambda i: 1 << i % 8):
        out.append(scaled(bytearray(fill(i) for i in range(size)), [0x3555, 0xB2AB]))
    return out + [scaled(payload(), [finite_half(rng), finite_half(rng)]) for _ in range(5)]


def main():
    for kind, halves in HALVES.items():
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = blocks_of(kind, size, random.Random(int(kind)))
        data = np.frombuffer(b"".join(blocks), dtype=np.uint8)
        with np.errstate(all="ignore"):
            values = dequantize(data.reshape(1, -1), kind).astype("<f4").tobytes()
        assert len(values) == 4 * elements * len(blocks)
        sys.stdout.buffer.write(struct.pack("<4I", kind, len(blocks), size, elements))
        sys.stdout.buffer.write(data.tobytes() + values)


main()
