"""Remake requirements.txt, the exact environment of the book, from pyproject.toml.

`python tools/lock.py` keeps the versions that are pinned already where it can, with `--upgrade` it
takes the newest that fit. What must stay is in `constraint-dependencies` of `[tool.uv]` there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
HEADER = """\
# The exact environment of the book, made from pyproject.toml by `make lock`
# (`make lock OPTIONS=--upgrade` for newer versions). Do not edit.
# Left out: the CUDA libraries, which only torch needs, and only on Linux. It pins them itself, and
# a torch for CPUs, which has none, satisfies this file as well.
"""
LINE = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<pin>\S+)"
    r"(?: ; (?P<marker>.+?))?"
    r"\s+# via (?P<via>.+)$"
)


def compile_pins(options: list[str]) -> list[re.Match[str]]:
    """Resolve the dependencies; each line tells a name, a pin, a marker and who wants it."""
    with tempfile.TemporaryDirectory() as folder:
        # uv keeps the versions that it finds in the file that it is to write.
        pins = Path(shutil.copy(REQUIREMENTS, folder))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"),
            *("--all-extras", "--universal", "--python-version", "3.11"),
            *("--no-header", "--annotation-style", "line", "--output-file", str(pins)),
            *options,
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        lines = pins.read_text(encoding="utf-8").splitlines()
    matches = [LINE.match(line) for line in lines]
    if None in matches:
        raise ValueError(f"uv wrote a line that is no pin: {lines[matches.index(None)]!r}")
    return [match for match in matches if match]


def cuda_libraries(pins: list[re.Match[str]]) -> set[str]:
    """Find the packages that come in through torch alone, and on Linux alone."""
    found: set[str] = set()
    while True:
        more = {
            pin["name"]
            for pin in pins
            if "sys_platform == 'linux'" in (pin["marker"] or "")
            and set(pin["via"].split(", ")) <= found | {"torch"}
        } - found
        if not more:
            return found
        found |= more


def main(options: list[str]) -> int:
    """Write the pins, the CUDA libraries left out."""
    pins = compile_pins(options)
    cuda = cuda_libraries(pins)
    lines = [
        f"{pin['name']}=={pin['pin']}" + (f" ; {pin['marker']}" if pin["marker"] else "")
        for pin in pins
        if pin["name"] not in cuda
    ]
    REQUIREMENTS.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} pins in requirements.txt, {len(cuda)} CUDA libraries left out")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
