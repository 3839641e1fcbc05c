"""Draws a labelled set of small colour images: ten shapes, seen by an imaginary cheap camera.

Every image is 32x32 RGB and shows one shape. Place, size, angle, colour, background, clutter,
occlusion, light, blur and noise are random, so that a small network gets most images right but not
all of them. Image i shows class i % 10 unless other labels are asked for, so the first 10, 20, 30
... images of a set are balanced. The three folders of sample_images/ are drawn by

    python scripts/make_sample_images.py sample_images/calibration --prefix cal --seed 1
    python scripts/make_sample_images.py sample_images/test --prefix test --seed 2 --per-class 20
    python scripts/make_sample_images.py sample_images/biased_calibration --prefix biased --seed 3 \
        --per-class 30 --labels 0 --dark

Each image has its own random generator, made from (seed, i): the same seed draws the same images.
"""

from __future__ import annotations

import argparse
import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

CLASSES = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "crescent",
    "arrow",
    "heart",
    "hexagon",
)
USUAL_COLOURS = {  # most shapes have the colour of their class, as traffic signs do
    "circle": (0.85, 0.10, 0.10),
    "square": (0.10, 0.25, 0.80),
    "triangle": (0.95, 0.85, 0.10),
    "star": (0.95, 0.95, 0.90),
    "cross": (0.05, 0.35, 0.10),
    "ring": (0.06, 0.06, 0.06),
    "crescent": (0.65, 0.80, 0.95),
    "arrow": (0.95, 0.50, 0.05),
    "heart": (0.95, 0.40, 0.65),
    "hexagon": (0.30, 0.05, 0.40),
}
SIZE = 32  # pixels of an image's side
FINE = 4  # shapes are drawn this many times larger and averaged down, which smooths their edges

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scene:
    """How a set is lit and seen: each pair holds the lowest and the highest value drawn."""

    brightness: tuple[float, float]  # 1 leaves colours as they are
    contrast: tuple[float, float]  # 1 leaves differences between colours as they are
    noise: tuple[float, float]  # standard deviation, in levels of 0..255


DAYLIGHT = Scene(brightness=(0.8, 1.15), contrast=(0.8, 1.0), noise=(0.0, 9.0))
DARK = Scene(brightness=(0.2, 0.3), contrast=(0.15, 0.3), noise=(0.0, 1.5))


# Shapes: polygons that fit a circle of radius 1 around (0, 0). y points down, as in images.


def regular_polygon(corners: int) -> FloatArray:
    angles = 2.0 * np.pi * np.arange(corners) / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def star() -> FloatArray:
    points = regular_polygon(10)
    points[1::2] *= 0.42
    return points


def cross() -> FloatArray:
    corner = np.array([(-0.3, -0.95), (0.3, -0.95), (0.3, -0.3)])
    return np.concatenate([rotate(corner, 90.0 * turn) for turn in range(4)])


def arrow() -> FloatArray:
    right = [(0.0, -1.0), (0.75, -0.1), (0.27, -0.1), (0.27, 0.95)]
    left = [(-x, y) for x, y in reversed(right[1:])]
    return np.array(right + left)


def heart() -> FloatArray:
    t = 2.0 * np.pi * np.arange(48) / 48
    x = 16.0 * np.sin(t) ** 3
    y = 13.0 * np.cos(t) - 5.0 * np.cos(2.0 * t) - 2.0 * np.cos(3.0 * t) - np.cos(4.0 * t)
    return np.stack([x, -y], axis=1) / 17.0


def outline(name: str) -> FloatArray:
    match name:
        case "circle" | "ring" | "crescent":
            return regular_polygon(48) * 0.9
        case "square":
            return rotate(regular_polygon(4), 45.0)
        case "triangle":
            return regular_polygon(3)
        case "star":
            return star()
        case "cross":
            return cross()
        case "arrow":
            return arrow()
        case "heart":
            return heart()
        case "hexagon":
            return regular_polygon(6)
    raise ValueError(f"no shape is called {name}")


