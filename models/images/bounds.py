"""Bounds on what a file may ask of a decoder, beyond its pixels. Sound files stay far below every one of them.

The limit of pixels is the caller's; these are how files are built. They bound what decoding costs where nobody can end
it, as on the command line: no file within them and within `MAX_PIXELS` takes more than some seconds.
"""

from typing import Final

MAX_SIDE: Final = 32_768  # pixels; a resize holds weights for each pixel of a side, so that 2²⁵ × 1 costs a gigabyte
MAX_CHUNKS: Final = 1000  # of a PNG beside those of pixels, segments of a JPEG before its pixels, chunks of a WebP
MAX_PIXEL_CHUNKS: Final = 65_536  # of a PNG: 8 KiB each, as libpng writes them, make 512 MiB
MAX_SCANS: Final = 100  # of a JPEG; progressive ones have some ten
MAX_SCANNED_PIXELS: Final = 2**30  # of a JPEG: pixels times scans, since each scan passes over the whole image
MAX_TAGS: Final = 1000  # of a TIFF's directory, or of an EXIF block's
MAX_VALUES: Final = 65_536  # of a tag of integers that is read: places of strips or tiles are the most
MAX_METADATA_BYTES: Final = 32 * 2**20  # that the tags of a TIFF's directory refer to, pixels not among them
MAX_STRIPS: Final = 65_536  # of a TIFF: strips and tiles, which may be a row each in each of its planes
MAX_TILE_PIXELS: Final = 2**20  # of a TIFF's tile, or so many as the image has
MAX_BLOCKS: Final = 2**18  # of a GIF up to the end of its first frame, at most 255 bytes each
MAX_RUN_PIXELS: Final = 2**22  # of a run-length-coded BMP, which is decoded in Python
MAX_PROFILE_BYTES: Final = 4 * 2**20  # of an ICC profile; those of presses with their tables have 0.5 to 2 MiB
