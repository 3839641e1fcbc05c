"""main.c: reads raw samples from a file, writes the outputs' integers or the predictions."""

from __future__ import annotations

from nnshell.targets.c.program import Program

_BEGIN = """\
/* Runs the network on samples from a file: model_main [--predict] FILE. */
#include <stdio.h>
#include <string.h>

#include "model.h"

"""

_MAIN = """\
static int fail(const char *text, const char *file)
{
    fprintf(stderr, "%s: %s\\n", file, text);
    return 1;
}

int main(int count, char **arguments)
{
    const int predicts = count > 1 && strcmp(arguments[1], "--predict") == 0;
    const char *path = count == 2 + predicts ? arguments[1 + predicts] : NULL;
    int sample, samples = MODEL_BATCH;
    FILE *file;
    if (path == NULL) {
        fprintf(stderr, "usage: %s [--predict] FILE\\n", arguments[0]);
        return 2;
    }
    file = fopen(path, "rb");
    if (file == NULL)
        return fail("cannot be read", path);
    model_init();
    while (samples == MODEL_BATCH) {
        for (samples = 0; samples < MODEL_BATCH; samples++) {
            const int state = read_sample(file, samples);
            if (state < 0) {
                fclose(file);
                return fail("its last sample is not whole", path);
            }
            if (state == 0)
                break;
        }
        if (samples > 0)
            model_run(RUN_ARGUMENTS);
        for (sample = 0; sample < samples; sample++) {
            if (predicts)
                printf("%ld\\n", predicted(sample));
            else if (!write_sample(sample)) {
                fclose(file);
                return fail("standard output cannot be written", path);
            }
        }
    }
    fclose(file);
    return fflush(stdout) ? fail("standard output cannot be written", path) : 0;
}
"""


def main_source(program: Program) -> str:
    inputs = [f"input_{number}" for number in range(1, len(program.inputs) + 1)]
    outputs = [f"output_{number}" for number in range(1, len(program.outputs) + 1)]
    arrays = [
        f"static MODEL_{name.upper()}_TYPE {name}[MODEL_BATCH * MODEL_{name.upper()}_SIZE];"
        for name in (*inputs, *outputs)
    ]
    return "\n".join(
        [
            _BEGIN + "\n".join(arrays),
            "",
            *_reader(inputs),
            *_writer(outputs),
            *_predictor(outputs[0]),
            _MAIN.replace("RUN_ARGUMENTS", ", ".join((*inputs, *outputs))),
        ]
    )


def _reader(names: list[str]) -> list[str]:
    """1 for a sample, 0 at the end of the file, -1 within a sample."""
    lines = [
        "/* 1: a sample was read, 0: the file has ended, -1: it ended within a sample. */",
        "static int read_sample(FILE *file, int sample)",
        "{",
        "    size_t count;",
    ]
    for place, name in enumerate(names):
        size = f"MODEL_{name.upper()}_SIZE"
        element = f"sizeof({name}[0])"
        lines += [
            f"    count = fread({name} + (size_t) sample * {size}, 1, {element} * {size}, file);",
            f"    if (count != {element} * {size})",
            f"        return {'count ? -1 : 0' if place == 0 else '-1'};",
        ]
    return [*lines, "    return 1;", "}", ""]


def _writer(names: list[str]) -> list[str]:
    lines = ["static int write_sample(int sample)", "{"]
    for name in names:
        size = f"MODEL_{name.upper()}_SIZE"
        start = f"{name} + (size_t) sample * {size}"
        lines += [
            f"    if (fwrite({start}, sizeof({name}[0]), {size}, stdout) != {size})",
            "        return 0;",
        ]
    return [*lines, "    return 1;", "}", ""]


def _predictor(name: str) -> list[str]:
    size = f"MODEL_{name.upper()}_SIZE"
    return [
        "/* Where the first output is largest. */",
        "static long predicted(int sample)",
        "{",
        f"    const MODEL_{name.upper()}_TYPE *scores = {name} + (size_t) sample * {size};",
        "    long best = 0, i;",
        f"    for (i = 1; i < {size}; i++)",
        "        if (scores[i] > scores[best])",
        "            best = i;",
        "    return best;",
        "}",
        "",
    ]
