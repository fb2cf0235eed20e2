#!/bin/sh
# `make bench-gpu`: on a machine that has Python, torch and a GPU, and perhaps nothing else: what `make gpu-kit` packed is used.
set -e
python=${PYTHON:-python3}
if [ -d .gpu-kit ]; then
    place=$(mktemp -d)
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$place/site" .gpu-kit/*.whl
    tar -xf .gpu-kit/data.tar.xz -C "$place"
    export FITTINGROOM_HOME="$place" PYTHONPATH="$PWD/src:$place/site"
fi
exec "$python" benchmarks/gpu.py "$@"
