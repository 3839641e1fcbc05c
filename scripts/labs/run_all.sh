#!/bin/sh
# Run all labs on the models and data under a folder, and write docs/labs.md.
#   scripts/labs/run_all.sh DATA_DIR [options of the labs, as --count 500 or --tables FOLDER]
# Each lab has a number of images of its own unless --count says one for all; --tables writes every
# table as csv and json, too. Progress goes to standard error, a line for each step.
# One lab alone, to standard output: PYTHONPATH=. python scripts/labs/b_clipping.py DATA_DIR
# LABS="b f" runs some labs only and writes them to standard output.
set -eu
[ $# -ge 1 ] || {
    echo "usage: $0 DATA_DIR [--count N] [--calibration N] [--tables FOLDER]" >&2
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
data=$(cd "$1" && pwd)
shift
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
made=$(mktemp)
trap 'rm -f "$made"' EXIT
{
    echo "# The quantization laboratory"
    echo
    echo "Ours beside published figures, which are of other trainings and, where named, other networks."
    echo "Written by \`scripts/labs/run_all.sh\` DATA, section by section where \`LABS\` names them."
    echo "\`lab NAME\` at the prompt makes smaller tables of the same kind, on samples or on your data."
    echo "Data: CIFAR-10, the test set for accuracy, the first images of the training set for calibration."
    echo "Each section says how many; a smaller count is the first so many, which are class-balanced."
    echo
} > "$made"
for lab in "$here"/[a-z]_*.py; do
    name=$(basename "$lab" .py)
    case " ${LABS:-${name%%_*}} " in *" ${name%%_*} "*) ;; *) continue ;; esac
    start=$(date +%s)
    echo "$name" >&2
    "${PYTHON:-python3}" "$lab" "$data" "$@" >> "$made"
    echo "$name took $(($(date +%s) - start)) s" >&2
done
if [ -n "${LABS:-}" ]; then
    cat "$made"
else
    cp "$made" "$root/docs/labs.md"
    echo "wrote docs/labs.md" >&2
fi
