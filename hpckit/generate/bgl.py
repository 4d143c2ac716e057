"""RAS events of a BlueGene/L-like machine: about three hundred messages, their severities, labels and bursts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpckit.generate.events import CARD, MIDPLANE, NOWHERE, ONE, Template, compile_templates
from hpckit.generate.tables import zipf

NODES = 65_536

UNITS = (
    "L1 instruction cache", "L1 data cache", "L2 prefetch unit", "L3 directory {d:0-1}", "L3 eDRAM bank {d:0-3}",
    "DDR rank {d:0-1}", "boot SRAM", "lockbox array", "torus send FIFO {d:0-5}", "collective network buffer",
    "double hummer unit {d:0-1}", "interrupt controller",
)  # fmt: skip
CORRECTED = (
    "{u} parity fault corrected", "{u}: {m:12} single-bit faults corrected since boot",
    "{u}: scrub pass done, {m:20} words rewritten",
    "{u}: corrected-fault threshold {d:2-64} reached", "{u}: retry {d:1-7} of 8 succeeded, syndrome 0x{x:4}",
    "{u}: fault in bit {d:0-63} masked, address 0x{x:8}",
)  # fmt: skip
LINKS = ("torus X+", "torus X-", "torus Y+", "torus Y-", "torus Z+", "torus Z-", "collective up", "collective down")
LINK_NEWS = (
    "{l} link retrained in {d:3-900} us", "{l} receiver dropped {m:10} packets, all sent again",
    "{l} sender waits for {node}: {m:16} cycles",
)  # fmt: skip
REGISTERS = (
    "instruction address", "machine state", "exception syndrome", "data address", "link", "count", "condition",
    "save/restore 0", "save/restore 1", "debug status", "timer control", "core configuration", "float status",
    "general purpose r{d:0-31}", "float pair f{d:0-31}", "address translation {d:0-63}",
)  # fmt: skip
FATAL_CAUSES = (
    "data TLB fault", "instruction TLB fault", "storage fault on write", "storage fault on read", "alignment fault",
    "privileged operation", "illegal operation 0x{x:8}", "float unit disabled", "watchdog expired", "machine check",
    "stack guard page touched", "trap {d:0-31}",
)  # fmt: skip
ALERTS = {
    "data TLB fault": "KERNDTLB", "instruction TLB fault": "KERNITLB", "storage fault on write": "KERNSTOR",
    "watchdog expired": "KERNWDOG", "machine check": "KERNMC", "float unit disabled": "KERNFLOAT",
}  # fmt: skip
FATAL_FORMS = (
    "{c}, thread {d:0-3}, ip 0x{x:8}", "{c} in supervisor state, core {d:0-1}", "{c}: job {m:17} ended, node taken out",
    "rts: {c} while in the collective barrier, epoch {m:14}",
)  # fmt: skip
APP_CALLS = (
    "load image",
    "open stream",
    "read control",
    "read block",
    "write block",
    "flush",
    "resolve mount",
    "map file",
)
APP_CAUSES = (
    "connection to {ip:64}:{d:1024-65000} lost", "no space on the device", "file {w:files} not found",
    "timed out after {d:10-600} s", "bad header, magic 0x{x:8}",
)  # fmt: skip
SERVICES = (
    ("DISCOVERY", (
        "node card", "service card", "link card", "fan module {d:0-9}", "clock card", "power module {d:0-7}",
        "bulk supply",
    )),
    ("MMCS", ("block {w:blocks}", "control connection {d:1-64}", "mailbox {m:12}", "block cache", "event queue")),
    ("LINKCARD", ("link chip {d:0-5}", "port {w:ports}", "wiring table", "global clock")),
    ("MONITOR", (
        "fan speed {d:900-4200} rpm", "module temperature {d:21-88} C", "supply {d:0-7} at {d:1100-1900} mV",
        "air flow",
    )),
    ("HARDWARE", ("midplane switch", "node card jtag", "assembly {x:8}", "temperature probe {d:0-3}")),
    ("CMCS", ("command {w:blocks}", "session {m:10}", "schedule table")),
    ("BGLMASTER", ("child {w:daemons}", "restart limit", "control socket")),
)  # fmt: skip
SERVICE_FORMS = {
    "INFO": ("{s} found, serial {x:12}", "{s} ready after {d:1-90} s", "{s}: state is now {w:states}"),
    "WARNING": ("{s} answered late ({m:12} ms)", "{s} out of range, limit {d:10-90}"),
    "ERROR": ("{s} does not answer, attempt {d:1-5}", "{s}: checksum 0x{x:8} is wrong"),
    "SEVERE": ("{s} lost, isolating its neighbours",),
    "FAILURE": ("{s} failed and was switched off",),
}
SERVICE_LINES = {"INFO": 0.050, "WARNING": 0.005, "ERROR": 0.022, "SEVERE": 0.008, "FAILURE": 0.001}
WORDS = {
    "files": [
        "/bgl/apps/solver.x",
        "/p/gb1/mesh.dat",
        "/home/u17/run.in",
        "/bgl/lib/libmass.so",
        "/p/gb2/restart.0042",
    ],
    "blocks": [f"R{i:02d}-{size}" for i in range(0, 64, 5) for size in ("32", "128", "512")],
    "ports": [f"{side}{i:02d}" for side in "AB" for i in range(8)],
    "daemons": ["idoproxy", "ciodb", "mmcs_server", "eventmon", "dbsync"],
    "states": ["available", "busy", "missing", "in error", "being tested"],
}


def catalogue() -> dict[str, Any]:
    """Everything EventKernel needs for the layout 'bgl'."""
    templates = [*_kernel_info(), *_kernel_fatal(), *_applications(), *_services()]
    return compile_templates(templates, WORDS, (), zipf(NODES, 0.65))


def _shared(lines: float, texts: list[str], head: str, **rest: Any) -> Iterator[Template]:
    """Templates that share `lines` of all lines among them, the earlier ones more."""
    for text, weight in zip(texts, zipf(len(texts), 0.7), strict=True):
        yield Template(text, head, lines * float(weight), **rest)


def _kernel_info() -> Iterator[Template]:
    head = "KERNEL INFO "
    corrected = [form.replace("{u}", unit) for form in CORRECTED for unit in UNITS]
    links = [form.replace("{l}", link) for form in LINK_NEWS for link in LINKS]
    yield from _shared(0.50, corrected, head, length=8)
    yield from _shared(0.07, links, head, length=12, spread=MIDPLANE, steady=0.2)
    yield from _shared(0.10, [f"{register} register: 0x{{x:8}}" for register in REGISTERS], head, length=4, steady=0.1)
    yield Template("generating core.{m:16}", head, 0.06, length=60, spread=MIDPLANE, steady=0.0)


def _kernel_fatal() -> Iterator[Template]:
    for cause, weight in zip(FATAL_CAUSES, zipf(len(FATAL_CAUSES), 0.8), strict=True):
        label = ALERTS.get(cause, "-") + " "
        for form, share in zip(FATAL_FORMS, (0.4, 0.3, 0.2, 0.1), strict=True):
            text, lines = form.replace("{c}", cause), 0.155 * float(weight) * share
            spread, length = (CARD, 24) if share > 0.3 else (MIDPLANE, 90) if share == 0.1 else (ONE, 6)
            yield Template(text, "KERNEL FATAL ", lines, length, spread, label if share != 0.2 else "- ", 0.6)


def _applications() -> Iterator[Template]:
    texts = [f"io daemon: could not {call}, {cause}" for cause in APP_CAUSES for call in APP_CALLS]
    half = len(texts) // 2
    yield from _shared(0.020, texts[:half], "APP FATAL ", length=40, spread=CARD, label="APPREAD ", steady=0.9)
    yield from _shared(0.007, texts[half:], "APP FATAL ", length=10, spread=CARD, label="APPIO ", steady=0.9)


def _services() -> Iterator[Template]:
    for level, forms in SERVICE_FORMS.items():
        for component, subjects in SERVICES:
            texts = [form.replace("{s}", subject) for subject in subjects for form in forms]
            spread = NOWHERE if component in ("MMCS", "CMCS", "BGLMASTER") else ONE
            lines = SERVICE_LINES[level] / len(SERVICES)
            yield from _shared(lines, texts, f"{component} {level} ", length=3, spread=spread, steady=0.3)
