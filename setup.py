"""Build the Cython kernels: one extension for each kernels/*.pyx, named here so that a missing one is an error."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = {
    # name: C headers it includes
    "intern": ["intern.h"],
    "scan": ["scan.h", "scan_core.h", "scan_isa.h", "intern.h", "times.h", "values.h"],
    "generate": ["generate_text.h", "generate_access.h", "generate_events.h", "generate_sensors.h"],
    "route": ["route.h"],
    "textout": ["textout.h", "decimal.h"],
    "group": ["group.h"],
    "exactsum": ["exactsum.h"],
    "reduce": [],
    "sketch": ["sketch.h", "intern.h"],
}

BOUNDSCHECK = os.environ.get("HPCKIT_BOUNDSCHECK") == "1"  # the test suite's second build
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": BOUNDSCHECK,
    "wraparound": False,
    "initializedcheck": BOUNDSCHECK,
    "cdivision": True,
    "embedsignature": True,
}

COMPILE_ARGS = ["-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unused-function", "-Wno-unreachable-code"]
if os.environ.get("HPCKIT_NATIVE") == "1":  # for this machine's CPU only
    COMPILE_ARGS.append("-march=native")


def extension(name, headers):
    """The extension hpckit._kernels.<name>; its headers count as sources for rebuilds."""
    source = Path("kernels") / f"{name}.pyx"
    depends = [str(Path("kernels") / h) for h in headers]
    for path in [str(source), *depends]:
        if not Path(path).is_file():
            raise SystemExit(f"setup.py: kernel source {path} is missing; the source tree is incomplete")
    return Extension(
        f"hpckit._kernels.{name}",
        [str(source)],
        depends=depends,
        include_dirs=["kernels"],
        extra_compile_args=COMPILE_ARGS,
        define_macros=[("CYTHON_WITHOUT_ASSERTIONS", "1")],
    )


only = os.environ.get("HPCKIT_ONLY_KERNELS")  # development: build just these, comma-separated
names = only.split(",") if only else KERNELS
setup(
    ext_modules=cythonize(
        [extension(name, KERNELS[name]) for name in names],
        compiler_directives=DIRECTIVES,
        force=not only,  # a changed directive alone does not make Cython translate again
        build_dir="build/boundscheck" if BOUNDSCHECK else "build",
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
