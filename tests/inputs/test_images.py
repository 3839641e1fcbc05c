"""Image files: decoding, modes, sizes, layout, scaling, and files that lie."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnshell.inputs.input_set import Batch, open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.ir.types import Layout
from nnshell.support.errors import InputError

Bytes = Any


def read(path: Path, spec: InputSpec, **options: Any) -> Any:
    return open_inputs(str(path), [spec], InputOptions(**options))[0].arrays[0][0]


def notes_of(path: Path, spec: InputSpec, **options: Any) -> str:
    inputs = open_inputs(str(path), [spec], InputOptions(**options))
    list(inputs.batches(4))
    return "\n".join(inputs.notes)


@pytest.fixture
def image(tmp_path: Path, pixels: Callable[..., Bytes]) -> Callable[..., tuple[Path, Bytes]]:
    def make(*shape: int, name: str = "a.png", mode: str = "") -> tuple[Path, Bytes]:
        array = pixels(*shape)
        picture = Image.fromarray(array)
        (picture.convert(mode) if mode else picture).save(tmp_path / name)
        return tmp_path / name, array

    return make


@pytest.mark.parametrize("name", ["a.png", "a.ppm", "a.bmp", "A.PNG"])
def test_lossless_colour_formats_give_their_pixels(image: Any, rgb: InputSpec, name: str) -> None:
    path, array = image(8, 6, 3, name=name)
    np.testing.assert_array_equal(read(path, rgb, transpose=True), array.transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg"])
def test_jpeg_is_near_its_pixels(tmp_path: Path, rgb: InputSpec, name: str) -> None:
    Image.new("RGB", (6, 8), (200, 100, 50)).save(tmp_path / name, quality=95)
    result = read(tmp_path / name, rgb)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), [200, 100, 50], atol=4)


@pytest.mark.parametrize("name", ["a.pgm", "a.png", "a.bmp"])
@pytest.mark.parametrize("shape", [(1, 8, 6), (8, 6, 1), (8, 6)])
def test_grey_images_get_the_channel_axis_of_the_graph(
    image: Any, name: str, shape: tuple[int, ...]
) -> None:
    path, array = image(8, 6, name=name)
    result = read(path, InputSpec("input_1", shape))
    assert result.shape == shape
    np.testing.assert_array_equal(result.reshape(8, 6), array)


def test_an_image_is_transposed_by_itself_when_it_fits_only_so(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 6, 3)
    np.testing.assert_array_equal(read(path, rgb), array.transpose(2, 0, 1))
    assert "transposed HWC to CHW by itself" in notes_of(path, rgb)
    assert notes_of(path, rgb, transpose=True) == ""


def test_an_image_that_fits_as_it_is_stays_as_it_is(image: Any) -> None:
    spec = InputSpec("input_1", (8, 6, 3), Layout.HWC)
    path, array = image(8, 6, 3)
    np.testing.assert_array_equal(read(path, spec), array)
    assert "not applied" in notes_of(path, spec, transpose=True)


def test_an_image_that_fits_both_ways_is_noted(image: Any) -> None:
    spec = InputSpec("input_1", (3, 3, 3), Layout.CHW)
    path, array = image(3, 3, 3)
    np.testing.assert_array_equal(read(path, spec), array)
    assert "also fit transposed" in notes_of(path, spec)
    np.testing.assert_array_equal(read(path, spec, transpose=True), array.transpose(2, 0, 1))


def test_transposing_a_grey_image_swaps_its_axes_and_warns(image: Any) -> None:
    path, array = image(7, 7)
    spec = InputSpec("input_1", (1, 7, 7), Layout.CHW)
    np.testing.assert_array_equal(read(path, spec, transpose=True)[0], array.T)
    assert "-T swaps height and width" in notes_of(path, spec, transpose=True)


def test_a_grey_image_that_fits_only_without_t_is_refused(image: Any, grey: InputSpec) -> None:
    path, _ = image(8, 6)
    with pytest.raises(InputError, match=r"leave out -T"):
        read(path, grey, transpose=True)


def test_divisor_and_offset_scale_in_double_precision(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 6, 3)
    expected = (array.transpose(2, 0, 1) / 3.0 + 0.1).astype(np.float32)
    np.testing.assert_array_equal(read(path, rgb, divisor=3.0, offset=0.1), expected)


def test_the_norm_function_sees_the_transposed_float_array(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 6, 3)
    mean = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    expected = (array.transpose(2, 0, 1) / 255 - mean).astype(np.float32)
    norm = "x: x/255 - np.array([0.485, 0.456, 0.406]).reshape(3,1,1)"
    np.testing.assert_array_equal(read(path, rgb, norm_func=norm), expected)
    np.testing.assert_array_equal(
        read(path, rgb, norm_func="x: x-128"), array.transpose(2, 0, 1).astype(np.float32) - 128
    )


def test_the_norm_function_takes_the_place_of_the_divisor(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 6, 3)
    result = read(path, rgb, norm_func="x: x*2", divisor=255.0)
    np.testing.assert_array_equal(result, array.transpose(2, 0, 1) * np.float32(2))
    assert "takes the place of -D and -O" in notes_of(path, rgb, norm_func="x: x*2", offset=1.0)


def test_a_norm_function_may_transpose_by_itself(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 6, 3)
    norm = "x: x.transpose(2,0,1)/2"
    np.testing.assert_array_equal(
        read(path, rgb, norm_func=norm), array.transpose(2, 0, 1) / np.float32(2)
    )
    assert notes_of(path, rgb, norm_func=norm) == ""


def test_a_norm_function_of_the_wrong_shape_is_explained(image: Any, rgb: InputSpec) -> None:
    path, _ = image(8, 6, 3)
    with pytest.raises(InputError, match=r"reshape\(3,1,1\)") as raised:
        read(path, rgb, norm_func="x: x - np.array([1,2,3])")
    assert raised.value.where == str(path)
    with pytest.raises(InputError, match="makes"):
        read(path, rgb, norm_func="x: x[0]")


def test_a_norm_function_cannot_colour_a_grey_image(image: Any, rgb: InputSpec) -> None:
    path, _ = image(8, 6)
    with pytest.raises(InputError, match="-M RGB"):
        read(path, rgb, norm_func="x: x - np.array([1,2,3]).reshape(3,1,1)")


def test_infinite_results_name_the_file(tmp_path: Path, write_images: Any, rgb: InputSpec) -> None:
    write_images(["a.png", "b.png"])
    Image.new("RGB", (6, 8), (0, 9, 9)).save(tmp_path / "c.png")
    inputs = open_inputs(str(tmp_path), [rgb], InputOptions(norm_func="x: np.log(x+0)"))
    with pytest.raises(InputError, match="NaN or infinite") as raised:
        list(inputs[2:].batches(3))
    assert raised.value.where == str(tmp_path / "c.png")


def test_mode_and_size_are_pillows(image: Any, grey: InputSpec) -> None:
    path, array = image(20, 30, 3)
    expected = np.asarray(Image.fromarray(array).convert("L").resize((6, 8)))
    result = read(path, grey, mode="L", height=8, width=6)
    np.testing.assert_array_equal(result[0], expected)


def test_one_given_size_keeps_the_other(image: Any, rgb: InputSpec) -> None:
    path, array = image(8, 12, 3)
    expected = np.asarray(Image.fromarray(array).resize((6, 8))).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(path, rgb, width=6), expected)


@pytest.mark.parametrize(
    ("shape", "mode", "graph", "hint"),
    [
        ((8, 6, 3), "", (1, 8, 6), "-M L"),
        ((8, 6), "", (3, 8, 6), "-M RGB"),
        ((8, 6, 3), "RGBA", (3, 8, 6), "-M RGB"),
        ((8, 6), "LA", (1, 8, 6), "-M L"),
        ((8, 6, 3), "P", (3, 8, 6), "-M RGB"),
        ((9, 6, 3), "", (3, 8, 6), "-H 8 -W 6"),
        ((6, 8, 3), "", (3, 8, 6), "-H 8 -W 6"),
        ((9, 9), "", (3, 8, 6), "-M RGB -H 8 -W 6"),
        ((9, 6, 3), "", (8, 6, 3), "-H 8 -W 6"),
    ],
)
def test_what_does_not_fit_names_file_shapes_and_option(
    image: Any, shape: tuple[int, ...], mode: str, graph: tuple[int, ...], hint: str
) -> None:
    path, _ = image(*shape, mode=mode)
    with pytest.raises(InputError) as raised:
        read(path, InputSpec("input_1", graph))
    error = raised.value
    assert error.where == str(path)
    assert hint in error.hint
    if mode != "P":
        assert "x".join(map(str, graph)) in error.message


def test_a_palette_image_is_read_in_the_mode_asked_for(tmp_path: Path, rgb: InputSpec) -> None:
    picture = Image.new("P", (6, 8), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png")
    result = read(tmp_path / "a.png", rgb, mode="RGB")
    np.testing.assert_array_equal(result[:, 0, 0], [10, 20, 30])


def test_one_bit_images_are_zeros_and_ones(tmp_path: Path, grey: InputSpec) -> None:
    Image.new("1", (6, 8), 1).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png", grey) == 1).all()
    assert (read(tmp_path / "a.png", grey, mode="L") == 255).all()


def test_sixteen_bit_grey_keeps_its_values(tmp_path: Path, grey: InputSpec) -> None:
    array = np.arange(48, dtype=np.uint16).reshape(8, 6) * 1300
    Image.fromarray(array).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", grey)[0], array)
    assert "clips values" in notes_of(tmp_path / "a.png", grey, mode="L")


def test_the_number_type_reinterprets_the_same_width_and_refuses_to_lose_values(
    tmp_path: Path, grey: InputSpec
) -> None:
    array = np.full((8, 6), 40_000, np.uint16)
    Image.fromarray(array).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png", grey, nptype="int16") == 40_000 - 65_536).all()
    assert (read(tmp_path / "a.png", grey, nptype="float32") == 40_000).all()
    with pytest.raises(InputError, match="do not fit -F uint8"):
        read(tmp_path / "a.png", grey, nptype="uint8")


def test_slices_then_padding_work_on_the_decoded_axes(image: Any) -> None:
    path, array = image(8, 6, 3)
    spec = InputSpec("input_1", (3, 5, 5))
    result = read(path, spec, slices=(0, 8, 2, None, 4, None), zero_pad=(1, 0, 0, 1))
    expected = np.pad(array[0:8:2, :4], ((1, 0), (0, 1), (0, 0))).transpose(2, 0, 1)
    np.testing.assert_array_equal(result, expected)
    with pytest.raises(InputError, match="4 axes"):
        read(path, spec, slices=(0, 1, 1) * 4)
    with pytest.raises(InputError, match="leave nothing"):
        read(path, spec, slices=(9, 9, 1))
    with pytest.raises(InputError, match="zero_pad makes"):
        read(path, spec, zero_pad=(0, 60_000_000, 0, 0))


def test_bit_shift_goes_both_ways(image: Any, grey: InputSpec) -> None:
    path, array = image(8, 6)
    np.testing.assert_array_equal(read(path, grey, bit_shift=4)[0], array.astype(int) * 16)
    np.testing.assert_array_equal(read(path, grey, bit_shift=-3)[0], array // 8)


def test_rgb565_packs_five_six_five_bits(tmp_path: Path, grey: InputSpec) -> None:
    Image.new("RGB", (6, 8), (0xFF, 0x04, 0x08)).save(tmp_path / "a.png")
    result = read(tmp_path / "a.png", grey, rgb888_rgb565=True)
    assert (result == (31 << 11 | 1 << 5 | 1)).all()


def test_raw_inputs_take_pixels_and_ignore_scaling(image: Any) -> None:
    spec = InputSpec("input_1", (8, 6, 3), Layout.HWC, raw=True)
    path, array = image(8, 6, 3)
    scaling = {"norm_func": "x: x/255", "divisor": 2.0, "transpose": True}
    np.testing.assert_array_equal(read(path, spec, **scaling), array)
    assert "raw pixels: its formatter does the work of the norm function, -D, -T" in notes_of(
        path, spec, **scaling
    )


@pytest.mark.parametrize(
    ("pixel", "scaling", "said"),
    [
        ((1 / 128, -1.0), {"norm_func": "x: x/128-1"}, "does the work of the norm function"),
        ((1 / 256, 0.0), {"divisor": 255.0}, "does the work of -D"),
        ((1 / 256, 0.0), {"norm_func": "x: x/128-1"}, "FORMAT offset_int8` does"),
        ((1 / 128, -1.0), {"divisor": 255.0}, "FORMAT shift_int8` does"),
        ((1 / 128, -1.0), {"divisor": 64.0}, "-1 to 0.992 and -D and -O would make 0 to 3.98"),
        (
            (1 / 128, -1.0),
            {"norm_func": "x: (x/255 - np.array([0.1, 0.4, 0.7]).reshape(3,1,1)) / 0.2"},
            "no formatter does, as channels differ",
        ),
    ],
)
def test_a_formatter_is_compared_with_the_options_it_replaces(
    pixel: tuple[float, float], scaling: dict[str, Any], said: str, image: Any
) -> None:
    spec = InputSpec("input_1", (8, 6, 3), Layout.HWC, raw=True, pixel=pixel)
    path, _ = image(8, 6, 3)
    assert said in notes_of(path, spec, **scaling)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return start + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(9000, 9000), (12_000, 12_000), (60_000, 60_000), (0, 5)]
)
def test_images_of_absurd_size_are_refused_before_decoding(
    tmp_path: Path, rgb: InputSpec, width: int, height: int
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_claiming(width, height))
    with pytest.raises(InputError) as raised:
        read(tmp_path / "bomb.png", rgb)
    assert raised.value.where == str(tmp_path / "bomb.png")


def test_a_wanted_size_can_be_absurd_too(image: Any, rgb: InputSpec) -> None:
    path, _ = image(8, 6000, 3)
    with pytest.raises(InputError, match="too large"):
        read(path, rgb, height=60_000_000)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.ppm"])
def test_truncated_and_corrupt_files_are_named(
    tmp_path: Path, rgb: InputSpec, pixels: Callable[..., Bytes], name: str
) -> None:
    buffer = io.BytesIO()
    form = {"jpg": "JPEG"}.get(name[2:], name[2:].upper())
    Image.fromarray(pixels(8, 6, 3)).save(buffer, form)
    whole = buffer.getvalue()
    random = np.random.default_rng(3)
    for _ in range(60):
        data = bytearray(whole[: random.integers(0, len(whole))])
        for place in random.integers(0, max(len(data), 1), 3) if data else ():
            data[place] = random.integers(0, 256)
        (tmp_path / name).write_bytes(bytes(data))
        try:
            read(tmp_path / name, rgb)
        except InputError as error:
            assert error.where == str(tmp_path / name)


def test_other_formats_are_not_decoded_under_an_image_name(tmp_path: Path, rgb: InputSpec) -> None:
    Image.new("RGB", (6, 8)).save(tmp_path / "a.png", "GIF")
    with pytest.raises(InputError, match="not a PNG, JPEG"):
        read(tmp_path / "a.png", rgb)


def test_a_file_that_vanishes_is_named(tmp_path: Path, write_images: Any, rgb: InputSpec) -> None:
    write_images(["a.png", "b.png"])
    inputs = open_inputs(str(tmp_path), [rgb])
    (tmp_path / "b.png").unlink()
    assert isinstance(inputs[0], Batch)
    with pytest.raises(InputError, match=r"No such file.*b\.png"):
        list(inputs.batches(1))


def test_files_of_different_size_are_named_within_a_batch(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a.png", "b.png"])
    write_images(["c.png"], (8, 5, 3))
    with pytest.raises(InputError) as raised:
        list(open_inputs(str(tmp_path), [rgb]).batches(3))
    assert raised.value.where == str(tmp_path / "c.png")


def test_colour_and_grey_files_mix_when_a_mode_is_given(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a.png"])
    (grey_pixels,) = write_images(["b.png"], (8, 6))
    (batch,) = open_inputs(str(tmp_path), [rgb], InputOptions(mode="RGB")).batches(8)
    np.testing.assert_array_equal(batch.arrays[0][1], np.stack([grey_pixels] * 3))
