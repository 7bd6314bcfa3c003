"""Recorded runs: :func:`record` makes one, :func:`load` reads one."""

from unrolled.runs.registry import load, record

__all__ = ["load", "record"]
