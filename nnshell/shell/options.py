"""Options that several commands share, and what they say as values of the API."""

from __future__ import annotations

import argparse
import json
from typing import Any

import cmd2

from nnshell.inputs.options import MODES, NUMBER_TYPES, InputOptions
from nnshell.shell.api import norm_functions, pictures, quantization_options
from nnshell.shell.completion import complete_input
from nnshell.shell.parser import Parser
from nnshell.shell.render import FORMATS
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

_WIDTHS = (8, 16, 32)
_SCHEMES = ("SQ8", "POW2", "FLOAT")


def add_format_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="Form of the table (`help formats`)."
    )


def add_table_options(parser: Parser) -> None:
    """NNTool's options of tables, and --format."""
    group = parser.add_argument_group("form of the table")
    add_format_option(group)
    add_format = group.add_argument
    add_format("--columns", metavar="A,B", help="Show these columns, in this order.")
    add_format(
        "-t",
        "--terminal",
        action="store_true",
        help="Accepted for old scripts: results go to the terminal anyway.",
    )
    add_format(
        "-c",
        "--csv",
        metavar="FILE",
        completer=cmd2.Cmd.path_complete,
        help="Write the table to a file, as CSV.",
    )
    add_format("--svg", metavar="FILE", completer=cmd2.Cmd.path_complete,
               help="Draw the numbers to a picture (.svg, .png, .pdf) as well.")  # fmt: skip
    add_format(
        "-x",
        "--xls",
        metavar="FILE",
        type=_no_excel,
        help="Refused: Excel files are not written, use -c FILE.",
    )
    add_format(
        "-w",
        "--table_width",
        type=int,
        metavar="N",
        help="Number of characters in a line on a terminal.",
    )
    parser.checks.append(_check_picture)


def _check_picture(args: argparse.Namespace) -> None:
    """A picture that cannot be drawn is refused before the work is done."""
    if args.svg:
        pictures.check(args.svg)


def add_cluster_option(parser: Parser) -> None:
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Let the workers of a Dask cluster compute (address tls://..., or tcp://localhost:...).",
    )


def _no_excel(_: str) -> str:
    raise argparse.ArgumentTypeError("Excel files are not written; -c FILE writes CSV")


def add_input_options(parser: Parser, files: str = "+") -> None:
    """INPUTS and how they become the graph's input; what is left out comes from `aquant`, `set`.

    ``files`` is how many INPUTS there are, as argparse says it; "" for none.
    """
    if files:
        parser.add_argument(
            "input_files",
            nargs=files,
            metavar="INPUTS",
            completer=complete_input,
            help="Files, patterns or folders; NAME=PATTERN for each of several graph inputs.",
        )
    group = parser.add_argument_group("preparing inputs", "`help inputs` explains the order")
    add = group.add_argument
    add("-D", "--divisor", type=float, metavar="X", help="Divide values by X.")
    add("-O", "--offset", type=float, metavar="X", help="Add X after the division.")
    add(
        "-N",
        "--norm_func",
        metavar="FUNCTION",
        help='Norm function to use instead of -D and -O, as "x: x/128-1".',
    )
    add("-H", "--height", type=int, metavar="PIXELS", help="Resize images to this height.")
    add("-W", "--width", type=int, metavar="PIXELS", help="Resize images to this width.")
    add(
        "-T",
        "--transpose",
        action="store_const",
        const=True,
        help="Transpose images to channels first.",
    )
    add(
        "-M",
        "--mode",
        choices=MODES,
        metavar="MODE",
        help="Convert images to this mode (L, RGB, ...).",
    )
    add(
        "-F",
        "--nptype",
        choices=NUMBER_TYPES,
        metavar="TYPE",
        help="Data type of raw files (int8, ...).",
    )
    add(
        "-B",
        "--bit_shift",
        type=int,
        metavar="N",
        help="Shift integers left by N bits (right below 0).",
    )
    add(
        "--rgb888_rgb565",
        action="store_const",
        const=True,
        help="Round colours as 16-bit rgb565 does.",
    )
    add(
        "--zero_pad",
        type=int,
        nargs="+",
        metavar="N",
        help="Number of zeros to add before and after each axis.",
    )
    add(
        "--slices",
        type=_slice_end,
        nargs="+",
        metavar="N",
        help="Slice of each axis: start, stop, step; - leaves one open.",
    )
    parser.checks.append(_check_inputs)
    add("--limit", type=int, metavar="N", help="Take the first N samples, or with --seed any N.")
    add(
        "--seed",
        type=int,
        metavar="S",
        help="Seed that chooses the samples of --limit: equal seeds, equal samples.",
    )


def _check_inputs(args: argparse.Namespace) -> None:
    input_options(args)
    if args.norm_func:
        norm_functions.parse_norm(args.norm_func)


def _slice_end(text: str) -> int | None:
    return None if text in ("", "-", "None", "none", ":") else int(text)


def input_options(args: argparse.Namespace) -> InputOptions:
    """What the command line says about inputs; the rest stays None."""
    return InputOptions(
        divisor=args.divisor,
        offset=args.offset,
        height=args.height,
        width=args.width,
        transpose=args.transpose,
        mode=args.mode,
        nptype=args.nptype,
        norm_func=args.norm_func,
        bit_shift=args.bit_shift,
        rgb888_rgb565=args.rgb888_rgb565,
        zero_pad=None if args.zero_pad is None else tuple(args.zero_pad),
        slices=None if args.slices is None else tuple(args.slices),
        limit=args.limit,
        seed=args.seed,
    )


