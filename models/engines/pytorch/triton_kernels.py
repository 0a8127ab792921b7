"""Kernels in Triton: the steps around the convolutions, each one pass over memory. For NVIDIA GPUs.

All of them are bound by memory: what counts is that every byte is read once, in runs of 16, and that nothing
intermediate is written. Features are addressed by pointer, so that those in the slot pool and those with memory of
their own are one to the kernels, and a CUDA graph can be replayed onto other slots.

Sums run in one fixed order, without atomics: the same image and the same pair give the same bits in any batch.
"""

import triton
import triton.language as tl

from clpips.models.metric.backbone import EPSILON, GAIN, OFFSET, TOTAL_CHANNELS

CHANNEL_TILE = 64  # channels that one program compares; divides each tap's
POSITION_TILE = 32  # positions that it holds at a time: 32 × 64 float16 are 16 bytes for each of 256 threads
STATISTICS_TILE = 256  # numbers of a pair's two statistics that one program compares; divides 2 × 1152
NORM_TILE = 16  # positions whose channels one program brings to unit length

BLOCKS_CONSTANTS = {f"gain_{i}": GAIN[i] for i in range(3)} | {f"offset_{i}": OFFSET[i] for i in range(3)}
COMPARE_CONSTANTS = {"CHANNEL_TILE_": CHANNEL_TILE, "POSITION_TILE_": POSITION_TILE}
FINISH_MEASURE_CONSTANTS = {"CHANNEL_TILE_": CHANNEL_TILE, "CHANNELS_": TOTAL_CHANNELS}


def store_constants(channels: int) -> dict[str, float]:
    """What `store_kernel` is compiled with for a tap of so many channels."""
    width = triton.next_power_of_2(channels)
    return {"CHANNELS_": channels, "WIDTH": width, "TILE": NORM_TILE, "EPSILON_": EPSILON}


