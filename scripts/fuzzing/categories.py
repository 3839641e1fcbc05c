"""The kinds of bad input, and how many cases of so many are of each."""

from __future__ import annotations

from fuzzing import (
    data_files,
    folders,
    growth,
    interrupts,
    kills,
    native,
    onnx_files,
    scripts,
    sequences,
    shown,
    tflite_files,
)
from fuzzing.cases import Category

CATEGORIES = (
    Category("onnx-bytes", 20, onnx_files.bytes_case),
    Category("onnx-structure", 25, onnx_files.structure_case),
    Category("tflite-bytes", 10, tflite_files.bytes_case),
    Category("tflite-structure", 12, tflite_files.structure_case),
    Category("states", 10, data_files.state_case),
    Category("statistics", 5, data_files.statistics_case),
    Category("options", 5, data_files.options_case),
    Category("inputs", 10, data_files.inputs_case),
    Category("scripts", 10, scripts.script_case),
    Category("writers", 3, scripts.writer_case),
    Category("process", 4, scripts.process_case),
    Category("sequences", 6, sequences.sequence_case),
    Category("settings", 2, sequences.setting_case),
    Category("interrupts", 3, interrupts.interrupt_case),
    Category("native", 15, native.native_case),
    Category("killed", 6, folders.killed_case),
    Category("killed-commands", 2, kills.command_killed_case),
    Category("pairs", 2, folders.pair_case),
    Category("signals", 2, folders.signal_case),
    Category("shown", 4, shown.shown_case),
    Category("growth", 1, growth.growth_case),
)
