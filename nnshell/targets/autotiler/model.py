"""model.c: the plan as a C program that describes the network to the AutoTiler and runs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nnshell.ir.requests import POW2, SQ8
from nnshell.support.settings import Settings
from nnshell.targets.autotiler.options import (
    c_string,
    location,
    memory_devices,
    option_lines,
    sizes,
)
from nnshell.targets.autotiler.plan import C_TYPES, Binding, Kernel, Plan, Stack, Variable

_COPY_GENERATORS = {
    "CNN_Copy",
    "CNN_Convert",
    "CNN_MatTranspose",
    "CNN_3DTensorPermute",
    "CNN_ConcatLastAxis_Generator",
    "CNN_SplitLastAxis_Generator",
}
_RESIZE = {"GenerateResizeMultiChannel", "GenerateResizeMultiChannelQ16"}
# By scheme: generators, the library's loader, kernels.
_FILES = {
    SQ8: ("CNN_Generators_SQ8.h", "LoadCNN_SQ8_Library();", "CNN_BasicKernels_SQ8.h"),
    POW2: ("CNN_Generators.h", "LoadCNNLibrary();", "CNN_BasicKernels.h"),
}
RECURRENT_GENERATORS = {"RNN_Stack_SQ8", "GRU_Stack_SQ8", "LSTM_Stack_SQ8"}
_INDENT = "    "


def write_model(plan: Plan, settings: Settings, tensor_directory: str) -> str:
    """The text of model.c; ``tensor_directory`` is written into it as it is given."""
    name = plan.name
    body = (
        "SetSymbolDynamics();",
        _call("SetUsedFilesNames", ["0", *_counted(_headers(plan, settings))]),
        f'SetGeneratedFilesNames("{name}Kernels.c", "{name}Kernels.h");',
        "",
        *option_lines(settings),
        _call("SetMemoryDeviceInfos", ["4", *memory_devices(name, settings)]),
        "",
        *_libraries(plan),
        "",
        *(line for kernel in plan.kernels for line in _generator(kernel)),
        *_graph(plan, settings, tensor_directory),
    )
    lines = [_indented(line) for line in body]
    return "\n".join((*_preamble(plan, settings), *lines, "}", "", *_main(name, settings))) + "\n"


def _indented(text: str) -> str:
    return "\n".join(
        line if not line or line.startswith("#") else _INDENT + line for line in text.split("\n")
    )


def _call(function: str, arguments: Sequence[str]) -> str:
    """A call with an argument on each line."""
    return f"{function}({arguments[0]},\n" + ",\n".join(_INDENT + a for a in arguments[1:]) + ");"


def _counted(entries: Iterable[str]) -> list[str]:
    texts = [c_string(entry) for entry in entries]
    return [str(len(texts)), *texts]


def _headers(plan: Plan, settings: Settings) -> list[str]:
    """Headers that the generated kernels include."""
    headers = ["Gap.h", f"{plan.name}.h", *(_FILES[scheme][2] for scheme in plan.schemes)]
    if plan.functions & _RESIZE:
        headers.append("ResizeBasicKernels.h")
    if plan.expressions:
        headers.append(settings.basic_kernel_header_file)
    if "CNN_Copy" in plan.functions:
        headers.append("CNN_Copy.h")
    return headers


def _preamble(plan: Plan, settings: Settings) -> list[str]:
    includes = ["AutoTilerLib.h", *(_FILES[scheme][0] for scheme in plan.schemes)]
    if plan.functions & RECURRENT_GENERATORS:
        includes.append("RNN_Generators_SQ8.h")
    if plan.functions & _RESIZE:
        includes.append("ResizeGenerator.h")
    includes.append("CNN_Copy_Generators.h")
    if settings.include_project_header:
        includes.append(f"{plan.name}.h")
    lines = ["#include <stdint.h>", "#include <stdio.h>"]
    lines += [f'#include "{header}"' for header in includes]
    lines.append("")
    if plan.expressions:
        lines += ["static void LoadExpressionKernels(void)", "{"]
        lines += [expression.loader.rstrip("\n") for expression in plan.expressions]
        lines += ["}", ""]
        lines += [expression.generator for expression in plan.expressions]
    lines += [
        f"void {plan.name}Model(unsigned int L1Memory, unsigned int L2Memory,"
        " unsigned int L3Memory, unsigned int L3Flash)",
        "{",
    ]
    return lines


def _libraries(plan: Plan) -> list[str]:
    lines = [_FILES[scheme][1] for scheme in plan.schemes]
    if plan.functions & _RESIZE:
        lines.append("LoadResizeLibrary();")
    if plan.functions & RECURRENT_GENERATORS:
        lines.insert(1, "Load_RNN_SQ8_Library();")
    if plan.functions & _COPY_GENERATORS:
        lines.append("LoadCNN_Copy_Library();")
    if plan.expressions:
        lines.append("LoadExpressionKernels();")
    return lines


def _generator(kernel: Kernel) -> list[str]:
    """The generator's call, after its control block when it has one."""
    call = kernel.call
    control = f"gen_ctrl_{kernel.name}"
    lines = [f"/* {kernel.name}: {_remark(kernel)} */"]
    if call.controls:
        lines += [f"CNN_GenControl_T {control};", f"CNN_InitGenCtrl(&{control});"]
        lines += [
            f'CNN_SetGenCtrl(&{control}, "{name}", AT_OPT_VAL({value}));'
            for name, value in call.controls
        ]
    arguments = [c_string(kernel.name)]
    if call.takes_control:
        arguments.append(f"&{control}" if call.controls else "0")
    arguments += [str(argument) for argument in call.arguments]
    lines += [f"{call.function}({', '.join(arguments)});", ""]
    return lines


