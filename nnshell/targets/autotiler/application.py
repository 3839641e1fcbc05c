"""An application around the network: Makefile, main.c and README for the GAP SDK.

`make` in the folder replays the state with nntool, compiles the AutoTiler model with the SDK's
generators, runs it, and builds the application. Variables and functions are the SDK's public ones;
the SDK itself is not part of nnshell, so this was compiled against declarations only.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.graph import Graph
from nnshell.support.settings import Settings
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.plan import C_TYPES, Plan, Variable

_FLASH_TYPES = {
    "AT_MEM_L3_HFLASH": "AT_HYPERFLASH_FS_EXT_ADDR_TYPE",
    "AT_MEM_L3_QSPIFLASH": "AT_QSPIFLASH_FS_EXT_ADDR_TYPE",
    "AT_MEM_L3_OSPIFLASH": "AT_OSPIFLASH_FS_EXT_ADDR_TYPE",
    "AT_MEM_L3_MRAMFLASH": "AT_MRAMFLASH_FS_EXT_ADDR_TYPE",
    "AT_MEM_L3_DEFAULTFLASH": "AT_DEFAULTFLASH_FS_EXT_ADDR_TYPE",
}


def application_files(
    graph: Graph, settings: Settings, *, model: str, state: str, lines: Sequence[str]
) -> dict[str, str]:
    """File contents by name, for a quantized graph.

    ``model`` and ``state`` are names of files beside, ``lines`` the commands that made the graph.
    Raises the errors of ``generate``: what cannot be generated gets no application.
    """
    plan = build(graph, settings, anonymise=settings.anonymise)
    return {
        "Makefile": _makefile(),
        "common.mk": _common(plan.name, settings, model, state),
        "main.c": _main(plan, graph),
        f"{plan.name}.h": _header(plan.name, settings),
        "nntool_script": "".join(f"{line}\n" for line in (*lines, "save_state")),
        "README.md": _readme(plan.name, model, state),
    }


def _common(name: str, settings: Settings, model: str, state: str) -> str:
    stacks = settings.cluster_stack_size + settings.cluster_slave_stack_size * (
        settings.cluster_num_cores - 1
    )
    return f"""\
# What this application is made of; Makefile says how.
MODEL_PREFIX ?= {name}
TRAINED_MODEL ?= {model}
MODEL_STATE ?= {state}
NNTOOL_SCRIPT ?= nntool_script
NNTOOL ?= nntool

MODEL_BUILD ?= BUILD_MODEL
TENSORS_DIR = $(MODEL_BUILD)/tensors
MODEL_SRC = $(MODEL_PREFIX)Model.c
MODEL_HEADER = $(MODEL_PREFIX)Info.h

# Memories in bytes; the stacks of the cluster's cores lie in L1 as well.
CLUSTER_STACK_SIZE ?= {settings.cluster_stack_size}
CLUSTER_SLAVE_STACK_SIZE ?= {settings.cluster_slave_stack_size}
MODEL_L1_MEMORY ?= {settings.l1_size - stacks}
MODEL_L2_MEMORY ?= {settings.l2_size}
MODEL_L3_MEMORY ?= {settings.l3_size}
MODEL_L3_RAM ?= {settings.l3_ram_device}
MODEL_L3_FLASH ?= {settings.l3_flash_device}

