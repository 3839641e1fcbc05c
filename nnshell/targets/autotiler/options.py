"""Settings as AutoTiler calls: graph and kernel options, memory devices, tensor locations."""

from __future__ import annotations

import re

from nnshell.support.errors import UsageError
from nnshell.support.settings import SETTINGS, Settings

# In the order in which model.c gives them; each is AT_ and its name in capitals.
KERNEL_OPTIONS = (
    "kernel_buffer_promote",
    "kernel_partial_buffer_promote",
    "kernel_nosolution_error",
)
GRAPH_OPTIONS = (
    "graph_monitor_cycles",
    "graph_monitor_cvar_name",
    "graph_produce_node_names",
    "graph_produce_node_cvar_name",
    "graph_produce_operinfos",
    "graph_produce_operinfos_cvar_name",
    "graph_reorder_constant_in",
    "graph_trace_exec",
    "graph_noinline_node",
    "graph_pref_l3_exec",
    "graph_const_exec_from_flash",
    "graph_pref_l3_home",
    "graph_dump_tensor",
    "graph_checksum",
    "graph_dump_one_node",
    "graph_arg2struct",
    "graph_size_opt",
    "graph_warm_construct",
    "graph_group_weights",
    "graph_async_fork",
    "graph_dump_graph_outputs",
)
# Their values are enumerators, not texts: in quotes the AutoTiler would read an address.
_ENUMERATOR_OPTIONS = ("graph_pref_l3_exec", "graph_pref_l3_home")

LOCATIONS = (
    "AT_MEM_UNDEF",
    "AT_MEM_L1",
    "AT_MEM_L2",
    "AT_MEM_L3_HRAM",
    "AT_MEM_L3_QSPIRAM",
    "AT_MEM_L3_OSPIRAM",
    "AT_MEM_L3_DEFAULTRAM",
    "AT_MEM_L3_HFLASH",
    "AT_MEM_L3_QSPIFLASH",
    "AT_MEM_L3_OSPIFLASH",
    "AT_MEM_L3_MRAMFLASH",
    "AT_MEM_L3_DEFAULTFLASH",
)
RAMS = tuple(name for name in LOCATIONS if name.endswith("RAM"))
FLASHES = tuple(name for name in LOCATIONS if name.endswith("FLASH"))


def c_string(text: str) -> str:
    """``text`` as a C string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return '"' + "".join(_escape(character) for character in escaped) + '"'


def _escape(character: str) -> str:
    if " " <= character <= "~":
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def location(name: str, what: str, accepted: tuple[str, ...] = LOCATIONS) -> str:
    """A memory's enumerator; the AT_MEM_ before may be left out."""
    full = name if name.startswith("AT_MEM_") else f"AT_MEM_{name}"
    if full not in accepted:
        raise UsageError(
            f"{what} does not take '{name}'", hint=f"give one of {', '.join(accepted)}"
        )
    return full


def option_lines(settings: Settings) -> list[str]:
    """One call for each option that differs from its default."""
    lines = []
    for function, names in (("Kernel", KERNEL_OPTIONS), ("Graph", GRAPH_OPTIONS)):
        for name in names:
            if settings[name] != SETTINGS[name].default:
                value = _option_value(name, settings)
                lines.append(f"AT_Set{function}Ctrl(AT_{name.upper()}, {value});")
    return lines


def _option_value(name: str, settings: Settings) -> str:
    value = settings[name]
    if isinstance(value, bool):
        return "AT_OPT_ON" if value else "AT_OPT_OFF"
    if isinstance(value, int):
        return f"AT_OPT_VAL({value})"
    if name in _ENUMERATOR_OPTIONS:
        devices = RAMS if name.endswith("exec") else FLASHES
        return f"AT_OPT_VAL({location(str(value), f'setting {name}', devices)})"
    return f"AT_OPT_VAL({c_string(str(value))})"


def memory_devices(name: str, settings: Settings) -> list[str]:
    """The lines of SetMemoryDeviceInfos: device, size, base name, constants file, managed."""
    ram = location(settings.l3_ram_device, "setting l3_ram_device", RAMS)
    flash = location(settings.l3_flash_device, "setting l3_flash_device", FLASHES)
    rows = (
        ("AT_MEM_L1", "L1Memory", "L1_Memory", "0", False),
        ("AT_MEM_L2", "L2Memory", "L2_Memory", "0", settings.l2_ram_ext_managed),
        (ram, "L3Memory", "L3_Memory", "0", settings.l3_ram_ext_managed),
        (
            flash,
            "L3Flash",
            "L3_Flash",
            f'"{name}_L3_Flash_Const.dat"',
            settings.l3_flash_ext_managed,
        ),
    )
    return [
        f'{device}, {size}, "{name}_{base}", {file}, {int(managed)}'
        for device, size, base, file, managed in rows
    ]


def sizes(settings: Settings) -> str:
    """Arguments of the model function: L1, L2, L3 in bytes and the flash."""
    flash = f"{settings.l3_flash_mb}*1024*1024"
    return f"{settings.l1_size}, {settings.l2_size}, {settings.l3_size}, {flash}"


def node_integer(node: str, option: str, text: str) -> int:
    """The value of an integer node option; an option without a value is 1."""
    if text == "":
        return 1
    if not re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)", text) or abs(int(text, 0)) >= 1 << 31:
        raise UsageError(
            f"node option {option} does not take '{text}'",
            where=f"node {node}",
            hint="give a whole number",
        )
    return int(text, 0)
