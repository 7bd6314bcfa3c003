"""Run every comparison, print a table, and write ``benchmarks/results.json``: ``make bench``."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import torch

import layers
from unrolled.runs.registry import machine, rounded

RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    """Run, print and write."""
    print("milliseconds a call, as multiples of torch.nn: median (quartiles)")
    print(f"{'':32}{'torch.nn':>10}{'ours':>21}{'loop':>21}")
    rows = []
    for case in layers.cases():
        timings = layers.compare(case)
        rows.append(case._asdict() | {name: t._asdict() for name, t in timings.items()})
        print(f"{_title(case):32}{timings['torch.nn'].milliseconds:8.2f}ms", end="")
        for name in ("ours", "loop"):
            _, ratio, low, high = timings[name]
            print(f"{ratio:7.2f} ({low:5.2f}-{high:5.2f})", end="")
        print(flush=True)
    results = {
        "layers": rows,
        "machine": machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "command": "make bench",
    }
    RESULTS.write_text(json.dumps(rounded(results), indent=1) + "\n", encoding="utf-8")
    return 0


def _title(case: layers.Case) -> str:
    size = f"T {case.length} H {case.width} B {case.batch}"
    return f"{case.kind:5}{case.work:9}{size:18}{case.threads} "


if __name__ == "__main__":
    sys.exit(main())