def _remark(kernel: Kernel) -> str:
    """Text for a comment: nothing in it can end the comment."""
    return (kernel.remark or f"node {kernel.node}").replace("*/", "* /").replace("\n", " ")


def _graph(plan: Plan, settings: Settings, tensor_directory: str) -> list[str]:
    before, after = (
        [_variable(v, settings, tensor_directory) for v in part]
        for part in ((*plan.inputs, *plan.constants, *plan.states), plan.outputs)
    )
    arguments = [*before, *([_RESET] if plan.resets else []), *after]
    inner = [_variable(v, settings, tensor_directory) for v in plan.locals]
    return [
        "#define GRAPH",
        "#ifdef GRAPH",
        f'CreateGraph("{plan.name}CNN",',
        _indented(_arguments(arguments) + ","),
        _indented(_arguments(inner)),
        ");",
        *(_stack(stack) for stack in (*plan.concats, *plan.splits)),
        *(_unused(stack) for stack in plan.splits if stack.unused),
        "",
        *(_node(kernel) for kernel in plan.kernels),
        *(_trace(kernel) for kernel in plan.kernels if kernel.trace is not None),
        "CloseGraph();",
        "#endif",
    ]


def _arguments(variables: Sequence[str]) -> str:
    if not variables:
        return "CArgs(0)"
    listed = ",\n".join(_INDENT + variable for variable in variables)
    return f"CArgs({len(variables)},\n{listed})"


_RESET = 'TCArgInfo("char", "Reset", ARG_SCOPE_ARG, ARG_DIR_IN, AT_MEM_L2, AT_MEM_UNDEF, 0)'
_SCOPES = {
    "input": ("ARG_SCOPE_ARG", "ARG_DIR_IN"),
    "output": ("ARG_SCOPE_ARG", "ARG_DIR_OUT"),
    "constant": ("ARG_SCOPE_GLOBAL", "ARG_DIR_CONSTIN"),
    "state": ("ARG_SCOPE_ARG_ALLOC", "ARG_DIR_IN"),
    "local": ("ARG_SCOPE_LOCAL", "ARG_DIR_INOUT"),
}


def _variable(variable: Variable, settings: Settings, tensor_directory: str) -> str:
    """A graph argument: type, name, scope, direction, home, execution, constant."""
    scope, direction = _SCOPES[variable.role]
    if variable.allocated:
        scope += "_ALLOC"
    if variable.role == "state":
        home = execute = "AT_MEM_L2"
    else:
        group = "global" if variable.role == "constant" else variable.role
        home = variable.home or _default(settings, f"default_{group}_home_location")
        execute = variable.execute or _default(settings, f"default_{group}_exec_location")
    constant = "0"
    if variable.role == "constant":
        path = c_string(f"{tensor_directory}/{variable.name}.tensor")
        constant = f"ConstInfo({path}, 1, 1, {variable.bits}, {variable.fraction_bits})"
    function = "TCArgInfoA" if variable.external else "TCArgInfo"
    kind = c_string(f"{C_TYPES[variable.dtype]} * __restrict__")
    fields = (kind, c_string(variable.name), scope, direction, home, execute, constant)
    return f"{function}({', '.join(fields)})"


def _default(settings: Settings, name: str) -> str:
    return location(str(settings[name]), f"setting {name}")


def _stack(stack: Stack) -> str:
    names = [stack.whole, str(len(stack.parts)), *stack.parts]
    quoted = [text if text.isdigit() else c_string(text) for text in names]
    return f"AddStackedTensors({', '.join(quoted)});"


def _unused(stack: Stack) -> str:
    return "\n".join(
        f"AT_UnusedStackMember({c_string(name)}, {size});" for name, size in stack.unused
    )


def _node(kernel: Kernel) -> str:
    arguments = [_argument(binding) for binding in kernel.bindings]
    listed = ",\n".join(_INDENT + argument for argument in arguments)
    return f"AddNode({c_string(kernel.name)}, Bindings({len(arguments)},\n{listed}));"


def _argument(binding: Binding) -> str:
    name = c_string(binding.variable)
    if binding.form == "tensor":
        return f"GNodeArg({'GNA_OUT' if binding.out else 'GNA_IN'}, {name}, 0)"
    if binding.form == "state":
        return f"GNodeArg(GNA_INOUT, {name}, {name})"
    return _ARGUMENTS[binding.form]


_ARGUMENTS = {"none": "AT_NO_ARG_BINDING", "reset": 'GNodeCArg("Reset")', "immediate": "Imm(0)"}


def _trace(kernel: Kernel) -> str:
    bindings = f"Bindings(2, Imm({kernel.trace}), Imm(0))"
    name = c_string(kernel.name)
    return f'AddCallToNode({name}, CALL_PROLOG, "gv_vcd_configure", {bindings});'


def _main(name: str, settings: Settings) -> list[str]:
    return [
        "int main(int argc, char **argv)",
        "{",
        "    if (TilerParseOptions(argc, argv)) {",
        '        printf("these are not options of the AutoTiler\\n");',
        "        return 1;",
        "    }",
        f"    {name}Model({sizes(settings)});",
        "    GenerateTilingCode();",
        "    return 0;",
        "}",
    ]
