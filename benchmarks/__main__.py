"""Run every comparison, print its numbers, write ``results.json`` and its page: ``make bench``.

``python benchmarks SECTION ...`` measures only these sections, and keeps what was measured of the
others; ``python benchmarks page`` measures nothing, and only writes the page.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

import building
import checkpointing
import gradients
import layers
import lengths
import page
import recorded
from unrolled.runs.registry import machine, rounded

RESULTS = Path(__file__).with_name("results.json")
SECTIONS = {
    "layers": layers,
    "gradients": gradients,
    "checkpointing": checkpointing,
    "lengths": lengths,
    "recorded": recorded,
    "building": building,
}


def main(arguments: list[str]) -> int:
    """Measure what the command line names, everything without a name; print and write."""
    names = arguments or list(SECTIONS)
    if unknown := set(names) - {*SECTIONS, "page"}:
        known = ", ".join([*SECTIONS, "page"])
        print(f"There is no section {', '.join(sorted(unknown))}; there are {known}")
        return 2
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in names:
        if name != "page":
            results[name] = measured(name)
            results = {name: results[name] for name in SECTIONS if name in results}
            results["command"] = "make bench"
            # After each section: who stops here keeps what was measured.
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if missing := " ".join(name for name in SECTIONS if name not in results):
        print(f"There is no page without {missing}: python benchmarks {missing}")
        return 1
    text = page.page(results)
    page.PAGE.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten: {RESULTS} and {page.PAGE}")
    return 0


def measured(name: str) -> dict[str, Any]:
    """Measure a section, and say how far it is."""
    begin, rows = time.perf_counter(), []
    for row in SECTIONS[name].measure():
        rows.append(rounded(row))
        shown = ", ".join(f"{key} {value}" for key, value in row.items() if not _nested(value))
        print(f"{name}, {time.perf_counter() - begin:4.0f} s: {shown}", flush=True)
    return {
        "machine": machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": round(time.perf_counter() - begin),
        "rows": rows,
    }


def _nested(value: object) -> bool:
    return isinstance(value, dict | list)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
