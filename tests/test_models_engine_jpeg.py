"""JPEGs on the engine's device: pixels near Pillow's, whatever fails left to the host, pixels that go on into `embed`.

torchvision's decoder is the one of the device (CLPIPS_TEST_GPU=1: nvJPEG). Beside a PyTorch of another build it cannot
be loaded; libjpeg then stands in for it by way of Pillow, with the same pixels as torchvision's on a CPU.
"""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from clpips.models.engines.contract import EngineError
from clpips.models.engines.opening import open_engine, open_jpeg_decoder
from clpips.models.images.decoding import load_image
from clpips.models.images.jpeg import plain_jpeg_size
from clpips.models.images.pixels import MAX_PIXELS
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from tests.conftest import ON_GPU
from tests.support.pictures import Pixels, encode, picture, variation

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

import torch

from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.jpeg import Decode, TorchJpegDecoder, resize_batch, torchvision_decode

DEVICE = "cuda" if ON_GPU else "cpu"
WEIGHTS = load_weights("lpips").values


def libjpeg(files: list[torch.Tensor]) -> list[torch.Tensor]:
    """What torchvision's `decode_jpeg` gives on a CPU; like it, it fails altogether for one bad file."""
    decoded = []
    for file in files:
        try:
            pixels = np.array(Image.open(io.BytesIO(file.numpy().tobytes())).convert("RGB"))
        except OSError as error:
            raise RuntimeError("decode_jpeg: damaged") from error
        decoded.append(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    return decoded


@pytest.fixture(scope="module")
def decode() -> Decode:
    """What decodes on the device: a test may put a fault before it."""
    try:
        TorchJpegDecoder(DEVICE)
    except EngineError:
        if ON_GPU:
            raise
        return libjpeg
    return torchvision_decode(DEVICE)


@pytest.fixture(scope="module")
def decoder(decode: Decode) -> TorchJpegDecoder:
    return TorchJpegDecoder(DEVICE, decode)


def host(files: Sequence[bytes], resolution: int | None) -> list[Pixels]:
    return [load_image(file, resolution) for file in files]


def fetched(found: Sequence[torch.Tensor | None]) -> list[Pixels | None]:
    return [None if pixels is None else pixels.cpu().numpy() for pixels in found]


def furthest(found: Sequence[Pixels | None], expected: Sequence[Pixels]) -> int:
    """The largest difference of a pixel's level."""
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if one is not None]
    assert len(pairs) == len(expected)
    return max(int(np.abs(one.astype(int) - other).max()) for one, other in pairs)