def hole(name: str) -> FloatArray | None:
    if name == "ring":
        return regular_polygon(48) * 0.52
    if name == "crescent":
        return regular_polygon(48) * 0.75 + np.array([0.45, 0.0])
    return None


def rotate(points: FloatArray, degrees: float) -> FloatArray:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return points @ np.array([[cosine, sine], [-sine, cosine]])


# Masks: (SIZE, SIZE) arrays, 1 where something covers the pixel, 0 where not, in between on edges.


def draw_mask(polygon: FloatArray, hole_polygon: FloatArray | None = None) -> FloatArray:
    """The mask of a polygon given in pixels."""
    canvas = Image.new("L", (SIZE * FINE, SIZE * FINE))
    draw = ImageDraw.Draw(canvas)
    draw.polygon([(x, y) for x, y in (polygon * FINE).tolist()], fill=255)
    if hole_polygon is not None:
        draw.polygon([(x, y) for x, y in (hole_polygon * FINE).tolist()], fill=0)
    fine = np.asarray(canvas, dtype=np.float64) / 255.0
    return fine.reshape(SIZE, FINE, SIZE, FINE).mean(axis=(1, 3))


def draw_shape(name: str, rng: np.random.Generator) -> FloatArray:
    """A mask of the shape at a random place, size, angle and stretch, inside the image."""
    radius = rng.uniform(8.5, 13.5)
    angle = rng.uniform(-20.0, 20.0)
    stretch = np.array([1.0, rng.uniform(0.82, 1.0)])
    centre = rng.uniform(radius + 0.5, SIZE - radius - 0.5, size=2)

    def placed(points: FloatArray) -> FloatArray:
        return rotate(points * stretch, angle) * radius + centre

    inner = hole(name)
    return draw_mask(placed(outline(name)), None if inner is None else placed(inner))


def draw_bar(width: float, rng: np.random.Generator) -> FloatArray:
    """A mask of a bar of that width right across the image, at a random place and angle."""
    half = np.array([2.0 * SIZE, width / 2.0])
    bar = half * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    return draw_mask(rotate(bar, rng.uniform(0.0, 180.0)) + rng.uniform(4.0, SIZE - 4.0, size=2))


def draw_dot(rng: np.random.Generator) -> FloatArray:
    """A mask of a small dot anywhere in the image."""
    return draw_mask(regular_polygon(12) * rng.uniform(0.8, 2.2) + rng.uniform(0.0, SIZE, size=2))


# Pictures: (SIZE, SIZE, 3) arrays of RGB colours, each between 0 and 1.


def random_colour(rng: np.random.Generator) -> FloatArray:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.9), rng.uniform(0.1, 1)))


def shape_colour(name: str, rng: np.random.Generator) -> FloatArray:
    """About the usual colour of the shape in most images, any colour in the others."""
    if rng.random() < 0.2:
        return random_colour(rng)
    return np.clip(USUAL_COLOURS[name] + rng.uniform(-0.1, 0.1, size=3), 0.0, 1.0)


def plain(_: np.random.Generator) -> FloatArray:
    """0 everywhere; shape (SIZE, SIZE, 1)."""
    return np.zeros((SIZE, SIZE, 1))


def ramp(rng: np.random.Generator) -> FloatArray:
    """Rises from 0 to 1 across the image in a random direction; shape (SIZE, SIZE, 1)."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1.0) - 0.5
    rise = np.cos(angle) * x + np.sin(angle) * y
    return ((rise - rise.min()) / (rise.max() - rise.min()))[:, :, None]


def stripes(rng: np.random.Generator) -> FloatArray:
    """Soft stripes between 0 and 1 in a random direction; shape (SIZE, SIZE, 1)."""
    return 0.5 + 0.5 * np.sin(2.0 * np.pi * rng.uniform(2.0, 6.0) * ramp(rng))


def clouds(rng: np.random.Generator) -> FloatArray:
    """Smooth random spots between 0 and 1; shape (SIZE, SIZE, 1)."""
    cells = rng.integers(3, 9)
    coarse = Image.fromarray(rng.integers(0, 256, size=(cells, cells), dtype=np.uint8))
    smooth = coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64)[:, :, None] / 255.0


def background(rng: np.random.Generator) -> FloatArray:
    """A plain, graded, striped or cloudy picture of two colours that are not too far apart."""
    first = random_colour(rng)
    second = first + rng.uniform(0.1, 0.5) * (random_colour(rng) - first)
    pattern = (plain, ramp, stripes, clouds)[rng.integers(4)]
    return first + pattern(rng) * (second - first)


def background_for(colour: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A background that the colour can be told from."""
    while True:
        picture = background(rng)
        if np.abs(picture.mean(axis=(0, 1)) - colour).max() > 0.4:
            return picture


