#!/bin/sh
# tools/venv.sh run|dev: build hpckit into ./.venv, once for each state of its sources.
# "run" brings what `make demo` needs; "dev" adds the tools of tests, lint and benchmarks.
# PYTHON chooses the interpreter (default: python3, else the newest python3.N found).
set -eu
cd "$(dirname "$0")/.."
level=${1:-run}

fail() {
    printf 'hpckit: cannot build: %s\n' "$1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON is not a program"
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1); Python 3.10 or newer is needed"
        return
    fi
    for PYTHON in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$PYTHON" >/dev/null 2>&1 && new_enough "$PYTHON"; then return; fi
    done
    fail "no Python 3.10 or newer; install one (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev), or set PYTHON=/path/to/python3"
}

check_tools() {
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    missing=""
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        missing="$missing
  the venv module (Debian, Ubuntu: apt-get install python$version-venv)"
    "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        missing="$missing
  the Python headers (Debian, Ubuntu: apt-get install python$version-dev; Fedora: dnf install python3-devel)"
    if [ -z "${CC:-}" ]; then
        # setuptools calls the compiler that built Python; any other C compiler will do as well.
        CC=$("$PYTHON" -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])')
        command -v "$CC" >/dev/null 2>&1 || CC=$(command -v cc || command -v gcc || command -v clang || true)
        [ -n "$CC" ] && export CC
    fi
    if [ -z "$CC" ] || ! command -v "${CC%% *}" >/dev/null 2>&1; then
        missing="$missing
  a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc)"
    fi
    [ -z "$missing" ] || fail "this machine lacks:$missing"
}

# The state of everything that an editable install depends on: metadata and kernels. Python files are used in place.
state() {
    cat pyproject.toml setup.py kernels/* | cksum
    "$venv_python" --version
}

stamp_is_current() {
    [ -x "$venv_python" ] && [ -f "$1" ] && [ "$(cat "$1")" = "$(state)" ]
}

install() {
    log=.venv/install.log
    if ! "$venv_python" -m pip install --disable-pip-version-check --quiet "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        hint=""
        if grep -qiE 'connection|could not find a version|temporary failure' "$log"; then
            hint="; is a package index in reach (pip config list)?"
        fi
        fail "pip install $* did not work$hint (whole output: $log)"
    fi
}

venv_python=.venv/bin/python
# A build that stopped half-way leaves no stamp, so it is done again.
if ! stamp_is_current .venv/.built; then
    find_python
    check_tools
    if ! [ -x "$venv_python" ] || ! new_enough "$venv_python"; then
        echo "hpckit: creating .venv with $("$PYTHON" --version 2>&1)"
        "$PYTHON" -m venv --clear .venv || fail "$PYTHON -m venv .venv did not work"
    fi
    rm -f .venv/.built .venv/.dev
    echo "hpckit: installing its dependencies and compiling its kernels (a minute or two)"
    install -e '.[mpich]'
    state >.venv/.built
fi
if [ "$level" = dev ] && ! stamp_is_current .venv/.dev; then
    echo "hpckit: installing the tools of tests, lint and benchmarks"
    install 'hpckit[mpich,test,lint,bench]'
    state >.venv/.dev
fi
# The sources are used in place: compile them once here, for where PYTHONDONTWRITEBYTECODE is set each start would.
"$venv_python" -m compileall -q hpckit || fail "the Python files of hpckit do not compile"
