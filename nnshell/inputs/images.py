"""Image files to arrays: decoding, mode and size, through Pillow (imported on first use).

Only PNG, JPEG, PPM/PGM and BMP decoders are let near a file, whatever its name says, and a file may
not claim more than MAX_IMAGE_PIXELS. Everything that goes wrong in a decoder becomes an InputError
that names the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnshell.inputs.options import MAX_IMAGE_PIXELS, InputOptions
from nnshell.inputs.reading import Caution, reading, remark
from nnshell.support.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]

_ORIENTATION = 0x0112  # an EXIF tag: 1 is upright
FORMATS = ("PNG", "JPEG", "PPM", "BMP")
_CHANNELS_OF_MODE = {"L": (), "RGB": (3,), "RGBA": (4,)}  # modes that an uint8 array stands for


def is_image_shape(shape: Sequence[int]) -> bool:
    """Whether an array of this shape can be an image: HxW, or HxWxC with 1, 3 or 4 channels."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Decodes image files to uint8 (16-bit grey: uint16) arrays of HxW or HxWxC.

    The size is changed with Pillow's own default filter, as NNTool does: no crop, no letterbox.
    """

    mode: str | None = None
    height: int | None = None
    width: int | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_options(cls, options: InputOptions, notes: list[str]) -> ImageReader:
        """A reader that applies the mode and size of ``options``."""
        return cls(options.mode, options.height, options.width, notes)

    @property
    def options(self) -> tuple[str, ...]:
        """The command options this reader applies, as typed."""
        values = (("-M", self.mode), ("-H", self.height), ("-W", self.width))
        return tuple(option for option, value in values if value is not None)

    def read(self, path: str) -> Array:
        """The pixels of one file, or InputError that names it."""
        from PIL import Image, UnidentifiedImageError

        with reading(path, "image"):
            try:
                image = Image.open(path, formats=FORMATS)
            except UnidentifiedImageError:
                raise InputError("not a PNG, JPEG, PPM, PGM or BMP image") from None
            with image:
                _check_pixels(image.size)
                self._note_orientation(image)
                return self._pixels(image)

    def convert(self, pixels: Array, name: str) -> Array:
        """Mode and size applied to an image that is an array already (uint8 or uint16)."""
        if not self.changes(pixels.shape):
            return pixels
        from PIL import Image

        flat = pixels.shape[:2] if pixels.shape[2:] == (1,) else pixels.shape
        with reading(name, "image"):
            return self._pixels(Image.fromarray(np.ascontiguousarray(pixels).reshape(flat)))

    def changes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array image of this shape would come out differently."""
        channels = () if shape[2:] == (1,) else shape[2:]
        keeps_mode = self.mode is None or _CHANNELS_OF_MODE.get(self.mode) == channels
        return not (
            keeps_mode and self.height in (None, shape[0]) and self.width in (None, shape[1])
        )

    def _pixels(self, image: Image) -> Array:
        if self.mode is not None and image.mode != self.mode:
            self._note_clipping(image.mode)
            image = image.convert(self.mode)
        elif self.mode is None and image.mode.startswith("P"):
            raise InputError(
                "a palette image holds colour numbers, not colours", hint="-M RGB, or -M L for grey"
            )
        size = (self.width or image.width, self.height or image.height)
        if size != image.size:
            _check_pixels(size)
            image = image.resize(size)
        pixels = np.asarray(image)
        if pixels.dtype == np.bool_:
            return pixels.astype(np.uint8)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

    def _note_orientation(self, image: Image) -> None:
        """Pixels are taken as they are stored, as NNTool takes them."""
        if "exif" not in image.info or image.getexif().get(_ORIENTATION, 1) in (0, 1):
            return
        text = (
            "a photograph is stored turned or mirrored (EXIF orientation) and read as it is stored;"
            " turn the pixels first if the network was trained on upright images"
        )
        remark(self.notes, Caution(text))

    def _note_clipping(self, mode: str) -> None:
        if mode.startswith("I;16") and self.mode not in ("I", "F"):
            remark(
                self.notes, Caution(f"16-bit grey images: -M {self.mode} clips values above 255")
            )


def _check_pixels(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"an image of {height} x {width} pixels is empty")
    if width * height > MAX_IMAGE_PIXELS:
        raise InputError(
            f"an image of {height} x {width} pixels is too large",
            hint=f"at most {MAX_IMAGE_PIXELS} pixels",
        )


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Inside, Pillow's remark on images of suspicious size is an error; its others are silent."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