@triton.jit
def blocks_kernel(
    pixels,
    out,
    height,
    width,
    rows,
    columns,
    gain_0: tl.constexpr,
    gain_1: tl.constexpr,
    gain_2: tl.constexpr,
    offset_0: tl.constexpr,
    offset_1: tl.constexpr,
    offset_2: tl.constexpr,
    TILE: tl.constexpr,
):
    """One row of 4 × 4 blocks of one image: uint8 `(h, w, 3)` → `(rows, columns, 48)`, normalised, zero outside."""
    row = tl.program_id(0)
    image = tl.program_id(1).to(tl.int64)
    pixels += image * height * width * 3
    out += (image * rows + row) * columns * 48
    for first in range(0, columns * 12, TILE):
        t = first + tl.arange(0, TILE)  # a pixel row's bytes, from two pixels left of the image
        inside = (t >= 6) & (t < width * 3 + 6)
        channel = t % 3
        gain = tl.where(channel == 0, gain_0, tl.where(channel == 1, gain_1, gain_2))
        offset = tl.where(channel == 0, offset_0, tl.where(channel == 1, offset_1, offset_2))
        for y in range(4):
            line = row * 4 + y - 2
            mask = inside & (line >= 0) & (line < height)
            x = tl.load(pixels + line * width * 3 + t - 6, mask=mask, other=0).to(tl.float32)
            x = tl.where(mask, x * gain + offset, 0.0)
            tl.store(out + (t // 12) * 48 + y * 12 + t % 12, x.to(out.dtype.element_ty), mask=t < columns * 12)


@triton.jit
def store_kernel(
    maps,
    addresses,
    start,
    positions,
    CHANNELS_: tl.constexpr,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    EPSILON_: tl.constexpr,
):
    """One tap of one image: `(positions, channels)` → unit length along channels, at `start` of its features."""
    image = tl.program_id(1).to(tl.int64)
    position = tl.program_id(0) * TILE + tl.arange(0, TILE)
    channel = tl.arange(0, WIDTH)
    offsets = position[:, None] * CHANNELS_ + channel[None, :]
    mask = (position < positions)[:, None] & (channel < CHANNELS_)[None, :]
    x = tl.load(maps + image * positions * CHANNELS_ + offsets, mask=mask, other=0.0).to(tl.float32)
    norm = tl.sqrt(tl.sum(x * x, axis=1)) + EPSILON_
    out = tl.load(addresses + image).to(tl.pointer_type(maps.dtype.element_ty))
    pointers = tl.multiple_of(out + start + offsets, (1, 16))
    tl.store(pointers, (x / norm[:, None]).to(maps.dtype.element_ty), mask=mask)


@triton.jit
def compare_kernel(
    addresses,
    items,
    partial,
    unit: tl.constexpr,
    CHANNEL_TILE_: tl.constexpr,
    POSITION_TILE_: tl.constexpr,
):
    """One item of one pair: the sum over some positions of the squared difference of 64 channels."""
    item = tl.program_id(0)
    pair = tl.program_id(1).to(tl.int64)
    start = tl.load(items + item * 3)  # first element, a multiple of 64
    channels = tl.load(items + item * 3 + 1)
    positions = tl.load(items + item * 3 + 2)
    start = tl.multiple_of(start, 64)
    channels = tl.multiple_of(channels, 64)
    target = tl.load(addresses + pair * 2).to(tl.pointer_type(unit))
    candidate = tl.load(addresses + pair * 2 + 1).to(tl.pointer_type(unit))
    channel = tl.arange(0, CHANNEL_TILE_)
    row = tl.arange(0, POSITION_TILE_)
    total = tl.zeros((POSITION_TILE_, CHANNEL_TILE_), tl.float32)
    for first in range(0, positions, POSITION_TILE_):
        position = first + row
        offsets = start + position[:, None] * channels + channel[None, :]
        mask = (position < positions)[:, None]
        a = tl.load(tl.multiple_of(target + offsets, (1, 16)), mask=mask, other=0.0).to(tl.float32)
        b = tl.load(tl.multiple_of(candidate + offsets, (1, 16)), mask=mask, other=0.0).to(tl.float32)
        difference = a - b
        total += difference * difference
    out = partial + (pair * tl.num_programs(0) + item) * CHANNEL_TILE_ + channel
    tl.store(out, tl.sum(total, axis=0))


@triton.jit
def finish_kernel(
    partial,
    blocks,
    z,
    items,
    CHANNEL_TILE_: tl.constexpr,
):
    """64 channels of one pair: the mean over all positions from the sums of its items."""
    block = tl.program_id(0)
    pair = tl.program_id(1).to(tl.int64)
    first = tl.load(blocks + block * 3)
    count = tl.load(blocks + block * 3 + 1)
    positions = tl.load(blocks + block * 3 + 2)
    channel = tl.arange(0, CHANNEL_TILE_)
    total = tl.zeros((CHANNEL_TILE_,), tl.float32)
    for item in range(first, first + count):
        total += tl.load(partial + (pair * items + item) * CHANNEL_TILE_ + channel)
    out = z + (pair * tl.num_programs(0) + block) * CHANNEL_TILE_ + channel
    tl.store(out, total / positions.to(tl.float32))


@triton.jit
def measure_kernel(
    addresses,
    items,
    partial,
    unit: tl.constexpr,
    CHANNEL_TILE_: tl.constexpr,
    POSITION_TILE_: tl.constexpr,
):
    """One item of one image: mean and sum of squared deviations over some positions, of 64 channels.

    Welford's algorithm in each of 32 lanes of positions, which are then merged as Chan, Golub and LeVeque do: one pass,
    and no difference of large sums.
    """
    item = tl.program_id(0)
    image = tl.program_id(1).to(tl.int64)
    start = tl.load(items + item * 3)  # first element, a multiple of 64
    channels = tl.load(items + item * 3 + 1)
    positions = tl.load(items + item * 3 + 2)
    start = tl.multiple_of(start, 64)
    channels = tl.multiple_of(channels, 64)
    maps = tl.load(addresses + image * 2).to(tl.pointer_type(unit))
    channel = tl.arange(0, CHANNEL_TILE_)
    row = tl.arange(0, POSITION_TILE_)
    mean = tl.zeros((POSITION_TILE_, CHANNEL_TILE_), tl.float32)
    squares = tl.zeros((POSITION_TILE_, CHANNEL_TILE_), tl.float32)
    seen = 0.0
    for first in range(0, positions, POSITION_TILE_):
        position = first + row
        offsets = start + position[:, None] * channels + channel[None, :]
        mask = (position < positions)[:, None]
        x = tl.load(tl.multiple_of(maps + offsets, (1, 16)), mask=mask, other=0.0).to(tl.float32)
        seen += 1.0
        deviation = tl.where(mask, x - mean, 0.0)
        mean += deviation / seen
        squares += deviation * tl.where(mask, x - mean, 0.0)
    count = ((positions - row + POSITION_TILE_ - 1) // POSITION_TILE_).to(tl.float32)[:, None]  # of each lane
    count = tl.where((row < positions)[:, None], count, 0.0)
    total = tl.sum(mean * count, axis=0) / positions.to(tl.float32)
    apart = mean - total[None, :]
    out = partial + (image * tl.num_programs(0) + item) * 2 * CHANNEL_TILE_ + channel
    tl.store(out, total)
    tl.store(out + CHANNEL_TILE_, tl.sum(squares + count * apart * apart, axis=0))


@triton.jit
def finish_measure_kernel(
    partial,
    items,
    blocks,
    addresses,
    number,
    CHANNEL_TILE_: tl.constexpr,
    CHANNELS_: tl.constexpr,
):
    """64 channels of one image: mean and standard deviation over all positions, from those of its `number` items."""
    block = tl.program_id(0)
    image = tl.program_id(1).to(tl.int64)
    first = tl.load(blocks + block * 3)
    count = tl.load(blocks + block * 3 + 1)
    positions = tl.load(blocks + block * 3 + 2).to(tl.float32)
    channel = tl.arange(0, CHANNEL_TILE_)
    partial += image * number * 2 * CHANNEL_TILE_ + channel
    mean = tl.zeros((CHANNEL_TILE_,), tl.float32)
    for item in range(first, first + count):
        mean += tl.load(partial + item * 2 * CHANNEL_TILE_) * tl.load(items + item * 3 + 2).to(tl.float32)
    mean /= positions
    squares = tl.zeros((CHANNEL_TILE_,), tl.float32)
    for item in range(first, first + count):
        apart = tl.load(partial + item * 2 * CHANNEL_TILE_) - mean
        inside = tl.load(partial + (item * 2 + 1) * CHANNEL_TILE_)
        squares += inside + apart * apart * tl.load(items + item * 3 + 2).to(tl.float32)
    out = tl.load(addresses + image * 2 + 1).to(tl.pointer_type(tl.float32)) + block * CHANNEL_TILE_ + channel
    tl.store(out, mean)
    tl.store(out + CHANNELS_, tl.sqrt(squares / positions))


@triton.jit
def statistics_kernel(
    addresses,
    z,
    TILE: tl.constexpr,
):
    """Some numbers of one pair: the squared differences of the two images' statistics."""
    pair = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    target = tl.load(addresses + pair * 2).to(tl.pointer_type(tl.float32))
    candidate = tl.load(addresses + pair * 2 + 1).to(tl.pointer_type(tl.float32))
    difference = tl.load(target + place) - tl.load(candidate + place)
    tl.store(z + pair * tl.num_programs(0) * TILE + place, difference * difference)
