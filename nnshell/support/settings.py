"""The settings of a session: their names, types, defaults and documentation.

``set NAME VALUE`` in the shell and ``settings.NAME`` in Python are the same values. The names are
NNTool's; the group "nnshell" holds what it does not have. A setting is one field of ``Settings``:
adding one is one line here.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from nnshell.support.errors import UsageError

Value = bool | int | float | str

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_NUMBER = re.compile(r"(?P<number>.*?)(?P<suffix>[kmg]i?)?", re.IGNORECASE | re.DOTALL)

# Other names of settings that exist.
_ALIASES = {"image_transpose": "input_transpose"}

# Names that settings had in older NNTool versions; some have become several.
_FORMERLY: dict[str, tuple[str, ...]] = {
    "dump_tensors": ("graph_dump_tensor",),
    "input_width": ("image_width",),
    "input_height": ("image_height",),
    **{
        f"default_{what}_location": (
            f"default_{what}_home_location",
            f"default_{what}_exec_location",
        )
        for what in ("input", "output", "global", "local")
    },
}

# Settings of older or other NNTool versions: scripts still set them and nothing follows from it.
_DROPPED = {
    "gen_name_suffix": "newer versions have no name suffix",
    "privileged_l3_flash_device": "GAP9 only",
    "privileged_l3_flash_size": "GAP9 only",
    "max_completion_items": "completion shows what fits the screen",
    "graph_l1_promotion": "`set kernel_buffer_promote` and kernel_partial_buffer_promote do this",
    "graph_l2_static_memory_budget": "`set l2_size` is the whole budget",
    "feedback_to_output": "results go to standard output, messages to standard error",
}

# Settings that keep their value for old scripts and change nothing.
_WITHOUT_EFFECT = {
    "load_dequantized": "without `open -q` a quantized model is read as a float one",
    "fusions": "use the command `fusions`",
    "weight_equalization": "use the command `weight_equalization`",
    "equalization_threshold": "use `weight_equalization --threshold X`",
    "adjust_image": "an image that fits the graph only transposed is transposed by itself",
    "template_file": "code templates of one's own are not supported",
    "at_ver": "files are written for AutoTiler 3",
}

_MODES = ("", "1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F")
_L2 = "AT_MEM_L2"
_FLASH = "AT_MEM_L3_HFLASH"
_RAM = "AT_MEM_L3_HRAM"
_UNDEFINED = "AT_MEM_UNDEF"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what `set` lists, completes and checks; names of files that end in ``suffix``
    are taken beside the choices."""

    name: str
    group: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: Value
    doc: str
    choices: tuple[Value, ...] = ()
    minimum: int | None = None
    suffix: str = ""

    def parse(self, text: str) -> Value:
        """The value that a word stands for; UsageError when it is none of this setting's."""
        value = _PARSERS[self.type](self, text)
        return self.check(value)

    def check(self, value: Value) -> Value:
        """The value itself when it has this setting's type and is one of its choices."""
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type:
            raise self._refuse(value, f"a value of type {self.type.__name__}")
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise self._refuse(value, f"{self.minimum} or more")
        if not self.choices:
            return value
        for choice in self.choices:
            if choice == value or str(choice).lower() == str(value).lower():
                return choice
        if self.suffix and str(value).lower().endswith(self.suffix):
            return value
        accepted = f"one of {', '.join(repr(c) for c in self.choices)}"
        raise self._refuse(value, accepted + (f", or a {self.suffix} file" if self.suffix else ""))

    def _refuse(self, value: object, accepted: str) -> UsageError:
        message = f"setting {self.name} does not take {value!r}"
        return UsageError(message, hint=f"give {accepted}")


def _parse_bool(setting: Setting, text: str) -> Value:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise setting._refuse(text, "true or false")


def _parse_int(setting: Setting, text: str) -> Value:
    number = _parse_number(setting, text, "a whole number such as 64000, 64k, 64Ki or 0xFA00")
    if number != int(number):
        raise setting._refuse(text, "a whole number")
    return int(number)


def _parse_float(setting: Setting, text: str) -> Value:
    return float(_parse_number(setting, text, "a number such as 0.5"))


