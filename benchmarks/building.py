"""What the book itself costs: its build, its checks, and the weight of its pages.

Nothing is built here: `make book` and `make test` note their times when they end, and the pages are
those of the last build. What was never built or checked has no row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parents[1] / "_build"


def measure(build: Path = BUILD) -> Iterator[dict[str, Any]]:
    """Give one row a build, a step of the checks, and a chapter."""
    noted = build / "seconds.json"
    seconds = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}
    for task in ("make book", "make test"):
        for name, taken in seconds.get(task, {}).items():
            yield {"task": task, "name": name, "seconds": taken}
    for name, taken in sorted(seconds.get("chapters", {}).items()):
        page = build / "html" / "chapters" / f"{name}.html"
        if page.exists():  # else the chapter has another name by now
            yield {"task": "chapter", "name": name, "seconds": taken, "bytes": page.stat().st_size}
