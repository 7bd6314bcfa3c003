"""The command line: ``python -m unrolled train NAME`` and ``... translate "I am cold."``."""

from __future__ import annotations

import argparse
import sys
import warnings

from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.distributed import is_torchelastic_launched

from unrolled.processes import launch
from unrolled.runs.registry import experiments, record
from unrolled.translator import Translator


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
    for option, what in (
        ("devices", "processes a machine, one for each GPU"),
        ("nodes", "machines"),
    ):
        train.add_argument(f"--{option}", type=int, default=1, help=f"{what} (default: 1)")
    translate = commands.add_parser(
        "translate", help="translate an English sentence to French, with the weights of the book"
    )
    translate.add_argument("text", help='one sentence, such as "I am cold."')
    options = parser.parse_args(arguments)
    if options.command == "train":
        if (options.devices, options.nodes) != (1, 1) or is_torchelastic_launched():
            try:
                launch(options.devices, options.nodes)
            except (ValueError, MisconfigurationException) as error:
                train.error(str(error))
        record(options.name)
        return 0
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            translation = Translator.load().translate(options.text)
    except (ValueError, OSError) as error:
        translate.error(str(error))
    for warning in said:
        print(f"warning: {warning.message}", file=sys.stderr)
    print(translation.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