MIXED = [
    encode(picture(0, 200), "JPEG"),
    encode(picture(1, 97, 131), "JPEG", progressive=True),
    encode(picture(2, 200), "JPEG", subsampling="4:4:4"),
    encode(Image.fromarray(picture(3, 64)).convert("L"), "JPEG"),
    encode(picture(4, 20, 300), "JPEG"),
]
DAMAGED = MIXED[0][: len(MIXED[0]) // 2] + b"\xff\xd9"  # plain to look at


@pytest.mark.parametrize("resolution", [64, 256])
def test_the_resize_is_pillows_to_a_level(resolution: int) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((512, 512), (200, 300), (97, 131), (64, 1000), (resolution, resolution)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)  # where overshoot is worst
        batch = torch.from_numpy(noise).permute(2, 0, 1)[None].to(DEVICE)
        (found,) = resize_batch(batch, resolution).permute(0, 2, 3, 1).cpu().numpy()
        expected = np.asarray(Image.fromarray(noise).resize((resolution, resolution), Image.Resampling.BICUBIC))
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.01


def test_the_resize_of_what_pillow_takes_columns_first_is_near() -> None:
    tall = picture(0, 600, 200)
    (found,) = (
        resize_batch(torch.from_numpy(tall).permute(2, 0, 1)[None].to(DEVICE), 256).permute(0, 2, 3, 1).cpu().numpy()
    )
    expected = np.asarray(Image.fromarray(tall).resize((256, 256), Image.Resampling.BICUBIC))
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 3
    assert difference.mean() <= 0.5


@pytest.mark.skipif(ON_GPU, reason="nvJPEG's pixels are not libjpeg's: the benchmark says how far they are")
def test_pixels_are_pillows_to_a_level(decoder: TorchJpegDecoder) -> None:
    assert furthest(fetched(decoder.decode(MIXED, 128)), host(MIXED, 128)) <= 1


@pytest.mark.skipif(ON_GPU, reason="nvJPEG's pixels are not libjpeg's: the benchmark says how far they are")
def test_at_native_size_they_are_pillows(decoder: TorchJpegDecoder) -> None:
    files = MIXED[:4]
    assert furthest(fetched(decoder.decode(files, None)), host(files, None)) == 0


def test_distances_move_by_less_than_half_precision_moves_them(decoder: TorchJpegDecoder) -> None:
    target = picture(0, 300)
    files = [encode(variation(target, seed, seed / 8), "JPEG") for seed in range(8)]
    engine = TorchEngine(DEVICE)
    near = engine.embed([pixels for pixels in decoder.decode(files, 128) if pixels is not None])
    exact = engine.embed(host(files, 128))
    moved = [weigh(engine.compare(one[:1] * 7, one[1:]), WEIGHTS) for one in (near, exact)]
    assert np.abs(moved[0] - moved[1]).max() <= (2e-2 if ON_GPU else 1e-4)


def test_grey_becomes_rgb(decoder: TorchJpegDecoder) -> None:
    (pixels,) = fetched(decoder.decode(MIXED[3:4], None))
    assert pixels is not None
    assert (pixels == pixels[..., :1]).all()


def test_what_is_not_plain_is_left_to_the_host(decoder: TorchJpegDecoder) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    odd = [b"", encode(picture(0)), encode(picture(0), "JPEG", exif=exif), MIXED[0][:-10], MIXED[0][:50]]
    found = decoder.decode([*odd, MIXED[0]], 64)
    assert [pixels is None for pixels in found] == [True] * 5 + [False]


def test_what_cannot_be_scored_is_left_to_the_host_which_says_so(decoder: TorchJpegDecoder) -> None:
    assert decoder.decode(MIXED[:1], 64, max_pixels=200 * 200 - 1) == [None]
    assert decoder.decode(MIXED[4:], None) == [None]  # 20 pixels high


def test_a_file_that_the_device_refuses_is_left_to_the_host_alone(decode: Decode) -> None:
    refused = MIXED[1]

    def fussy(files: list[torch.Tensor]) -> list[torch.Tensor]:
        if any(file.numpy().tobytes() == refused for file in files):
            raise RuntimeError("Error while decoding JPEG images: Failed to decode jpeg stream: 5")
        return decode(files)

    found = TorchJpegDecoder(DEVICE, fussy).decode(MIXED, 64)
    assert [pixels is None for pixels in found] == [False, True, False, False, False]


def test_damage_within_the_pixels_fails_no_other_file(decoder: TorchJpegDecoder) -> None:
    assert plain_jpeg_size(DAMAGED) == (200, 200)
    found = decoder.decode([DAMAGED, *MIXED], 64)
    assert all(pixels is not None for pixels in found[1:])


def test_a_batch_that_finds_no_memory_is_left_to_the_host(decode: Decode, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def full(files: list[torch.Tensor]) -> list[torch.Tensor]:
        calls.append(len(files))
        if len(calls) == 2:  # the first is the trial at the start
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return decode(files)

    hungry = TorchJpegDecoder(DEVICE, full)
    assert hungry.decode(MIXED, 64) == [None] * 5
    assert "20.00 MiB" in caplog.text
    assert all(pixels is not None for pixels in hungry.decode(MIXED, 64))
    assert calls == [1, 5, 5]


def test_large_files_are_decoded_in_parts(decode: Decode) -> None:
    sizes: list[int] = []

    def counting(files: list[torch.Tensor]) -> list[torch.Tensor]:
        sizes.append(len(files))
        return decode(files)

    decoder = TorchJpegDecoder(DEVICE, counting, pixels_a_run=2 * 200**2)
    assert len(decoder.decode([MIXED[0]] * 5, 64)) == 5
    assert sizes[1:] == [2, 2, 1]


def test_pixels_of_the_device_and_of_the_host_share_a_batch(decoder: TorchJpegDecoder) -> None:
    files = MIXED[:3]
    engine = TorchEngine(DEVICE)
    on_device = [pixels for pixels in decoder.decode(files, 64) if pixels is not None]
    on_host = [picture(seed, 64) for seed in range(3)]
    found = engine.embed([one for pair in zip(on_device, on_host, strict=True) for one in pair])
    fetched = [pixels.cpu().numpy() for pixels in on_device]
    expected = engine.embed([one for pair in zip(fetched, on_host, strict=True) for one in pair])
    assert len(found) == 6
    assert np.abs(engine.compare(found, expected)).max() <= 1e-9
    assert engine.compare(found[:1], found[1:2]).any()


def test_pixels_of_the_device_must_be_bytes_of_one_size() -> None:
    with pytest.raises(ValueError, match=r"torch.float32\(64, 64, 3\)"):
        TorchEngine().embed([torch.zeros(64, 64, 3)])
    with pytest.raises(ValueError, match="one size"):
        TorchEngine().embed([torch.zeros(64, 64, 3, dtype=torch.uint8), picture(0, 48)])


def test_a_device_that_decodes_nothing_is_refused_at_the_start() -> None:
    def broken(_: list[torch.Tensor]) -> list[torch.Tensor]:
        raise RuntimeError("Couldn't load the image extension.\nSet TORCHVISION_WARN…")

    with pytest.raises(EngineError, match=r"no JPEG on cpu \(Couldn't load the image extension\.\).*on the host"):
        TorchJpegDecoder("cpu", broken)


def test_the_onnx_engine_is_refused() -> None:
    with pytest.raises(EngineError, match="engine onnx takes pixels from main memory alone"):
        open_jpeg_decoder(open_engine("onnx", "cpu"))


@pytest.mark.gpu
def test_nvjpegs_pixels_stay_on_the_card_and_are_near_pillows() -> None:
    engine = TorchEngine("cuda")
    engine.prepare(128, 8, 0)
    found = open_jpeg_decoder(engine).decode(MIXED, 128, MAX_PIXELS)
    assert all(isinstance(pixels, torch.Tensor) and pixels.is_cuda for pixels in found)
    differences = [
        np.abs(pixels.cpu().numpy().astype(int) - expected).mean()
        for pixels, expected in zip(found, host(MIXED, 128), strict=True)
        if isinstance(pixels, torch.Tensor)
    ]
    assert max(differences) <= 3  # levels, on average; the largest at edges between colours
    assert len(engine.embed([pixels for pixels in found if pixels is not None])) == len(MIXED)
