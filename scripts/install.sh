#!/bin/sh
# Makes .venv, with the exact packages of requirements.lock and the course itself. Run it again after an interruption.
# PYTHON names the interpreter; without it, the first of python3.13, 3.12, 3.14, 3.11 and python3 that will do is taken.
set -eu
cd "$(dirname "$0")/.."

is_new() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

if ! { is_new .venv/bin/python && .venv/bin/python -m pip --version; } >/dev/null 2>&1; then
    found= lacking=
    for candidate in ${PYTHON:-python3.13 python3.12 python3.14 python3.11 python3}; do
        is_new "$candidate" || continue
        if has_venv "$candidate"; then found=$candidate; break; fi
        lacking="$lacking $candidate"
    done
    if [ -z "$found" ] && [ -n "$lacking" ]; then
        echo "Found$lacking, but without the modules venv and ensurepip, which make .venv." >&2
        echo "On Debian or Ubuntu: sudo apt-get install python3-venv. Then run make again." >&2
        exit 1
    elif [ -z "$found" ]; then
        echo "The course needs Python 3.11 or newer; none of '${PYTHON:-python3.13 python3.12 python3.14 python3.11 python3}' is." >&2
        echo "Install one, or name it: make install PYTHON=/path/to/python3" >&2
        exit 1
    fi
    echo "Making .venv with $("$found" --version) ($found)"
    "$found" -m venv --clear .venv
fi

echo "Installing the packages of requirements.lock; the first time takes a minute or two"
.venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
touch .venv/.installed
