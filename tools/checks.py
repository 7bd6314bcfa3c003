"""The steps of `make test`: each is run and timed, and any failure fails the whole.

`python tools/checks.py --slow` adds the long checks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import tasks

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "checked-site"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Where nothing listens: a program that asks the network through these fails at once.
OFFLINE = {
    name: "http://127.0.0.1:9"
    for lower in ("http_proxy", "https_proxy", "all_proxy")
    for name in (lower, lower.upper())
} | {"no_proxy": "127.0.0.1,localhost,::1", "NO_PROXY": "127.0.0.1,localhost,::1"}


def find_chromium() -> str | None:
    """Find this machine's Chromium or Chrome: the one that CHROMIUM names, else one on the path."""
    named = os.environ.get("CHROMIUM")
    places = [named] if named else [*CHROMIUMS, *PROGRAMS]
    return next((path for place in places if (path := shutil.which(place))), None)


# Where Chrome is outside the path on macOS and Windows.
PROGRAMS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)


@dataclass
class Step:
    """A check: a Python command line, and where it cannot run, why."""

    name: str
    command: list[str]
    missing: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def steps(slow: bool) -> list[Step]:
    """List the steps in the order in which they run: the quick ones first."""
    notebooks = sorted(str(path) for path in (ROOT / "chapters").glob("*.ipynb"))
    pytest = ["-m", "pytest", "-q", "-rs", "-n", "2"]
    chromium = find_chromium()
    no_browser = None if chromium else "no Chromium or Chrome was found (CHROMIUM may name one)"
    browser = ["-m", "pytest", "-q", "-rs", "tests/site/test_browser.py"]
    listed = [
        Step("lint", ["-m", "ruff", "check"]),
        Step("format", ["-m", "ruff", "format", "--check"]),
        Step("spelling", ["-m", "codespell_lib"]),
        Step(
            "stripped notebooks",
            ["-m", "nbstripout", "--verify", "--keep-count", "--keep-id", *notebooks],
        ),
        Step(
            "unit tests",
            [*pytest, "tests", "--ignore=tests/exercises", "--ignore=tests/site"],
        ),
        Step("doctests", ["-m", "pytest", "-q", "--doctest-modules", "src"]),
        Step("exercises", [*pytest, "tests/exercises"]),
        Step(
            "notebooks",
            [
                *pytest,
                *("--dist", "loadfile", "--nbval-lax", "--nbval-cell-timeout=300"),
                *notebooks,
            ],
            environment=OFFLINE,
        ),
        Step("site", ["tools/book.py", "--output", str(SITE)]),
        Step(
            "pages",
            ["-m", "pytest", "-q", "-rs", "tests/site", "--ignore=tests/site/test_browser.py"],
        ),
        Step("browser", browser, missing=no_browser, environment={"CHROMIUM": chromium or ""}),
    ]
    if slow:
        listed.append(Step("slow tests", ["-m", "pytest", "-q", "-rs", "-m", "slow", "tests"]))
    return listed


def perform(step: Step) -> tuple[bool, str]:
    """Run a step; tell whether it passed, and what it said."""
    # A progress bar is for whoever waits before it, not for what is compared or shown later.
    quiet = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "UNROLLED_SITE": str(SITE)}
    environment = os.environ | quiet
    result = subprocess.run(
        [sys.executable, *step.command],
        cwd=ROOT,
        env=environment | step.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    return result.returncode == 0, result.stdout


def left_out(name: str, output: str) -> list[str]:
    """List what pytest says it skipped in a step, and why."""
    reasons = re.findall(r"^SKIPPED \[\d+\] \S+?(?::\d+)?: (.+)$", output, re.MULTILINE)
    return [f"{name}, in part: {reason}" for reason in dict.fromkeys(reasons)]


def main(arguments: list[str]) -> int:
    """Run all steps, also after a failure, and give the exit status."""
    passed = failed = 0
    not_run = []
    took: dict[str, float] = {}
    # Where the site cannot be built, the pages of an earlier call are not checked in its place.
    shutil.rmtree(SITE, ignore_errors=True)
    for step in steps(slow="--slow" in arguments):
        print(f"{step.name:<20}", end="", flush=True)
        if step.missing:
            print("not run", flush=True)
            not_run.append(f"{step.name}: {step.missing}")
            continue
        start = time.perf_counter()
        well, output = perform(step)
        took[step.name] = time.perf_counter() - start
        print(f"{'passed' if well else 'FAILED'} {took[step.name]:7.1f} s", flush=True)
        not_run += left_out(step.name, output)
        passed, failed = passed + well, failed + (not well)
        if not well:
            print(output, flush=True)
    if not failed:
        took["all"] = sum(took.values())
        task = "make test-slow" if "--slow" in arguments else "make test"
        tasks.note_seconds(SITE.parent, task, took)
    if not_run:
        print("\nNot run:\n" + "\n".join(f"  {words}" for words in not_run) + "\n")
    print(f"{passed} passed, {failed} failed" + (f", {len(not_run)} skipped" if not_run else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
