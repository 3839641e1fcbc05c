"""What to type instead: near names of a mistyped command, and NNTool's commands not had here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from nnshell.support.errors import UsageError
from nnshell.support.settings import SETTINGS

_AUTOTILER = "run the AutoTiler on the files that `gen` writes; `simulate` estimates cycles here"
_GAP9 = "it is for GAP9"
_SAVE = "`save_state` keeps everything that a later session needs"

# NNTool's commands that do not exist here, and what to do instead.
_ELSEWHERE = {
    "balance_filters": "per-channel weight scales make it unnecessary",
    "compile": _AUTOTILER,
    "compress": _GAP9,
    "dsp_preprocessing": "its kernels (MFCC, RFFT) are GAP9's; compute the features before, "
    "and give them as .npy or .npz files",
    "force_relu": "use `set AT_force_relu true`",
    "input_resizer": "resize images with -H and -W",
    "loadgraph": f"open a state file; {_SAVE}",
    "performance": "`simulate` estimates cycles, memory and energy without a board",
    "rounding": "the kernels always round",
    "run_at": _AUTOTILER,
    "savegraph": _SAVE,
    "ssd_setter": "detection post-processing runs outside the graph",
}


def unknown_command(name: str, commands: Sequence[str]) -> UsageError:
    """The error for a command that does not exist."""
    if name in _ELSEWHERE:
        return UsageError(f"NNTool's {name} is not part of nnshell", hint=_ELSEWHERE[name])
    setting = name.removeprefix("set_")
    if name != setting and setting in SETTINGS:
        return UsageError(f"there is no command '{name}'", hint=f"type `set {setting} VALUE`")
    near = difflib.get_close_matches(name, commands, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`help` lists the commands"
    return UsageError(f"there is no command '{name}'", hint=hint)