# Quantization options that are on or off: their name, and what "on" does.
_SWITCHES = (
    ("allow_asymmetric_out", "outputs may have a zero point"),
    ("narrow_weights", "weights from -127 to 127"),
    ("softmax_out_8bits", "softmax gives int8, not int16"),
    ("fit_scales", "weight scales are raised where 32 bits cannot carry a channel"),
)
_IDLE_SWITCHES = ("hwc", "use_ne16", "force_ne16")  # read, and refused with the reason when on
_CHOSEN = (
    ("force_input_size", (8, 16)),
    ("force_output_size", (8, 16)),
    ("force_external_size", (8, 16)),
)


def add_quantization_options(parser: Parser) -> None:
    """NNTool's quantization options; `--no_NAME` turns a switch off."""
    group = parser.add_argument_group("quantization", "`--no_NAME` turns a switch off")
    add = group.add_argument
    add(
        "-s",
        "--scheme",
        type=_scheme,
        choices=_SCHEMES,
        help="Scheme: SQ8 has 8 bits and scales, POW2 8 or 16 bits and powers of two.",
    )
    add(
        "-f",
        "--force_width",
        type=int,
        choices=_WIDTHS,
        metavar="BITS",
        help="Bits of weights and activations in the scheme POW2; 16 unless given.",
    )
    add("-b", "--bits", type=int, choices=(8, 16), metavar="BITS",
        help="The same as -f, which comes before it.")  # fmt: skip
    add(
        "--pow2_biases",
        type=int,
        choices=(0, 8, 16, 32),
        metavar="BITS",
        help="Bits of biases in the scheme POW2; 0: as many as weights have.",
    )
    add(
        "-d",
        "--quantized_dimension",
        choices=quantization_options.DIMENSIONS,
        help="Whether weights have a scale for each channel or for the tensor.",
    )
    add(
        "--clip_type",
        choices=quantization_options.CLIP_TYPES,
        metavar="TYPE",
        help="Which outliers of activations are cut off (`help clip_types`).",
    )
    add(
        "--weight_clip",
        choices=quantization_options.WEIGHT_CLIP_TYPES,
        metavar="TYPE",
        help="Which outliers of weights are cut off; auto: none at 8 bits, mse below.",
    )
    for name, what in (("weight_bits", "weights"), ("act_bits", "activations")):
        add(f"--{name}", type=int, choices=quantization_options.BITS, metavar="BITS",
            help=f"Bits of {what}; other than 8 for `--engine simulated`, 32: float.")  # fmt: skip
    add(
        "--json", metavar="FILE", completer=cmd2.Cmd.path_complete, help="Read options from a file."
    )
    for name, text in _SWITCHES:
        short = ("-n",) if name == "narrow_weights" else ()
        add(*short, f"--{name}", dest=name, action="store_const", const=True, help=text)
    for name in _IDLE_SWITCHES:
        add(f"--{name}", action="store_const", const=True, help=argparse.SUPPRESS)
    for name in (*(name for name, _ in _SWITCHES), *_IDLE_SWITCHES):
        add(f"--no_{name}", dest=name, action="store_const", const=False, help=argparse.SUPPRESS)
    for name, sizes in _CHOSEN:
        add(f"--{name}", type=int, choices=sizes, metavar="BITS", help=argparse.SUPPRESS)
    add("--float_type", metavar="TYPE", help=argparse.SUPPRESS)  # of the scheme FLOAT
    parser.checks.append(_check_quantization)


def _check_quantization(args: argparse.Namespace) -> None:
    quantization_options.QuantizationOptions.from_mapping(quantization_values(args))


def _scheme(text: str) -> str:
    if text.upper() not in _SCHEMES:
        schemes = ", ".join(_SCHEMES)
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {schemes}: as in `-s SQ8 FILES`")
    return text.upper()


def quantization_values(args: argparse.Namespace) -> dict[str, Any]:
    """The given quantization options by NNTool's names."""
    names = ["scheme", "quantized_dimension", "clip_type", "weight_clip"]
    names += ["weight_bits", "act_bits", "bits", "pow2_biases"]
    names += ["float_type", *_IDLE_SWITCHES, *(name for name, _ in (*_SWITCHES, *_CHOSEN))]
    values = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    fixed_point = args.scheme == "POW2" or (args.scheme is None and args.json)
    if not fixed_point and (args.force_width or args.bits or 8) != 8:
        hint = "add -s POW2, or leave the option out: SQ8 is 8 bits wide"
        raise UsageError(f"{args.force_width or args.bits} bits need the scheme POW2", hint=hint)
    if args.force_width == 32:
        raise UsageError("the kernels have no 32 bits", hint="-f 8 or -f 16")
    if args.force_width is not None:
        values["bits"] = args.force_width
    return values


def option_value(pair: str) -> tuple[str, Any]:
    """KEY=VALUE with the value as a flag, a whole number or a word; KEY alone is true."""
    key, equals, text = pair.partition("=")
    if not key:
        raise UsageError(f"'{pair}' is not KEY=VALUE", hint="as clip_type=std3")
    if not equals:
        return key, True
    if text.lower() in ("true", "false"):
        return key, text.lower() == "true"
    return key, int(text) if text.lstrip("-").isdecimal() else text


def options_file(path: str) -> dict[str, Any]:
    """A JSON object; UsageError when the file holds something else."""
    try:
        values = json.loads(read_text(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON", hint=str(error)) from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} does not hold options", hint='as {"clip_type": "std3"}')
    return values
