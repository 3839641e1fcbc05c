"""Bad states, statistics and option files; bad images, arrays and data sets."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from fuzzing.cases import ACCEPTED, REFUSED, Violation, check_graph, fingerprint, refused
from fuzzing.models import FIXED
from fuzzing.mutations import (
    ODD_FLOATS,
    ODD_INTEGERS,
    ODD_TEXTS,
    odd_value,
    spoiled_bytes,
    spoiled_json,
)
from fuzzing.onnx_files import check_results, zeros
from nnshell import flow
from nnshell.inputs.options import InputOptions
from nnshell.quantization import QuantizationOptions, load_statistics
from nnshell.session.project import Project
from nnshell.shell.options import options_file
from nnshell.support.settings import SETTINGS, Settings

_STEPS = (
    ("adjust", {"postprocess": True, "steps": None}),
    ("fusions", {"names": ["scale8"]}),
    ("imageformat", {"input": "input_1", "format": "rgb888", "norm": "offset_int8"}),
    ("freeze", {"names": ["input_1"], "transpose": [2, 0, 1]}),
    ("remove", {"first": "4", "last": None, "up": False, "leave": False}),
    ("extract", {"selector": "3"}),
    ("nodeoption", {"selector": "*", "key": "ALLOCATE", "value": "1"}),
    ("qtune", {"steps": {"*": {"clip_type": "std3"}}}),
    ("set", {"name": "l1_size", "value": 1000}),
    ("open", {"subs": {"N": 2}}),
    ("aquant", {"quantization": {"scheme": "SQ8"}, "inputs": [], "input_options": {"limit": 1}}),
)


def small_graph(random: Random, folder: Path, name: str = "lenet") -> Project:
    """A graph that was opened from a file in the folder."""
    path = folder / "model.onnx"
    path.write_bytes(FIXED[name](random).model().SerializeToString())
    return flow.open_graph(path)


def quantize(project: Project) -> None:
    flow.quantize(project, flow.calibrate_randomly(project))


# -- states --------------------------------------------------------------------------------


def state_case(random: Random, folder: Path) -> str:
    """A state with a few values changed, with other steps, or with spoiled bytes."""
    project = small_graph(random, folder, random.choice(("lenet", "residual", "vectors")))
    if random.random() < 0.8:
        flow.adjust(project)
        flow.fuse(project, "scale8")
    quantize(project)
    path = flow.save_state(project)
    content = path.read_bytes()
    if random.random() < 0.3:
        path.write_bytes(spoiled_bytes(random, content))
    else:
        document = json.loads(content)
        if random.random() < 0.5:
            _more_steps(random, document["recipe"])
        if random.random() < 0.8 or not document["recipe"]:
            document = spoiled_json(random, document)
        path.write_text(json.dumps(document))
    return _opened_state(path)


def _more_steps(random: Random, recipe: list[Any]) -> None:
    for _ in range(random.randint(1, 3)):
        command, options = random.choice(_STEPS)
        if random.random() < 0.6:
            options = spoiled_json(random, options)
        step = {"command": command, "options": options, "line": command}
        recipe.insert(random.randrange(len(recipe) + 1), step)


def _opened_state(path: Path) -> str:
    settings = Settings()
    before = settings.copy()
    opened: list[Project] = []
    if refused(lambda: opened.append(flow.open_graph(path, settings=settings))):
        if settings != before:
            raise Violation("a state that was refused changed settings")
        return REFUSED
    project = opened[0]
    check_graph(project)
    if project.quantized:
        check_results(project, flow.run(project, zeros(project), "int8"))
    return ACCEPTED


# -- statistics and options ----------------------------------------------------------------


def statistics_case(random: Random, folder: Path) -> str:
    """Ranges for `aquant --stats`, in nnshell's and in NNTool's form."""
    project = small_graph(random, folder, random.choice(("lenet", "activations", "arithmetic")))
    flow.fuse(project, "scale8")
    ranges = flow.calibrate_randomly(project).to_json()
    document: Any = ranges if random.random() < 0.6 else _as_nntool_writes(random, ranges)
    if random.random() < 0.2:
        for entry in random.sample(sorted(ranges), min(3, len(ranges))):
            ranges[entry] = {key: random.choice(ODD_FLOATS) for key in ("min", "max", "std")}
    path = folder / "stats.json"
    path.write_text(json.dumps(spoiled_json(random, document)))
    if random.random() < 0.3:
        path.write_bytes(spoiled_bytes(random, path.read_bytes()))
    options = QuantizationOptions(clip_type=random.choice(("none", "std3", "laplace", "mix")))
    before = fingerprint(project)
    if refused(lambda: flow.quantize(project, load_statistics(path), options)):
        if fingerprint(project) != before:
            raise Violation("statistics that were refused changed the graph")
        return REFUSED
    check_graph(project)
    check_results(project, flow.run(project, zeros(project), "int8"))
    return ACCEPTED


def _as_nntool_writes(random: Random, ranges: dict[str, Any]) -> Any:
    pairs = [
        [{"__type": "NodeId", "__contents": key.split("/")}, {"range_out": [dict(value)]}]
        for key, value in ranges.items()
    ]
    stats: Any = {"__type": "dict", "__contents": pairs}
    if random.random() < 0.3:
        stats = {key.replace("/", "###"): {"range_out": [v]} for key, v in ranges.items()}
    return {"history": [], "stats": stats}


def options_case(random: Random, folder: Path) -> str:
    """Quantization options from a file or as values, input options and settings."""
    kind = random.randrange(3)
    if kind == 0:
        path = folder / "options.json"
        values = {"clip_type": "std3", "nodes": {"*": {"narrow_weights": False}}, "sq_bits": 8}
        path.write_text(json.dumps(spoiled_json(random, values)))
        if random.random() < 0.3:
            path.write_bytes(spoiled_bytes(random, path.read_bytes()))
        failed = refused(lambda: QuantizationOptions.from_mapping(options_file(str(path))))
    elif kind == 1:
        name = random.choice((*SETTINGS, *ODD_TEXTS))
        numbers = map(str, (*ODD_INTEGERS, *ODD_FLOATS))
        text = random.choice(
            (*ODD_TEXTS, *numbers, "1e999", "64k", "0x", "9" * 5000, "1_0", "9e99g")
        )
        failed = refused(lambda: Settings().parse(name, text))
    else:
        name, value = random.choice(list(SETTINGS)), odd_value(random)
        failed = refused(lambda: Settings().assign(name, value))
    return REFUSED if failed else ACCEPTED


# -- images and arrays ---------------------------------------------------------------------


def inputs_case(random: Random, folder: Path) -> str:
    """A file or a few, mostly spoiled, read with options that rarely fit."""
    model = random.choice(("lenet", "lenet", "lenet", "vectors", "arithmetic", "rows"))
    project = small_graph(random, folder, model)
    inputs = folder / "inputs"
    inputs.mkdir()
    writer = random.choice(_WRITERS)
    for number in range(random.choice((1, 1, 2, 3))):
        name, content = writer(random)
        if random.random() < 0.5:
            content = spoiled_bytes(random, content)
        path = inputs / f"{number}_{random.choice((number, 'x', ''))}{name}"
        path.write_bytes(content)
    whole = (str(inputs), f"{inputs}/*", str(path))
    odd = (f"input_1={inputs}", f"in1={path}", str(folder), f"{inputs}/*.png", "missing", "")
    patterns = [random.choice(whole)]
    while random.random() < 0.15:
        patterns.append(random.choice((*whole, *odd)))
    return _read(random, project, patterns)


def _read(random: Random, project: Project, patterns: list[str]) -> str:
    before = fingerprint(project)
    options: list[InputOptions] = []
    if refused(lambda: options.append(_some_options(random))):
        return REFUSED

    def calibrate() -> None:
        images = flow.load_inputs(patterns, options=options[0])
        if random.random() < 0.5:
            flow.quantize(project, flow.calibrate(project, images))
        else:
            flow.validate(project, images)

    if refused(calibrate):
        if fingerprint(project) != before and project.quantized:
            raise Violation("inputs that were refused changed the graph")
        return REFUSED
    check_graph(project)
    return ACCEPTED


def _some_options(random: Random) -> InputOptions:
    values: dict[str, Any] = {}
    for name, choices in _OPTIONS.items():
        if random.random() < 0.06:
            values[name] = random.choice(choices)
    if random.random() < 0.6:
        values |= {"height": 12, "width": 12, "mode": "RGB"}
    return InputOptions(**values)


_NORMS = (
    *("x: x/128-1", "x: x.reshape(3,1,1)", "x: np.array([1,2,3]).reshape(3,1,1)*x", "x: 1/0*x"),
    *("x: x**1e9", "x: x.mean(axis=9)", "x: x[100:]", "x: x.T", "x: log(x)", "x: np.log(x-300)"),
    *("lambda x: x", "x", "", "x: y", "x: x." + "T." * 300 + "T", "(" * 200 + "x" + ")" * 200),
    *("x: x.reshape(-1)", "x: x.reshape(99999999,99999999)", "x: x[::0]", "x: x.astype(int)"),
    *("x: x if x else x", "x: [x]", "x: x@x", "x: x%0", "x: x//0", "x: (-1)**0.5*x", "x: x**0.5"),
    *("x: x+np.array([[1,2],[3]])", "x: __import__('os')", "x: x*1e308*1e308", "x: x[None]"),
)
_OPTIONS: dict[str, tuple[Any, ...]] = {
    "divisor": (0, 255.0, -1, *ODD_FLOATS),
    "offset": (0, *ODD_FLOATS),
    "height": (0, 1, 12, -5, 10**6, 2**40),
    "width": (0, 1, 12, 10**6),
    "transpose": (True, False),
    "mode": ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "X", ""),
    "nptype": ("uint8", "int64", "float16", "float64", "object", ""),
    "norm_func": _NORMS,
    "bit_shift": (0, 3, -3, 32, 64, -(2**40)),
    "rgb888_rgb565": (True,),
    "zero_pad": ((), (1,), (1, 1), (0, 0, 1, 1, 1, 1), (10**7, 10**7), (-1, 0)),
    "slices": ((0, 1, 1), (0, 5, 2, 0, 5, 1), (None,) * 9, (5, 1, 1), (0, 1, 0), (0, -1, -1)),
    "limit": (0, 1, 5, 10**18, -1),
    "seed": (0, 1, -1, 2**70),
}


def _image(random: Random) -> tuple[str, bytes]:
    mode = random.choice(("RGB", "L", "RGBA", "P", "1", "I;16", "RGB", "RGB", "RGB", "CMYK"))
    size = random.choice(((12, 12), (8, 8), (1, 1), (30, 5), (12, 12), (12, 12), (12, 12)))
    image = Image.frombytes("L", size, random.randbytes(size[0] * size[1])).convert(mode)
    forms = {"PNG": ".png", "BMP": ".bmp", "PPM": ".ppm", "JPEG": ".jpg"}
    form = random.choice(sorted(forms))
    stream = io.BytesIO()
    try:
        image.save(stream, form)
    except OSError:  # a mode that this form does not have
        image.convert("RGB").save(stream, form)
    ending = forms[form] if random.random() < 0.9 else random.choice(list(forms.values()))
    return ending, stream.getvalue()


def _array(random: Random) -> Any:
    shape = random.choice(
        ((3, 12, 12), (2, 3, 12, 12), (12, 12, 3), (10,), (4, 10), (), (0, 3), (5, 8), (1, 5, 8))
    )
    dtype = random.choice(("f4", "f4", "f8", "u1", "i8", "f2", "?", "c8", ">f4", "U3", "m8[s]"))
    array = np.ones(shape, dtype)
    if random.random() < 0.2 and array.size and array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            array.reshape(-1)[0] = random.choice(ODD_FLOATS)
    return np.asfortranarray(array) if random.random() < 0.2 else array


def _npy(random: Random) -> tuple[str, bytes]:
    stream = io.BytesIO()
    np.save(stream, _array(random), allow_pickle=False)
    content = stream.getvalue()
    if random.random() < 0.15:
        shape = random.choice((b"(9999999999,)", b"(-1, 3)", b"(2**9,)", b"'x'", b"(1e3,)", b"()"))
        content = content.replace(b"'shape': (", b"'shape': " + shape + b" and (", 1)
    return ".npy", content


def _npz(random: Random) -> tuple[str, bytes]:
    stream = io.BytesIO()
    names = random.sample(
        ("images", "labels", "input_1", "in0", "in1", "arr_0"), random.randint(0, 3)
    )
    write = np.savez if random.random() < 0.5 else np.savez_compressed
    arrays = {name: _array(random) for name in names}
    if "labels" in arrays and random.random() < 0.5:
        arrays["labels"] = np.array([random.choice((0, 1, -5, 2**60)) for _ in range(2)])
    write(stream, **arrays)
    return ".npz", stream.getvalue()


def _raw(random: Random) -> tuple[str, bytes]:
    return ".dat", random.randbytes(random.choice((0, 1, 10, 432, 1728, 3456)))


def _idx(random: Random) -> tuple[str, bytes]:
    count, kind = random.choice((0, 1, 2, 2**31 - 1)), random.choice((8, 8, 8, 13, 99))
    header = struct.pack(">HBBIII", 0, kind, 3, count, 12, 12)
    content = header + random.randbytes(144 * min(count, 2))
    if random.random() < 0.3:
        return "-images-idx3-ubyte.gz", gzip.compress(content)
    return "-images-idx3-ubyte", content


def _cifar(random: Random) -> tuple[str, bytes]:
    content = random.randbytes(3073 * random.choice((0, 1, 2)) + random.choice((0, 0, 1)))
    return random.choice(("data_batch_1.bin", "test_batch.bin", "data_batch_1")), content


_WRITERS = (_image, _image, _image, _npy, _npy, _npz, _npz, _raw, _idx, _cifar)