def _parse_str(setting: Setting, text: str) -> Value:
    return text


def _parse_number(setting: Setting, text: str, accepted: str) -> int | float:
    match = _NUMBER.fullmatch(text.strip())
    assert match is not None, "the pattern takes every text"
    scale = _SUFFIXES[(match["suffix"] or "").lower()] if match["suffix"] else 1
    try:
        return int(match["number"], 0) * scale
    except ValueError:
        pass
    try:
        value = float(match["number"]) * scale
    except ValueError:
        raise setting._refuse(text, accepted) from None
    if value - value != 0.0:  # infinities and NaN
        raise setting._refuse(text, accepted)
    return value


_PARSERS = {bool: _parse_bool, int: _parse_int, float: _parse_float, str: _parse_str}


def _setting(
    default: Value,
    group: str,
    doc: str,
    choices: tuple[Value, ...] = (),
    minimum: int | None = None,
    suffix: str = "",
) -> Any:
    described = {"group": group, "doc": doc, "choices": choices, "minimum": minimum}
    return field(default=default, metadata=described | {"suffix": suffix})


@dataclass(slots=True)
class Settings:
    """The values of all settings, as attributes: ``settings.l1_size`` is an int."""

    # What open does by itself.
    load_quantization: bool = _setting(
        False, "import", "take over the quantization that a model file holds, as open -q does"
    )
    load_dequantized: bool = _setting(
        False, "import", "accepted for old scripts: quantized models are read as float without -q"
    )
    fusions: bool = _setting(False, "import", "accepted for old scripts: use the command fusions")
    adjust_order: bool = _setting(False, "import", "run adjust when a graph is opened")
    weight_equalization: bool = _setting(
        False, "import", "accepted for old scripts: use the command weight_equalization"
    )
    equalization_threshold: float = _setting(
        0.1, "import", "accepted for old scripts, as weight_equalization", minimum=0
    )

    # How images become the graph's input; commands' own options come before these.
    adjust_image: bool = _setting(
        False, "input", "accepted for old scripts: images are transposed as needed"
    )
    image_width: int = _setting(
        -1, "input", "resize images to this width in pixels; -1 keeps it", minimum=-1
    )
    image_height: int = _setting(
        -1, "input", "resize images to this height in pixels; -1 keeps it", minimum=-1
    )
    image_mode: str = _setting("", "input", "convert images to this mode first", _MODES)
    input_divisor: float = _setting(1.0, "input", "divide image values by this")
    input_offset: float = _setting(0.0, "input", "then add this to image values")
    input_norm_func: str = _setting("", "input", 'normalization of the input, as "x: x/128-1"')
    input_transpose: bool = _setting(False, "input", "turn height x width x channel images to CHW")

    # Names in generated files, messages.
    graph_name: str = _setting(
        "", "naming", "name of the graph in generated code; '' is the file's"
    )
    template_file: str = _setting(
        "", "naming", "accepted for old scripts: code templates are not read"
    )
    anonymise: bool = _setting(False, "naming", "hash node names in generated code")
    log_level: str = _setting(
        "INFO", "naming", "least message level shown", ("DEBUG", "INFO", "WARNING", "ERROR")
    )

    # Generated files.
    tensor_directory: str = _setting(".", "files", "directory of constant files")
    model_directory: str = _setting(".", "files", "directory of model.c and its headers")
    model_file: str = _setting("model.c", "files", "name of the AutoTiler model")
    basic_kernel_source_file: str = _setting(
        "Expression_Kernels.c", "files", "name of the source of generated expression kernels"
    )
    basic_kernel_header_file: str = _setting(
        "Expression_Kernels.h", "files", "name of the header of generated expression kernels"
    )
    include_project_header: bool = _setting(
        False, "files", "include a header named after the project in the model"
    )

    # The chip's memories and clocks.
    l1_size: int = _setting(
        64000, "memory", "L1 budget in bytes, cluster stacks included", minimum=1
    )
    l2_size: int = _setting(300000, "memory", "L2 budget in bytes", minimum=1)
    l3_size: int = _setting(8000000, "memory", "L3 RAM in bytes", minimum=0)
    l3_flash_mb: int = _setting(64, "memory", "L3 flash in MiB", minimum=0)
    cluster_stack_size: int = _setting(
        4096, "memory", "stack of the cluster's master core in bytes", minimum=0
    )
    cluster_slave_stack_size: int = _setting(
        1024, "memory", "stack of each other core in bytes", minimum=0
    )
    cluster_num_cores: int = _setting(8, "memory", "cores of the cluster", (1, 2, 4, 8))
    fc_freq: int = _setting(
        250_000_000, "memory", "clock of the fabric controller in Hz", minimum=1
    )
    cl_freq: int = _setting(175_000_000, "memory", "clock of the cluster in Hz", minimum=1)
    at_ver: int = _setting(3, "memory", "accepted for old scripts: files are for AutoTiler 3")
    AT_force_relu: bool = _setting(
        True, "memory", "write relu6 and relun as relu where the range already clips"
    )

    # Where things live.
    l3_ram_device: str = _setting(_RAM, "placement", "L3 RAM device, such as AT_MEM_L3_QSPIRAM")
    l3_flash_device: str = _setting(
        _FLASH, "placement", "L3 flash device, such as AT_MEM_L3_QSPIFLASH"
    )
    l2_ram_ext_managed: bool = _setting(True, "placement", "the application allocates L2")
    l3_ram_ext_managed: bool = _setting(False, "placement", "the application opens the L3 RAM")
    l3_flash_ext_managed: bool = _setting(False, "placement", "the application opens the L3 flash")
    default_input_home_location: str = _setting(_L2, "placement", "where inputs are kept")
    default_input_exec_location: str = _setting(_L2, "placement", "where inputs are used from")
    default_output_home_location: str = _setting(_L2, "placement", "where outputs are kept")
    default_output_exec_location: str = _setting(_L2, "placement", "where outputs are written")
    default_global_home_location: str = _setting(_FLASH, "placement", "where constants are kept")
    default_global_exec_location: str = _setting(
        _UNDEFINED, "placement", "where constants are used from; undefined: the AutoTiler chooses"
    )
    default_local_home_location: str = _setting(
        _UNDEFINED, "placement", "where intermediate tensors are kept"
    )
    default_local_exec_location: str = _setting(
        _UNDEFINED, "placement", "where intermediate tensors are used from"
    )

    # AutoTiler options, written to the model.
    kernel_buffer_promote: bool = _setting(
        True, "AutoTiler", "keep a whole tensor in L1 where it fits"
    )
    kernel_partial_buffer_promote: bool = _setting(
        True, "AutoTiler", "keep part of a tensor in L1 where that fits"
    )
    kernel_nosolution_error: bool = _setting(
        True, "AutoTiler", "stop when a kernel has no tiling that fits"
    )
    graph_monitor_cycles: bool = _setting(False, "AutoTiler", "count cycles per layer")
    graph_monitor_cvar_name: str = _setting(
        "AT_GraphPerf", "AutoTiler", "C variable of the cycle counts"
    )
    graph_produce_node_names: bool = _setting(False, "AutoTiler", "write a table of layer names")
    graph_produce_node_cvar_name: str = _setting(
        "AT_GraphNodeNames", "AutoTiler", "C variable of the layer names"
    )
    graph_produce_operinfos: bool = _setting(
        False, "AutoTiler", "write a table of operations per layer"
    )
    graph_produce_operinfos_cvar_name: str = _setting(
        "AT_GraphOperInfosNames", "AutoTiler", "C variable of the operations per layer"
    )
    graph_reorder_constant_in: bool = _setting(
        True, "AutoTiler", "reorder constants so that tiles are contiguous"
    )
    graph_trace_exec: bool = _setting(False, "AutoTiler", "print a line as each layer runs")
    graph_noinline_node: bool = _setting(
        False, "AutoTiler", "keep each layer a function of its own"
    )
    graph_pref_l3_exec: str = _setting(
        _RAM, "AutoTiler", "L3 device for tensors that do not fit L2"
    )
    graph_const_exec_from_flash: bool = _setting(
        False, "AutoTiler", "read constants from flash while running"
    )
    graph_pref_l3_home: str = _setting(_FLASH, "AutoTiler", "L3 device that keeps constants")
    graph_dump_tensor: int = _setting(
        0, "AutoTiler", "print tensors: 4 outputs, 6 inputs and outputs, 7 all", tuple(range(8))
    )
    graph_checksum: int = _setting(0, "AutoTiler", "print checksums of tensors", (0, 1))
    graph_dump_one_node: str = _setting("", "AutoTiler", "print the tensors of this layer only")
    graph_arg2struct: bool = _setting(False, "AutoTiler", "pass arguments in a structure")
    graph_size_opt: int = _setting(
        0, "AutoTiler", "code size: 1 shrinks layer code, 2 all code", (0, 1, 2)
    )
    graph_warm_construct: int = _setting(
        0, "AutoTiler", "keep what the constructor allocated between runs", (0, 1, 2, 3)
    )
    graph_group_weights: bool = _setting(
        False, "AutoTiler", "load weights and bias of a layer together"
    )
    graph_async_fork: bool = _setting(False, "AutoTiler", "start layers without waiting; GAP9 only")
    graph_dump_graph_outputs: bool = _setting(False, "AutoTiler", "print the graph's outputs")

    # nnshell's own.
    check_passes: bool = _setting(
        False, "nnshell", "compare float outputs before and after each pass"
    )
    int8_target: str = _setting(
        "simulation",
        "nnshell",
        "whose integers to compute where they differ",
        ("simulation", "chip"),
    )
    kernels: str = _setting(
        "autotiler-sq8",
        "nnshell",
        "kernel library that simulate assumes, or a table of one's own (.toml)",
        ("autotiler-sq8", "autotiler-pow2", "pulp-nn"),
        suffix=".toml",
    )
    chip: str = _setting(
        "", "nnshell", "chip that simulate assumes: a .toml file; '' is GAP8", ("",), suffix=".toml"
    )

    def __getitem__(self, name: str) -> Value:
        value: Value = getattr(self, describe(name).name)
        return value

    def assign(self, name: str, value: Value) -> Value:
        """Give a setting a value of its type; returns the value it had."""
        setting = describe(name)
        checked = setting.check(value)
        previous: Value = getattr(self, setting.name)
        setattr(self, setting.name, checked)
        return previous

    def parse(self, name: str, text: str) -> Value:
        """As `assign`, from the word typed after `set NAME`."""
        return self.assign(name, describe(name).parse(text))

    def copy(self) -> Settings:
        """The same values, independent of these."""
        return dataclasses.replace(self)

    def restore(self, saved: Settings) -> None:
        """Take the values of ``saved``; who holds this object sees them."""
        for name in SETTINGS:
            setattr(self, name, getattr(saved, name))

    def changed(self) -> Iterator[Setting]:
        """The settings that differ from their default."""
        return (s for s in SETTINGS.values() if getattr(self, s.name) != s.default)


