"""For each option of each command: a line in which it must show.

``COMMANDS`` has for each command its own options; groups of options that commands share have one
table each. Keys are an option's longest spelling, or the name of an argument that may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Fails(Enum):
    """Which of the two lines ends in an error."""

    NEITHER = "neither"
    WITHOUT = "without"
    WITH = "with"


@dataclass(frozen=True, slots=True)
class Case:
    """A line with and without ``words``.

    ``also`` stands in the line both times, before them, after the command's ``base``. Fields that
    are not None replace the command's own.
    ``idle``: the option is documented as one that changes nothing, and must not.
    """

    words: str
    base: str | None = None
    also: str = ""
    setup: str | None = None
    model: str | None = None
    inputs: str | None = None
    then: tuple[str, ...] | None = None
    fails: Fails = Fails.NEITHER
    terminal: bool = False
    idle: bool = False
    needs: str = ""  # a package without which the option is refused


@dataclass(frozen=True, slots=True)
class Command:
    """How a command is used: the words before an option, the session, the lines that follow.

    ``{inputs}`` in ``base`` and ``then`` are files that fit the model.
    """

    setup: str = "fused"
    base: str = ""
    then: tuple[str, ...] = ()
    groups: tuple[Mapping[str, Case], ...] = ()
    options: Mapping[str, Case] = field(default_factory=dict)
    model: str = "data"


OPEN = ("open {model}.onnx",)
FUSED = (*OPEN, "adjust", "fusions --scale8")
QUANTIZED = (*FUSED, "aquant {model}.npz")
SETUPS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "open": OPEN,
    "fused": FUSED,
    "quantized": QUANTIZED,
    "narrow": (*FUSED, "aquant {model}.npz --weight_bits 3 --act_bits 6"),
    "stored": (*QUANTIZED, "dump {model}.npz -S floats", "dump {model}.npz -q -d -S integers"),
    "two graphs": ("open grey.onnx", "open -n data.onnx"),
    "options": (*OPEN, "nodeoption * VCD_TRACE_ON 1", "nodeoption conv_c1 DUMP_TENSORS 1"),
    "variable": ("set_var WHERE here",),
    "ranges": (*QUANTIZED, "save_stats ranges.json", *FUSED),
    "moved": (
        *("open gone.onnx", "fusions --scale8", "aquant data.npz", "save_state moved.json"),
        "run_pyscript move.py",
    ),
}
FAILS, WITHOUT = Fails.WITH, Fails.WITHOUT
KEPT = Case("", idle=True)  # the option alone
IMAGES = "square/*"
ROWS = "{inputs} --predictions --format json"

INPUTS: dict[str, Case] = {
    "--divisor": Case("-D 2"),
    "--offset": Case("-O 1"),
    "--norm_func": Case('-N "x: -x"'),
    "--height": Case("-H 3", also="-D 255", inputs="tall/*", fails=WITHOUT),
    "--width": Case("-W 3", also="-D 255", inputs="wide/*", fails=WITHOUT),
    "--transpose": Case("-T", inputs="cube.npy"),
    "--mode": Case("-M HSV", also="-D 255", inputs=IMAGES),
    "--nptype": Case("-F int8", also="-D 64", inputs=IMAGES),
    "--bit_shift": Case("-B -1", inputs="whole.npy"),
    "--rgb888_rgb565": Case(
        "--rgb888_rgb565", also="-D 65536", inputs=IMAGES, model="grey", fails=WITHOUT
    ),
    "--zero_pad": Case("--zero_pad 0 0 0 0 0 1", inputs="short.npy", fails=WITHOUT),
    "--slices": Case("--slices - - -1 - - - - - -1", inputs="cube.npy"),
    "--limit": Case("--limit 2"),
    "--seed": Case("--seed 3", also="--limit 2"),
}
TABLE: dict[str, Case] = {
    "--format": Case("--format json"),
    "--columns": Case("--columns nothing", fails=FAILS),
    "--terminal": Case("-t", idle=True),
    "--csv": Case("-c table.csv"),
    "--svg": Case("--svg table.svg", needs="matplotlib"),
    "--xls": Case("-x table.xls", fails=FAILS),
    "--table_width": Case("-w 40", terminal=True),
}
FORMAT = {"--format": TABLE["--format"]}
CLUSTER = {"--cluster": Case("--cluster nowhere://", fails=FAILS)}
QUANTIZATION: dict[str, Case] = {
    "--scheme": Case("-s POW2"),
    "--force_width": Case("-f 8", also="-s POW2"),
    "--bits": Case("-b 8", also="-s POW2"),
    "--pow2_biases": Case("--pow2_biases 32", also="-s POW2"),
    "--float_type": Case("--float_type float16", fails=FAILS),
    "--quantized_dimension": Case("-d tensor"),
    "--clip_type": Case("--clip_type std1"),
    "--weight_clip": Case("--weight_clip std1"),
    "--weight_bits": Case("--weight_bits 4"),
    "--act_bits": Case("--act_bits 4"),
    "--json": Case("--json options.json"),
    "--allow_asymmetric_out": Case("--allow_asymmetric_out", also="--no_allow_asymmetric_out"),
    "--narrow_weights": Case("-n", also="--no_narrow_weights"),
    "--softmax_out_8bits": Case("--softmax_out_8bits"),
    "--fit_scales": Case("--fit_scales", then=("qtunesave saved.json",)),
    "--no_allow_asymmetric_out": Case("--no_allow_asymmetric_out"),
    "--no_narrow_weights": Case("--no_narrow_weights"),
    "--no_fit_scales": Case("--no_fit_scales", also="--fit_scales", then=("qtunesave saved.json",)),
    "--no_softmax_out_8bits": Case("--no_softmax_out_8bits", also="--softmax_out_8bits"),
}
for _name in ("hwc", "use_ne16", "force_ne16"):  # refused, unless taken back on the same line
    QUANTIZATION[f"--{_name}"] = Case(f"--{_name}", fails=FAILS)
    QUANTIZATION[f"--no_{_name}"] = Case(f"--no_{_name}", also=f"--{_name}", fails=WITHOUT)
for _name in ("input", "output", "external"):
    QUANTIZATION[f"--force_{_name}_size"] = Case(f"--force_{_name}_size 16", fails=FAILS)

SHOWN = ("qshow --format csv",)
IMPORT: dict[str, Case] = {
    "--load_quantization": Case("-q", base="integers.onnx", then=("qshow",), fails=WITHOUT),
    "--no_fold_batchnorm": Case("--no_fold_batchnorm"),
    "--no_remove_quantize_ops": KEPT,
    "--no_rescale_perchannel": KEPT,
    "--use_hard_tanh": Case("--use_hard_tanh", fails=FAILS),
    "--use_hard_sigmoid": Case("--use_hard_sigmoid", fails=FAILS),
    "--use_lut_tanh": KEPT,
    "--use_lut_sigmoid": KEPT,
    "--subs": Case("--subs SIZE=3", base="sizes.onnx", fails=WITHOUT),
    "--input_shapes": Case("--input_shapes x=[1,3,3,3]", base="sizes.onnx", fails=WITHOUT),
    "--outputs": Case("--outputs conv_c1"),
    "--fixed_inputs": Case("--fixed_inputs x=[0]", fails=FAILS),
    "--orgmodel_path": Case(
        "--orgmodel_path found.onnx", base="moved.json", setup="moved", fails=WITHOUT
    ),
    "--out_ranges": Case("--out_ranges ranges.json", fails=FAILS),
}

COMMANDS: dict[str, Command] = {
    "open": Command("nothing", "data.onnx", ("show", "graph"), (IMPORT,), {
        "--new": Case("-n", setup="open"),
    }),
    "show": Command("fused", "", (), (TABLE,), {
        "selector": Case("1"),
        "--show_constants": Case("-s"),
        "--origin": Case("--origin"),
    }),
    "graph": Command("two graphs", options={"number": Case("0")}),
    "statistics": Command(groups=(TABLE,), options={
        "--table_width": Case("-w 20", terminal=True),
    }),
    "temps": Command(groups=(TABLE,)),
    "draw": Command("quantized", "-f graph.dot", options={
        "selector": Case("1"),
        "--filename": Case("-f graph.dot", base=""),
        "--show_constants": Case("-s"),
        "--show_fusions": Case("-F"),
        "--quantization": Case("-q"),
        "--anonymise": Case("-y"),
        "--all_dims": Case("-a", idle=True),
    }),
    "verify": Command(),
    "adjust": Command("open", then=("show",), model="last", options={
        "--no_postprocess": Case("-n"),
        "--one_cycle": Case("-o"),
        "--num_steps": Case("-s 0"),
    }),
    "fusions": Command("open", "--scale8", ("show",), (), {
        "--scaled_match_group": Case("--scale8", base=""),
        "--pow2_match_group": Case("--pow2", base=""),
        "--float_match_group": Case("--float_match_group", base=""),
        "--list": Case("-l", base=""),
        "--explain": Case("--explain 1", base=""),
        "--apply": Case("-a fuse_conv_pool_activation", base=""),
        "--no_postprocess": Case("--no_postprocess", idle=True),
        "--format": Case("--format json", base="-l"),
    }),
    "imageformat": Command("open", "input_1", ("show",), options={
        "format": Case("rgb888", fails=FAILS),
        "norm": Case("offset_int8", base="input_1 rgb888", fails=WITHOUT),
    }),
    "nodeoption": Command("options", then=("nodeoption",), options={
        "selector": Case("1"),
        "key": Case("VCD_TRACE_ON", base="conv_c1"),
        "value": Case("0", base="conv_c1 VCD_TRACE_ON"),
    }),
    "freeze": Command("open", "input_1", ("show",), options={
        "--transpose": Case("--transpose 2,0,1"),
    }),
    "remove": Command("open", "relu_r1", ("show",), options={
        "last": Case("globalmaxpool_p2"),
        "--up": Case("-u"),
        "--leave": Case("--leave"),
        "--no_check": Case("--no_check", idle=True),
    }),
    "extract": Command(),
    "undo": Command(),
    "passes": Command(groups=(FORMAT,), options={"--all": Case("-a")}),
    "aquant": Command("fused", "{inputs}", SHOWN, (INPUTS, QUANTIZATION), {
        "input_files": Case("data.npz", base="", fails=WITHOUT),
        "--stats": Case("--stats ranges.json", base="", setup="ranges", fails=WITHOUT),
    }),
    "fquant": Command("fused", "", SHOWN, (QUANTIZATION,), {
        "--uniform": Case("--uniform 3"),
        "--normal": Case("--normal 2"),
        "--num_inference": Case("--num_inference 3"),
        "--seed": Case("--seed 1"),
    }),
    "qtune": Command("quantized", "", SHOWN, (), {
        "--step": Case("--step * quantized_dimension=tensor", fails=WITHOUT),
        "--json": Case("--json tune.json", fails=WITHOUT),
    }),
    "qtunesave": Command(),
    "export": Command("quantized", "graph.onnx", options={
        "folder": Case("project", base="c"),
        "--form": Case("--form float"),
        "--batch": Case("--batch 2", base="c project"),
        "--layout": Case("--layout simple", base="c project"),
    }),
    "explain": Command("quantized", "gemm_g3 --input {inputs}", groups=(INPUTS,), options={
        "node": Case("gemm_g3", base="formula"),
        "--channel": Case("--channel 2", base="scales gemm_g3"),
        "--at": Case("--at 0"),
        "--input": Case("--input data.npz", base="gemm_g3"),
        "--json": Case("--json value.json"),
        "--limit": Case("--limit 1", also="--seed 3"),
        "--seed": Case("--seed 3", also="--limit 1"),
    }),
    "size": Command("quantized", groups=(TABLE,), options={"--json": Case("--json size.json")}),
    "sweep": Command("fused", "{inputs} --bits 8", groups=(CLUSTER, INPUTS, TABLE), options={
        "--bits": Case("--bits 4", base="{inputs} --act_bits 6"),
        "--weight_bits": Case("--weight_bits 3"),
        "--act_bits": Case("--act_bits 3", base="{inputs} --weight_bits 8"),
        "--clip_type": Case("--clip_type std1"),
        "--weight_clip": Case("--weight_clip std1"),
        "--quantized_dimension": Case("--quantized_dimension tensor"),
        "--allow_asymmetric_out": Case("--allow_asymmetric_out false"),
        "--quantize": Case("--quantize weights"),
        "--calibration": Case("--calibration 1"),
        "--option": Case("--option narrow_weights=true,false"),
        "--published": Case("--published published.csv"),
        "--calibrate_on": Case("--calibrate_on whole.npy"),
        "--json": Case("--json rows.json"),
    }),
    "ls": Command("nothing", options={"path": Case("square")}),
    "cd": Command("nothing", "."),
    "pwd": Command("nothing"),
    "quantize_values": Command("nothing", "-0.16 -0.04 0.07 -0.08 0 15", groups=(TABLE,), options={
        "numbers": Case("1 2 3", base="--file numbers.txt"),
        "--file": Case("--file numbers.txt"),
        "--node": Case("--node 1", setup="fused"),
        "--input": Case("--input data.npz", base="--node 3 --clip_type none", setup="fused"),
        "--bits": Case("--bits 4"),
        "--levels": Case("--levels 255"),
        "--clip_type": Case("--clip_type none"),
        "--form": Case("--form unsigned"),
        "--json": Case("--json q.json"),
    }),
    "sensitivity": Command("narrow", "{inputs}", (), (CLUSTER, INPUTS, TABLE)),
    "mixed": Command("quantized", "{inputs} --size 150", (), (INPUTS, TABLE), {
        "--drop": Case("--drop 20", base="{inputs}", fails=WITHOUT),
        "--size": Case("--size 150", base="{inputs}", fails=WITHOUT),
    }),
    "weight_equalization": Command("narrow", "{inputs}", SHOWN, (INPUTS, TABLE), {
        "--threshold": Case("--threshold 10", then=()),
        "input_files": Case("data.npz", base="", fails=WITHOUT),
    }),
    "bcorr": Command("narrow", "{inputs}", SHOWN, (INPUTS,), {
        "--analytic": Case("--analytic"),
    }),
    "scale_search": Command("narrow", "{inputs}", SHOWN, (INPUTS,)),
    "adaround": Command("narrow", "{inputs}", SHOWN, (INPUTS,), {
        "--method": Case("--method brecq --iterations 2", needs="torch"),
        "--ranges": Case("--ranges"),
        "--iterations": Case("--iterations 20", base="{inputs} --method brecq", needs="torch"),
        "--drop": Case("--drop 0.9", base="{inputs} --method brecq --iterations 5", needs="torch"),
    }),
    "qat": Command("fused", "{inputs} --weight_bits 4 --act_bits 4 --lr 0.01", SHOWN,
                   (INPUTS, {**TABLE, "--table_width": Case("-w 40", terminal=True)}), {
        "--quantizer": Case("--quantizer pact"),
        "--weight_bits": Case("--weight_bits 3", base="{inputs}"),
        "--act_bits": Case("--act_bits 3", base="{inputs}"),
        "--end_bits": Case("--end_bits 4"),
        "--gradient_bits": Case("--gradient_bits 2", also="--quantizer dorefa"),
        "--step": Case("--step gemm_g3 weight_bits=2"),
        "--config": Case("--config layers.json"),
        "--calibration_config": Case("--calibration_config calibration.json"),
        "--epochs": Case("--epochs 2"),
        "--batch": Case("--batch 2"),
        "--lr": Case("--lr 0.05"),
        "--momentum": Case("--momentum 0", also="--optimizer sgd --batch 2"),
        "--weight_decay": Case("--weight_decay 5"),
        "--warm_up": Case("--warm_up 1", also="--batch 2"),
        "--patience": Case("--patience 1", base="{inputs} --lr 1e-20 --epochs 3"),
        "--label_smoothing": Case("--label_smoothing 0.5"),
        "--temperature": Case("--temperature 1", also="--loss distill"),
        "--crop": Case("--crop 2"),
        "--held_out": Case("--held_out 0.5"),
        "--clip_norm": Case("--clip_norm 1e-6", also="--optimizer sgd --lr 1 --batch 2"),
        "--optimizer": Case("--optimizer sgd"),
        "--schedule": Case("--schedule step", also="--batch 1"),
        "--loss": Case("--loss distill"),
        "--flip": Case("--flip"),
        "--checkpoint": Case("--checkpoint run.npz"),
        "--resume": Case("--resume", fails=FAILS),
    }),
    "init": Command("fused", "all", ("weights",), (), {
        "--seed": Case("--seed 1"),
    }),
    "outliers": Command("quantized", "{inputs}", (), (INPUTS, TABLE), {
        "input_files": Case("data.npz", base=""),
    }),
    "qshow": Command("quantized", "", (), (TABLE,), {"selector": Case("1")}),
    "qerror": Command("quantized", "{inputs}", (), (INPUTS, TABLE), {
        "--inner": Case("-i"),
        "--engine": Case("--engine simulated"),
        "--step": Case("-s"),
        "--report_lowest": Case("-r 100"),
    }),
    "report": Command("quantized", "page.html {inputs}", (), (INPUTS,), {
        "input_files": Case("data.npz", base="page.html", needs="jinja2"),
        **{name: replace(case, needs="jinja2") for name, case in INPUTS.items()},
    }),
    "compare": Command("nothing", "paired.onnx {inputs}", (), (INPUTS, TABLE), {
        "input_files": Case("data.npz", base="paired.onnx"),
        "--json": Case("--json result.json"),
        "--rgb888_rgb565": Case(
            "--rgb888_rgb565", base="paired_grey.onnx {inputs}", also="-D 65536", inputs=IMAGES,
            fails=WITHOUT,
        ),
    }),
    "validate": Command("quantized", ROWS, (), (CLUSTER, INPUTS, TABLE), {
        "--quantize": Case("-q"),
        "--engine": Case("--engine simulated"),
        "--silent": Case("-s", idle=True),
        "--metric": Case("--metric mse"),
        "--predictions": Case("--predictions", base="{inputs}"),
        "--confusion": Case("--confusion", base="{inputs}"),
        "--json": Case("--json result.json"),
        "--prediction_step_idx": Case("--prediction_step_idx 7"),
        "--format": Case("--format json", base="{inputs} --predictions"),
        "--terminal": Case("-t", base="{inputs} --predictions", idle=True),
        "--table_width": Case("-w 40", base="{inputs} --predictions", terminal=True),
        "--label_json": Case("--labels labels.txt"),
        "--class_number": Case("--class_number 1"),
        "--stream": Case("--stream", fails=FAILS),
        "--binary_classification": Case("--binary_classification", model="one", fails=WITHOUT),
        "--class_thr": Case(
            "--class_thr -2", base="{inputs} --binary_classification", model="one"
        ),
        "--progress_every": Case("--progress_every 1", idle=True),
        "--dataset_dir": Case("--dataset_dir .", idle=True),
    }),
    "speed": Command("quantized", "{inputs}", groups=(FORMAT,), options={
        "--batch": Case("--batch 2"),
        "--threads": Case("--threads 3"),
        "--json": Case("--json speed.json"),
    }),
    "weights": Command(groups=(TABLE,), options={
        "selector": Case("1"),
        "--channels": Case("--channels"),
        "--hist": Case("--hist"),
        "--values": Case("--values", base="1"),
        "--int": Case("--int", base="1", setup="quantized"),
        "--channel": Case("--channel 1", base="1 --values"),
    }),
    "stats": Command(groups=(TABLE,), options={
        "--qsnr": Case("-q 3", idle=True),
        "--detail": Case("-d", idle=True),
    }),
    "activations": Command("fused", "{inputs}", (), (INPUTS, TABLE), {
        "input_files": Case("data.npz", base="", setup="quantized"),
        "--hist": Case("--hist"),
        "--qsnr": Case("-q 3", idle=True),
        "--detail": Case("-d", idle=True),
    }),
    "astats": Command("fused", "{inputs}", (), (INPUTS, TABLE), {
        "input_files": Case("data.npz", base="", setup="quantized"),
        "--hist": Case("--hist"),
        "--qsnr": Case("-q 3", idle=True),
        "--detail": Case("-d", idle=True),
    }),
    "dump": Command("quantized", "{inputs}", (), (INPUTS,), {
        "--quantize": Case("-q"),
        "--engine": Case("--engine simulated"),
        "--quantize_all_steps": Case("-A", base="{inputs} -q"),
        "--dequantize": Case("-d", base="{inputs} -q"),
        "--step": Case("-s output_1"),
        "--channel": Case("-c 0"),
        "--number_width": Case("-w 20"),
        "--precision": Case("-p 1"),
        "--checksum": Case("--checksum"),
        "--npz": Case("--npz tensors.npz"),
        "--save": Case("-S kept", then=("tensors",)),
    }),
    "tensors": Command("stored", "-t floats", ("tensors",), (), {
        "--tensors": Case("-t floats integers", base=""),
        "--step": Case("-s output_1"),
        "--sample": Case("-n 1"),
        "--channel": Case("-c 0"),
        "--write_numpy": Case("--write_numpy tensors.npz"),
        "--clear": Case("-X", base=""),
        "--format": Case("--format json", base="-t floats integers"),
        "--qsnr": Case("-Q", idle=True),
        "--cos": Case("-C", idle=True),
        "--error": Case("-E", idle=True),
        "--makefile": Case("-m", idle=True),
    }),
    "simulate": Command("quantized", "", (), (CLUSTER, TABLE), {
        **{name: replace(case, also=f"{{inputs}} {case.also}")
           for name, case in INPUTS.items()},
        "--cluster": Case("--cluster nowhere://", base="--l1 48k", fails=FAILS),
        "--svg": Case("--svg table.svg", base="--l1 48k,32k", needs="matplotlib"),
        "input_files": Case("data.npz"),
        "--summary": Case("--summary"),
        "--explain": Case("--explain 3"),
        "--tiled": Case("--tiled", base="{inputs}"),
        "--memory": Case("--memory"),
        "--json": Case("--json report.json"),
        "--trace": Case("--trace trace.json"),
        "--kernels": Case("--kernels pulp-nn"),
        "--chip": Case("--chip half.toml"),
        "--cores": Case("--cores 1,4"),
        "--fc_freq": Case("--fc_freq 100M"),
        "--cl_freq": Case("--cl_freq 100M"),
        "--voltage": Case("--voltage 1.0,1.2"),
        "--l1": Case("--l1 48k,32k"),
        "--l2": Case("--l2 300k,200k"),
    }),
    "gen": Command("quantized", "-M out", (), (), {
        "model_file": Case("other.c"),
        "--model_directory": Case("-M out", base=""),
        "--tensor_directory": Case("-T tensors", base="-M out -t"),
        "--output_tensors": Case("-t"),
        "--header_file": Case("-H net.h"),
        "--anonymise": Case("--anonymise"),
        "--basic_kernel_source_file": Case("--basic_kernel_source_file own.c", model="kernel"),
        "--basic_kernel_header_file": Case("--basic_kernel_header_file own.h", model="kernel"),
    }),
    "gen_project": Command("quantized", "application", options={"--overwrite": Case("-o")}),
    "save_state": Command("quantized", options={"path": Case("states/net.json")}),
    "save_stats": Command(),
    "set": Command("nothing", then=("set l1_size",), options={
        "--verbose": Case("-v"),
        "name": Case("l1_size"),
        "value": Case("20000", base="l1_size"),
    }),
    "set_var": Command("variable", then=("set_var",), options={
        "name": Case("WHERE"),
        "value": Case("there", base="WHERE"),
    }),
    "tutorial": Command("nothing", options={
        "name": Case("own.md", fails=FAILS),
        "--auto": Case("--auto", base="own.md", fails=WITHOUT),
        "--step": Case("--step 2", base="own.md", terminal=True),
        "--output": Case("--output kept", base="own.md --auto"),
        "--language": Case("--language xx", base="own.md --auto", fails=FAILS),
        "--data": Case("--data .", base="own.md --auto", fails=FAILS),
    }),
    "lab": Command("nothing", "e", groups=(TABLE,), options={
        "name": Case("a", base=""),
        "--data": Case("--data .", fails=FAILS),
        "--limit": Case("--limit 5", base="i"),
        "--calibration": Case("--calibration 1", base="d"),
    }),
    "doctor": Command("nothing", groups=(FORMAT,)),
    "help": Command("nothing", options={"--verbose": Case("-v"), "topic": Case("aquant")}),
    "history": Command("fused", options={
        "--script": Case("-s"),
        "--typed": Case("-t"),
        "--last": Case("-n 1"),
    }),
    "run_script": Command(),
    "run_pyscript": Command("nothing", "words.py", options={"arguments": Case("a b")}),
    "quit": Command(),
    "exit": Command(),
}  # fmt: skip

TWICE = "{inputs} {inputs} --lr 0.01"  # a sample to train on, and one to judge by
COMMANDS["qat"] = replace(
    COMMANDS["qat"],
    groups=tuple(
        {
            name: replace(case, needs="torch", base=TWICE if case.inputs else case.base)
            for name, case in group.items()
        }
        for group in COMMANDS["qat"].groups
    ),
    options={name: replace(case, needs="torch") for name, case in COMMANDS["qat"].options.items()},
)
