#!/bin/sh
# Shows that an artifact opens in Hugging Face optimum and answers there as it does here.
# usage: deploy/interop/check.sh ARTIFACT TEXTS [ENVIRONMENT]
# optimum-onnx pins an older transformers, hence the environment of its own; serving needs no transformers at all.
set -eu

[ $# -ge 2 ] || { sed -n 3p "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
environment=${3:-$root/build/interop}

[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install --quiet \
    "$root[cpu]" "optimum-onnx[onnxruntime]>=0.1" "torch==2.13.0"
"$environment/bin/python" "$root/deploy/interop/optimum_answers.py" "$1" "$2"
