#!/bin/sh
# Run the whole test suite, or what the arguments (pytest's) choose.
#
# Makes build/test-venv on first use, and the archive that the tests of real processes start.
# Tests that need root, systemd-nspawn or programs of other projects say so and are skipped without.
set -eu

cd "$(dirname "$0")/.."

packaging/build.sh

venv=build/test-venv
lock=packaging/requirements-dev.txt
stamp=$venv/locked.txt
if ! cmp -s "$lock" "$stamp"; then
    echo "test.sh: making $venv"
    rm -rf "$venv"
    python=$(build/venv/bin/python -c 'import sys; print(sys._base_executable)')
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$lock"
    else
        "$python" -m venv --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
            -r "$lock"
    fi
    cp "$lock" "$stamp"
fi

# The processes that tests start write no bytecode: each would compile again what no test imports.
"$venv/bin/python" -m compileall -q coreos_py

exec "$venv/bin/python" -m pytest "$@"