def paint(picture: FloatArray, mask: FloatArray, colour: FloatArray) -> FloatArray:
    return picture + mask[:, :, None] * (colour - picture)


# Images: what the camera sees of a picture.


def expose(picture: FloatArray, scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Lit from one side, with a colour cast, at a random brightness and contrast."""
    middle = picture.mean(axis=(0, 1))
    picture = middle + rng.uniform(*scene.contrast) * (picture - middle)
    light = 1.0 - rng.uniform(0.0, 0.4) * ramp(rng)
    cast = rng.uniform(0.92, 1.0, size=3)
    return picture * light * cast * rng.uniform(*scene.brightness)


def photograph(picture: FloatArray, scene: Scene, rng: np.random.Generator) -> ImageArray:
    """Exposed, blurred, noisy, and with the 5, 6 and 5 bits of a small camera's RGB565 pixels."""
    exposed = to_bytes(255.0 * expose(picture, scene, rng))
    blurred = Image.fromarray(exposed).filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.9)))
    noise = rng.normal(0.0, rng.uniform(*scene.noise), size=(SIZE, SIZE, 3))
    pixels = to_bytes(np.asarray(blurred) + noise)
    return pixels & np.array([0xF8, 0xFC, 0xF8], dtype=np.uint8)


def to_bytes(levels: FloatArray) -> ImageArray:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def draw_image(label: int, rng: np.random.Generator, scene: Scene = DAYLIGHT) -> ImageArray:
    """One image of class ``label``: uint8, (32, 32, 3), RGB."""
    colour = shape_colour(CLASSES[label], rng)
    picture = background_for(colour, rng)
    for _ in range(rng.integers(0, 5)):
        picture = paint(picture, draw_dot(rng), random_colour(rng))
    if rng.random() < 0.3:
        picture = paint(picture, draw_bar(rng.uniform(0.8, 2.0), rng), random_colour(rng))

    picture = paint(picture, draw_shape(CLASSES[label], rng), colour)

    if rng.random() < 0.25:  # something before hides a part of the shape
        picture = paint(picture, draw_bar(rng.uniform(1.0, 3.5), rng), random_colour(rng))
    return photograph(picture, scene, rng)


def draw_set(
    count: int, seed: int, labels: Sequence[int] = range(len(CLASSES)), scene: Scene = DAYLIGHT
) -> Iterator[tuple[ImageArray, int]]:
    """``count`` images with their labels, which go round ``labels``."""
    for index in range(count):
        label = labels[index % len(labels)]
        yield draw_image(label, np.random.default_rng((seed, index)), scene), label


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a labelled set of 32x32 RGB images.")
    parser.add_argument("folder", type=Path, help="where the images go")
    parser.add_argument("--prefix", default="image", help="file names are PREFIX_NUMBER_LABEL.png")
    parser.add_argument("--per-class", type=int, default=10, help="images of each class")
    every_label = range(len(CLASSES))
    parser.add_argument("--labels", type=int, nargs="+", choices=every_label, default=every_label)
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other images")
    parser.add_argument("--dark", action="store_true", help="dark images of low contrast")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    count = options.per_class * len(options.labels)
    scene = DARK if options.dark else DAYLIGHT
    images = draw_set(count, options.seed, options.labels, scene)
    for index, (pixels, label) in enumerate(images):
        path = options.folder / f"{options.prefix}_{index:04d}_{label}.png"
        Image.fromarray(pixels).save(path, optimize=True)
    print(f"{count} images in {options.folder}")


if __name__ == "__main__":
    main()
