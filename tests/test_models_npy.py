"""`.npy` files: the header is read as numpy reads it, in any number of threads, and pixels are uint8 RGB."""

import gc
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from clpips.models.images.decoding import decode, load_image
from clpips.models.images.errors import PixelTypeError, TooSmallError, TruncatedImageError
from clpips.models.images.formats import NPY
from clpips.models.images.npy import LONGEST_HEADER, read_header
from tests.support.pictures import npy, picture

PLAIN = b"{'descr': '|u1', 'fortran_order': False, 'shape': (40, 50, 3), }"


def with_header(text: bytes, version: bytes = b"\x01\x00") -> bytes:
    return NPY + version + len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little") + text


@given(
    st_numpy.arrays(
        st_numpy.scalar_dtypes(),
        st_numpy.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=3),
        fill=st.nothing(),
    ),
    st.sampled_from([(1, 0), (2, 0)]),
    st.booleans(),
)
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    array: NDArray[Any], version: tuple[int, int], fortran: bool
) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asfortranarray(array) if fortran else array, version)
    header = read_header(stream.getvalue())
    stream.seek(0)
    np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    assert (header.shape, header.fortran_order, header.dtype) == read(stream)
    assert header.size == stream.tell()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN + b"   \n",
        b"{'shape': (40, 50, 3), 'descr': '|u1', 'fortran_order': False}",
        b'{"descr":"|u1","fortran_order":False,"shape":(40,50,3)}',
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (40L, 50L, 3L), }",  # Python 2
    ],
)
def test_a_header_that_another_program_wrote_is_read(text: bytes) -> None:
    header = read_header(with_header(text, b"\x02\x00"))
    assert (header.shape, header.fortran_order, header.dtype) == ((40, 50, 3), False, np.dtype(np.uint8))


def test_records_have_no_plain_type() -> None:
    assert read_header(npy(np.zeros(2, [("a", "<u1"), ("b", "<f4", (2, 2))]))).dtype is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        NPY,
        NPY + b"\x01\x00\x05",
        with_header(PLAIN)[:-1],
        NPY + b"\x04\x00" + with_header(PLAIN, b"\x02\x00")[8:],
        with_header(PLAIN + b" " * LONGEST_HEADER),
        *map(
            with_header,
            [
                b"",
                b"{}",
                PLAIN[:-1],
                PLAIN[1:],
                PLAIN + b"!",
                PLAIN.replace(b"'shape'", b"'size'"),
                PLAIN.replace(b"|u1", b"|q9"),
                PLAIN.replace(b"|u1", b"|U" + b"9" * 30),
                PLAIN.replace(b"'|u1'", b"u1"),
                PLAIN.replace(b"|u1", b"u1,u1"),
                PLAIN.replace(b"40", b"-40"),
                PLAIN.replace(b"40", b"4 0"),
                PLAIN.replace(b"False", b"0"),
                PLAIN.replace(b"False", b"__import__('os')"),
                b"{'descr': '|u1', " + PLAIN[1:].replace(b"'descr': '|u1'", b"'descr': [('a', '|u1')]"),
            ],
        ),
    ],
)
def test_a_damaged_header_is_one_kind_of_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\.npy|header|type"):
        read_header(content)


@pytest.fixture
def busy_interpreter() -> Iterator[None]:
    """Threads change places as often as they can, in the collector's callbacks too: between any two allocations."""

    def linger(*_: object) -> None:
        for _step in range(100):
            pass

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10)
    gc.callbacks.append(linger)
    yield
    gc.callbacks.remove(linger)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("busy_interpreter")
def test_sound_files_are_read_in_many_threads_at_once() -> None:
    content = npy(np.zeros((16, 16, 3), np.uint8))
    failures: list[Exception] = []

    def read() -> None:
        for _ in range(500):
            try:
                decode(content)
            except Exception as error:  # noqa: BLE001 - whatever it is
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_npy_pixels_are_taken_as_they_are() -> None:
    pixels = picture(3, 33, 47)
    assert np.array_equal(decode(npy(pixels)), pixels)


def test_npy_pixels_of_the_scoring_resolution_are_the_bytes_that_were_sent() -> None:
    content = npy(picture(0, 64))
    assert np.shares_memory(load_image(content, 64), np.frombuffer(content, np.uint8))


def test_npy_in_fortran_order_is_the_same_picture() -> None:
    pixels = picture(3, 33, 47)
    assert np.array_equal(decode(npy(np.asfortranarray(pixels))), pixels)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 40, 3), np.float32), r"float32, expected uint8: .*\* 255"),
        (np.zeros((40, 40, 3), np.int64), "int64, expected uint8"),
        (np.zeros((40, 40, 3), np.bool_), "bool, expected uint8"),
        (np.zeros((3, 40, 40), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((40, 40), np.uint8), r"expected \(H, W, 3\)"),
        (np.zeros((40, 40, 4), np.uint8), r"expected \(H, W, 3\)"),
        (np.zeros((1, 40, 40, 3), np.uint8), r"expected \(H, W, 3\)"),
        (np.array([{"a": 1}], dtype=object), "pickled"),
        (np.zeros((20, 20, 3), [("r", "u1"), ("g", "u1")]), "named fields"),
    ],
)
def test_an_npy_of_other_pixels_is_refused(array: NDArray[Any], message: str) -> None:
    with pytest.raises(PixelTypeError, match=message):
        decode(npy(array))


def test_an_npy_without_pixels_is_refused() -> None:
    with pytest.raises(TooSmallError, match="0 pixels"):
        decode(npy(np.zeros((40, 0, 3), np.uint8)))


@pytest.mark.parametrize("change", [slice(0, -1), slice(0, 60), slice(0, 7)])
def test_a_truncated_npy_is_refused(change: slice) -> None:
    with pytest.raises(TruncatedImageError):
        decode(npy(picture(16, 40))[change])


def test_an_npy_with_bytes_left_over_is_refused() -> None:
    with pytest.raises(TruncatedImageError, match="needs 4,800 bytes of pixels, 4,801 came"):
        decode(npy(picture(16, 40)) + b"!")
