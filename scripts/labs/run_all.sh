#!/bin/sh
# Run all labs on the models and data under a folder, and write docs/labs.md.
#   scripts/labs/run_all.sh DATA_DIR [options of the labs, as --count 500]
# Sections of single labs: python scripts/labs/b_clipping.py DATA_DIR --count 1000
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DATA_DIR [--count N] [--calibration N]" >&2; exit 2; }
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
    echo "Written by \`scripts/labs/run_all.sh\` at commit $(git -C "$root" rev-parse --short HEAD)."
    echo
} > "$made"
for lab in "$here"/[a-z]_*.py; do
    echo "$(basename "$lab" .py)" >&2
    "${PYTHON:-python3}" "$lab" "$data" "$@" >> "$made"
done
cp "$made" "$root/docs/labs.md"
echo "wrote docs/labs.md" >&2
