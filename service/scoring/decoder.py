"""Decoding threads: a pool for every format, and one thread for JPEGs that the engine's device decodes."""

from concurrent.futures import ThreadPoolExecutor

from clpips.models.engines.contract import JpegDecoder


class Decoder:
    """Threads that turn the bytes of images into pixels: `pool`, and `jpeg_thread` for `jpegs`."""

    def __init__(self, threads: int, jpegs: JpegDecoder | None = None) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.jpegs = jpegs  # None where all images are decoded on the host
        self.jpeg_thread = ThreadPoolExecutor(1, thread_name_prefix="jpeg")

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        self.pool.shutdown(cancel_futures=True)
        self.jpeg_thread.shutdown(cancel_futures=True)
