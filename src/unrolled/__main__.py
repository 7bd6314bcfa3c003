"""The command line: ``python -m unrolled train NAME``."""

from __future__ import annotations

import argparse
import sys

from unrolled.runs.registry import experiments, record


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m unrolled", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    known = experiments()
    listing = "\n".join(f"  {name}: {found.question}" for name, found in known.items())
    train = commands.add_parser(
        "train",
        help="run an experiment and write runs/NAME.json",
        description=f"Run an experiment for all its variants and seeds.\n\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("name", choices=known, metavar="NAME", help=", ".join(known))
    options = parser.parse_args(arguments)
    record(options.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
