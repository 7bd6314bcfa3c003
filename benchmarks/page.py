"""The page that shows the results: `chapters/speed.md`, written from `results.json` alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from string import Template
from typing import Any

import layers
import lengths

PAGE = Path(__file__).resolve().parents[1] / "chapters" / "speed.md"
TEXT = Path(__file__).with_name("speed.md")
Rows = Sequence[Mapping[str, Any]]


def page(results: Mapping[str, Any]) -> str:
    """Give the text of the page."""
    parts = {
        "written": "Made by `make bench` from benchmarks/results.json and benchmarks/speed.md",
        "machine": machines(results),
        "duration": duration(results),
    }
    for name, write in PARTS.items():
        parts |= {f"{name}_{part}": text for part, text in write(results[name]["rows"]).items()}
    return Template(TEXT.read_text(encoding="utf-8")).substitute(parts)


def machines(results: Mapping[str, Any]) -> str:
    """Say in words where the sections were measured, and with which versions."""
    words: dict[str, list[str]] = {}
    for name in PARTS:
        versions = results[name]["versions"]
        where = f"{results[name]['machine']}, Python {versions['python']}, PyTorch "
        words.setdefault(where + versions["torch"], []).append(name)
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{where} ({', '.join(names)})" for where, names in words.items())


def duration(results: Mapping[str, Any]) -> str:
    """Say how long all sections took, where that was noted."""
    seconds = [results[name].get("seconds") for name in PARTS]
    return "" if None in seconds else f", in about {max(1, round(sum(seconds) / 60))} minutes"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table in Markdown; all columns but the first are numbers."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def milliseconds(value: float) -> str:
    """Write a time with about three digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def times(timing: Mapping[str, float]) -> str:
    """Write a ratio with its quartiles."""
    return f"{timing['ratio']:.2f} ({timing['low']:.2f} to {timing['high']:.2f})"


def megabytes(value: float) -> str:
    """Write a number of bytes in millions."""
    return f"{value / 1e6:.2f}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write the middle of some values, with the least and the largest where they are several."""
    low, middle, high = (f"{of(values):.{digits}f}" for of in (min, median, max))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


# --- The sections --------------------------------------------------------------------------------


def of_layers(rows: Rows) -> dict[str, str]:
    """Write a table for each work and number of threads, and what the ratios are in all."""
    header = (
        "layer, steps, units, batch",
        "`torch.nn`, ms",
        "ours, times as long",
        "loop, times as long",
    )
    found = {}
    for threads in (1, 2):
        for work in ("training", "forward"):
            some = [row for row in rows if (row["threads"], row["work"]) == (threads, work)]
            found[f"{work}_{threads}"] = table(header, [_layer(row) for row in some])
            for name in ("ours", "loop"):
                ratios = [row[name]["ratio"] for row in some]
                found[f"{name}_{work}_{threads}"] = spread(ratios)
    return found


def _layer(row: Mapping[str, Any]) -> list[str]:
    names = {"length": "steps", "width": "units", "batch": "batch"}
    usual = layers.Case._field_defaults
    sizes = (
        f"{row[key]}" if row[key] == usual[key] else f"{name} **{row[key]}**"
        for key, name in names.items()
    )
    size = ", ".join([row["kind"], *sizes])
    return [size, milliseconds(row["torch.nn"]["milliseconds"]), *map(times, _others(row))]


def _others(row: Mapping[str, Any]) -> Iterator[Mapping[str, float]]:
    return (row[name] for name in ("ours", "loop"))


def of_gradients(rows: Rows) -> dict[str, str]:
    """Write time and memory of each way to a gradient."""
    names = {"autograd": "our layer, autograd", "by hand": "by hand", "torch.nn": "`torch.nn`"}
    header = ("layer, steps: gradient", "ms", "times as long as ours", "most memory, MB")
    lines = [
        [
            f"{row['kind']}, {row['length']}: {words}",
            milliseconds(row[name]["milliseconds"]),
            times(row[name]),
            megabytes(row[name]["bytes"]),
        ]
        for row in rows
        for name, words in names.items()
    ]
    memory = [row["by hand"]["bytes"] / row["autograd"]["bytes"] for row in rows]
    return {
        "table": table(header, lines),
        "time": spread([row["by hand"]["ratio"] for row in rows]),
        "memory": spread(memory),
    }


def of_checkpointing(rows: Rows) -> dict[str, str]:
    """Write time and memory against the length of a segment."""
    whole, *parts = rows
    header = ("steps of a segment", "ms", "times as long", "most memory, MB", "part of the whole")
    lines = [
        [
            f"{row['segment']}" if row["segment"] != whole["segment"] else "all, no checkpoint",
            milliseconds(row["milliseconds"]),
            times(row),
            megabytes(row["bytes"]),
            f"{row['bytes'] / whole['bytes']:.2f}",
        ]
        for row in rows
    ]
    least = min(parts, key=lambda row: row["bytes"])
    return {
        "table": table(header, lines),
        "segment": f"{least['segment']}",
        "part": f"{least['bytes'] / whole['bytes']:.2f}",
        "ratio": f"{least['ratio']:.1f}",
    }


