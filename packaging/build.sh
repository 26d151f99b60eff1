#!/bin/sh
# Build dist/coreos.pyz and dist/bin/<command> from this checkout.
#
# Needs python3 >= 3.11 and pip, and the network the first time; makes its own venv in build/venv.
# PYTHON chooses the interpreter; its minor version is the one the compiled files inside are for.
set -eu

cd "$(dirname "$0")/.."

suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=${PYTHON:-}
if [ -z "$python" ]; then
    # The archive's first line names /usr/bin/python3, so compile for that one if it will do.
    for candidate in /usr/bin/python3 python3; do
        if suitable "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ] || ! suitable "$python"; then
    echo "build.sh: needs python3 3.11 or newer (set PYTHON to one)" >&2
    exit 1
fi

venv=build/venv
lock=packaging/requirements-build.txt
stamp=$venv/locked.txt
if ! cmp -s "$lock" "$stamp" || ! "$venv/bin/python" -c 'import shiv' 2>/dev/null; then
    echo "build.sh: making $venv"
    rm -rf "$venv"
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps --require-hashes -r "$lock"
    else
        # Debian without python3-venv: its pip can still fill a venv from outside.
        "$python" -m venv --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
            --no-deps --require-hashes -r "$lock"
    fi
    cp "$lock" "$stamp"
fi

# A fixed hash seed and no user settings: two builds of one commit are the same bytes.
exec env -u PYTHONPATH -u PYTHONHOME -u PYTHONOPTIMIZE PYTHONHASHSEED=0 TZ=UTC \
    "$venv/bin/python" -s packaging/build.py "$@"
