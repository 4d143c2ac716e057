"""The machine room whose sensors are generated: nodes, sensors, their levels and how they move in a day."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hpckit.generate.tables import pool

TICK_US = 10_000_000
HEADER = b"time,node,sensor,value,unit\n"
NODES = [f"n{i:04d}" for i in range(1, 129)]
WAVE_STEPS = 4096

# name, unit, decimal places, then in thousandths: level, daily swing, noise, height of a spike
SENSORS = (
    ("cpu_temperature", "C", 2, 58_000, 6_000, 3_000, 25_000),
    ("inlet_temperature", "C", 1, 22_000, 2_500, 600, 9_000),
    ("power", "W", 1, 410_000, 90_000, 35_000, 260_000),
    ("fan_speed", "rpm", 0, 5_200_000, 900_000, 250_000, 4_000_000),
    ("memory_used", "GiB", 3, 96_000, 30_000, 22_000, 120_000),
    ("load", "", 2, 38_000, 20_000, 9_000, 90_000),
    ("network_receive", "MB/s", 3, 140_000, 110_000, 60_000, 9_000_000),
    ("supply_voltage", "V", 3, 12_050, 20, 60, 700),
)


def catalogue() -> dict[str, Any]:
    """Everything SensorKernel needs."""
    names, units, digits, *numbers = zip(*SENSORS, strict=True)
    wave = [round(1024 * math.sin(2 * math.pi * (i / WAVE_STEPS - 0.35))) for i in range(WAVE_STEPS)]
    levels = {k: np.array(v, np.int64) for k, v in zip(("base", "daily", "noise", "spike"), numbers, strict=True)}
    return {
        **pool("nodes", NODES), **pool("names", names), **pool("units", units), **levels,
        "digits": np.array(digits, np.uint8), "wave": np.array(wave, np.int32), "tick_us": TICK_US,
    }  # fmt: skip