FREQ_CL ?= {settings.cl_freq // 1_000_000}
FREQ_FC ?= {settings.fc_freq // 1_000_000}
"""


def _makefile() -> str:
    return """\
# make nntool_gen   the AutoTiler model and its constants, from the state (needs nntool only)
# make nntool_state the state anew, from the model and nntool_script (needs the images it names)
# make model        the network's C code (needs the GAP SDK)
# make all run      the application, on a board or with platform=gvsoc

include common.mk

AT_MODEL = $(MODEL_BUILD)/$(MODEL_SRC)
MODEL_GEN_EXE = $(MODEL_BUILD)/GenTile
MODEL_GEN_C = $(MODEL_BUILD)/$(MODEL_PREFIX)Kernels.c
MODEL_CONSTANTS = $(MODEL_BUILD)/$(MODEL_PREFIX)_L3_Flash_Const.dat
EXPRESSIONS = $(MODEL_BUILD)/Expression_Kernels.c

GENERATORS = $(TILER_CNN_GENERATOR_PATH)/CNN_Generator_Util.c
GENERATORS += $(TILER_CNN_GENERATOR_PATH)/CNN_Copy_Generators.c
GENERATORS += $(TILER_CNN_GENERATOR_PATH_SQ8)/CNN_Generators_SQ8.c
GENERATORS += $(wildcard $(TILER_CNN_GENERATOR_PATH)/ResizeGenerator.c)
GENERATORS += $(wildcard $(TILER_CNN_GENERATOR_PATH_SQ8)/RNN_Generators_SQ8.c)
GENERATOR_INCLUDES = -I. -I$(MODEL_BUILD) -I$(TILER_INC) -I$(TILER_EMU_INC)
GENERATOR_INCLUDES += -I$(TILER_CNN_GENERATOR_PATH) -I$(TILER_CNN_GENERATOR_PATH_SQ8)
KERNELS = $(wildcard $(TILER_CNN_KERNEL_PATH_SQ8)/*.c)
KERNELS += $(TILER_CNN_KERNEL_PATH)/CNN_AT_Misc.c $(TILER_CNN_KERNEL_PATH)/CNN_Copy.c

APP = $(MODEL_PREFIX)
APP_SRCS += main.c $(MODEL_GEN_C) $(EXPRESSIONS) $(KERNELS)
APP_CFLAGS += -O3 -mno-memcpy -fno-tree-loop-distribute-patterns
APP_CFLAGS += -I. -I$(MODEL_BUILD) -I$(TILER_INC) -I$(TILER_EMU_INC)
APP_CFLAGS += -I$(TILER_CNN_KERNEL_PATH) -I$(TILER_CNN_KERNEL_PATH_SQ8)
APP_CFLAGS += -DSTACK_SIZE=$(CLUSTER_STACK_SIZE) -DSLAVE_STACK_SIZE=$(CLUSTER_SLAVE_STACK_SIZE)
APP_CFLAGS += -DFREQ_CL=$(FREQ_CL) -DFREQ_FC=$(FREQ_FC)
READFS_FILES = $(abspath $(MODEL_CONSTANTS))
PLPBRIDGE_FLAGS += -f

all:: model

clean:: clean_model

nntool_state:
\t$(NNTOOL) -s $(NNTOOL_SCRIPT) $(TRAINED_MODEL)

$(AT_MODEL): $(MODEL_STATE)
\tmkdir -p $(MODEL_BUILD)
\t$(NNTOOL) -g -M $(MODEL_BUILD) -m $(MODEL_SRC) -T $(TENSORS_DIR) -H $(MODEL_HEADER) $<

nntool_gen: $(AT_MODEL)

$(MODEL_GEN_EXE): $(AT_MODEL)
\tgcc -g -o $@ $(GENERATOR_INCLUDES) $(AT_MODEL) $(GENERATORS) $(TILER_LIB)

$(MODEL_GEN_C): $(MODEL_GEN_EXE)
\t$(MODEL_GEN_EXE) -o $(MODEL_BUILD) -c $(MODEL_BUILD) --L1 $(MODEL_L1_MEMORY) \\
\t\t--L2 $(MODEL_L2_MEMORY) --L3 $(MODEL_L3_MEMORY)

model: $(MODEL_GEN_C)

clean_model:
\trm -rf $(MODEL_BUILD)

.PHONY: all clean model nntool_state nntool_gen clean_model

ifdef RULES_DIR
include $(RULES_DIR)/pmsis_rules.mk
endif
"""


def _header(name: str, settings: Settings) -> str:
    guard = f"{name.upper()}_H"
    address = _FLASH_TYPES.get(settings.l3_flash_device, _FLASH_TYPES["AT_MEM_L3_HFLASH"])
    return f"""\
#ifndef {guard}
#define {guard}

#include "Gap.h"

extern {address} {name}_L3_Flash;

#endif
"""


def _main(plan: Plan, graph: Graph) -> str:
    ends = [*plan.inputs, *plan.outputs]
    passed = [variable for variable in ends if not variable.allocated]
    arrays = "\n".join(_array(variable, graph) for variable in passed)
    given = [variable.name for variable in plan.inputs if not variable.allocated]
    read = [variable.name for variable in plan.outputs if not variable.allocated]
    reset = ["1 /* Reset: states start from zero */"] if plan.resets else []
    arguments = ", ".join((*given, *reset, *read))
    inside = [variable.name for variable in ends if variable.allocated]
    note = f" {', '.join(inside)}: allocated by the graph, see {plan.name}Kernels.h." * bool(inside)
    return f"""\
/* Runs {plan.name} once on the cluster; inputs are filled, outputs read where it says so.{note} */

#include <stdio.h>
#include "pmsis.h"
#include "{plan.name}.h"
#include "{plan.name}Kernels.h"
#include "{plan.name}Info.h"

{_flash_definition(plan.name)}

{arrays}

static void run_network(void *unused)
{{
    (void) unused;
    {plan.name}CNN({arguments});
}}

static void start(void)
{{
    struct pi_device cluster;
    struct pi_cluster_conf configuration;
    struct pi_cluster_task task = {{0}};

    pi_freq_set(PI_FREQ_DOMAIN_FC, FREQ_FC * 1000 * 1000);
    pi_cluster_conf_init(&configuration);
    pi_open_from_conf(&cluster, &configuration);
    if (pi_cluster_open(&cluster)) {{
        printf("the cluster does not open\\n");
        pmsis_exit(1);
    }}
    pi_freq_set(PI_FREQ_DOMAIN_CL, FREQ_CL * 1000 * 1000);

    if ({plan.name}CNN_Construct()) {{
        printf("not enough memory for the network\\n");
        pmsis_exit(2);
    }}

    /* Here: put integers into the inputs; {plan.name}Info.h has their scale and zero point. */

    task.entry = run_network;
    task.stack_size = STACK_SIZE;
    task.slave_stack_size = SLAVE_STACK_SIZE;
    pi_cluster_send_task_to_cl(&cluster, &task);

    /* Here: read the outputs. */

    {plan.name}CNN_Destruct();
    pi_cluster_close(&cluster);
    pmsis_exit(0);
}}

int main(void)
{{
    return pmsis_kickoff((void *) start);
}}
"""


def _flash_definition(name: str) -> str:
    return f"__typeof__({name}_L3_Flash) {name}_L3_Flash = 0;"


def _array(variable: Variable, graph: Graph) -> str:
    count = graph[variable.node].outputs[0].size
    return f"static {C_TYPES[variable.dtype]} {variable.name}[{count}];"


def _readme(name: str, model: str, state: str) -> str:
    return f"""\
# {name}

An application for GAP8 around the network of `{model}`.

| file | what it is |
|---|---|
| `{model}` | the model |
| `{state}` | the state: the commands that prepared it and its calibration; no images are needed |
| `nntool_script` | the same commands to be changed; `make nntool_state` runs them (with images) |
| `common.mk` | names, memories, clocks |
| `Makefile` | from the state to the application |
| `main.c`, `{name}.h` | a skeleton that runs the network once |

    make nntool_gen                           # model.c, header and constants: needs nntool only
    source $GAP_SDK_HOME/sourceme.sh          # from here on the GAP SDK is needed
    make clean all run platform=gvsoc

Where inputs are filled and outputs are read is marked in `main.c`. The AutoTiler part of the
Makefile uses the SDK's variables (`TILER_LIB`, `TILER_CNN_GENERATOR_PATH_SQ8` ...); SDK versions
differ in the files that hold generators and kernels, so the lists in it may need a change.
"""