def _describe_fields() -> dict[str, Setting]:
    described = {}
    for item in dataclasses.fields(Settings):
        default = cast(Value, item.default)
        described[item.name] = Setting(
            name=item.name, type=type(default), default=default, **item.metadata
        )
    return described


SETTINGS: dict[str, Setting] = _describe_fields()


def describe(name: str) -> Setting:
    """The setting of that name; UsageError with near names when there is none."""
    setting = SETTINGS.get(_ALIASES.get(name, name))
    if setting is not None:
        return setting
    near = difflib.get_close_matches(name, SETTINGS, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`set -v` lists all settings"
    raise UsageError(f"there is no setting {name!r}", hint=hint)


def current_names(name: str) -> tuple[str, ...]:
    """The settings that a name of an older NNTool version stands for; the name itself otherwise."""
    return _FORMERLY.get(name, (name,))


def why_dropped(name: str) -> str:
    """Why a setting of other NNTool versions does not exist here; "" when it is not one of them."""
    return _DROPPED.get(name, "")


def why_without_effect(name: str, text: str) -> str:
    """Why giving a setting this value changes nothing; "" when it does, or is the default."""
    if name in _DROPPED or text.lower() in (*_FALSE, ""):
        return _DROPPED.get(name, "")
    return _WITHOUT_EFFECT.get(name, "")
