"""Build the Cython kernels: one extension for each kernels/*.pyx, named here so that a missing one is an error."""

import os
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = {
    # name: C headers it includes
    "intern": ["intern.h"],
    "scan": [
        *["scan.h", "scan_all.h", "scan_isa.h", "scan_columns.h", "scan_find.h", "scan_pattern.h", "scan_together.h"],
        *["scan_keyed.h", "scan_wanted.h", "scan_records.h", "intern.h", "times.h", "values.h"],
    ],
    "generate": ["generate_text.h", "generate_access.h", "generate_events.h", "generate_sensors.h"],
    "route": ["route.h"],
    "content": ["content.h"],
    "textout": ["textout.h", "decimal.h"],
    "group": ["group.h"],
    "exactsum": ["exactsum.h", "exactfold.h"],
    "reduce": [],
    "sketch": ["sketch.h", "intern.h"],
    "arrays": [],
    "runs": ["runs.h"],
    "partition": ["partition.h"],
    "radix": ["radix.h"],
    "strsort": ["strsort.h"],
    "records": ["records.h"],
    "merge": ["merge.h", "records.h"],
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

COMPILE_ARGS = [
    "-O1" if BOUNDSCHECK else "-O3",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wno-unused-function",
    "-Wno-unreachable-code",
]
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


def changed(stamp, text):
    """Whether `text` differs from what the file `stamp` remembers: neither Cython nor setuptools looks at options."""
    return not stamp.is_file() or stamp.read_text() != text


def remember(stamp, text):
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(text)


class BuildExtensions(build_ext):
    """Compile everything anew when the compiler's options have changed, several files at a time."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()  # editable installs lose what setup(options=…) says

    def run(self):
        stamp, text = BUILD_DIR / "compile.stamp", f"{COMPILE_ARGS} {os.environ.get('CFLAGS')}"
        self.force = self.force or changed(stamp, text)
        super().run()
        if not ONLY:
            remember(stamp, text)


BUILD_DIR = Path("build/boundscheck" if BOUNDSCHECK else "build")
ONLY = os.environ.get("HPCKIT_ONLY_KERNELS")  # development: build just these, comma-separated
translation = f"{Cython.__version__} {DIRECTIVES}"
extensions = cythonize(
    [extension(name, KERNELS[name]) for name in (ONLY.split(",") if ONLY else KERNELS)],
    compiler_directives=DIRECTIVES,
    force=not ONLY and changed(BUILD_DIR / "cython.stamp", translation),
    build_dir=str(BUILD_DIR),
    nthreads=0 if ONLY else os.cpu_count(),
)
if not ONLY:
    remember(BUILD_DIR / "cython.stamp", translation)
setup(ext_modules=extensions, cmdclass={"build_ext": BuildExtensions})