def of_lengths(rows: Rows) -> dict[str, str]:
    """Write times against lengths, what they are to the reference, and how they grow."""
    names = list(lengths.layers())
    each = [
        [f"{row['length']:,}", *(milliseconds(row[name]["milliseconds"]) for name in names)]
        for row in rows
    ]
    ratios = [[f"{row['length']:,}", *(times(row[name]) for name in names[1:])] for row in rows]
    powers = {name: lengths.powers(rows, name) for name in names}
    grown = [
        [name, *(f"{number:.2f}" for power in both.values() for number in power)]
        for name, both in powers.items()
    ]
    faster = [
        name for name, both in powers.items() if both["short"].exponent >= both["long"].exponent
    ]
    middle = f"{lengths.LENGTHS[len(lengths.LENGTHS) // 2]:,}"
    ends = f"{lengths.LENGTHS[0]:,} to {middle}", f"{middle} to {lengths.LENGTHS[-1]:,}"
    header = ("layer", *(words for end in ends for words in (end, "farthest point, times")))
    found = {
        "times": table(("steps, ms", *names), each),
        "ratios": table(("steps", *names[1:]), ratios),
        "exponents": table(header, grown),
        "slower_at_first": f"all but these: {'; '.join(faster)}" if faster else "all of them",
    }
    for name in ("GRU, a loop", "torch.nn.GRU", "attention", "attention, fused"):
        found[name.replace(".", "_").replace(", ", "_").replace(" ", "_")] = crossing(rows, name)
    return found


def crossing(rows: Rows, name: str) -> str:
    """Say from which length on the scan is faster than another contender."""
    for place, row in enumerate(rows):
        if all(later["MinGRU, a scan"]["ratio"] < later[name]["ratio"] for later in rows[place:]):
            return f"from {row['length']:,} steps on" if place else "at every length"
    return "at no length that was measured"


def of_recorded(rows: Rows) -> dict[str, str]:
    """Write the two trainings to a goal."""
    first, second = (
        [row for row in rows if row["run"] == run] for run in ("12-time-machine", "15-equal-time")
    )
    seconds = {row["name"]: row["seconds"] for row in first}
    ratios = [d2l / ours for d2l, ours in zip(seconds["d2l"], seconds["ours"], strict=False)]
    named = {"d2l": "the recipe of D2L", "ours": "ours"}
    novel = [
        [named[row["name"]], f"{row['seeds']}", spread(row["epochs"], 0), spread(row["seconds"], 0)]
        for row in first
    ]
    goals = list(second[0]["reached"])
    sentences = [
        [
            named.get(row["name"], row["name"]),
            f"{row['seeds']}",
            *(_reached(row["reached"][goal]) for goal in goals),
            spread(row["BLEU"], 1),
        ]
        for row in second
    ]
    header = ("model", "seeds", *(f"s to {goal}" for goal in goals), "BLEU at the end")
    return {
        "where": " and ".join(dict.fromkeys(row["machine"] for row in rows)),
        "minutes": " and ".join(f"{some[0]['repeating'] / 60:.0f}" for some in (first, second)),
        "novel": table(("recipe", "seeds", "epochs", "seconds"), novel),
        "faster": spread(ratios, 1),
        "sentences": table(header, sentences),
    }


def _reached(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}"


def of_building(rows: Rows) -> dict[str, str]:
    """Write what builds and checks took, and the chapters; what was not noted is said to be so."""
    done = [row for row in rows if row["task"] != "chapter"]
    chapters = [row for row in rows if row["task"] == "chapter"]
    tasks = [[f"`{row['task']}`, {row['name']}", f"{row['seconds']:,.0f}"] for row in done]
    each = [[row["name"], f"{row['seconds']:.0f}", megabytes(row["bytes"])] for row in chapters]
    missing = "No {} had been noted when these results were written."
    return {
        "tasks": table(("what", "seconds"), tasks) if tasks else missing.format("build"),
        "chapters": (
            table(("chapter", "seconds", "page, MB"), each) if each else missing.format("chapter")
        ),
    }


#: What is shown of each section of the results.
PARTS: dict[str, Callable[[Rows], dict[str, str]]] = {
    "layers": of_layers,
    "gradients": of_gradients,
    "checkpointing": of_checkpointing,
    "lengths": of_lengths,
    "recorded": of_recorded,
    "building": of_building,
}
