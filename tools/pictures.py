"""Draw the pictures that stand outside the chapters: `python tools/pictures.py`.

Run it after a change of `unrolled.figures`; a test compares the files with what it draws.
"""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from unrolled.figures import style, unrolled_graph

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def unrolled() -> Figure:
    """Return the picture of the README: a sentence, word by word."""
    return unrolled_graph(
        ["What", "time", "is", "it", "?"],
        ["PRON", "NOUN", "VERB", "PRON", "PUNCT"],
        initial="$h_0$",
        rolled=True,
    )


PICTURES: dict[Path, Callable[[], Figure]] = {ASSETS / "unrolled.svg": unrolled}


def save(name: Path, target: Path) -> None:
    """Draw a picture of `PICTURES` into a file, on paper of its own, for dark pages too."""
    style()
    PICTURES[name]().savefig(target, format="svg", metadata={"Date": None})


def main() -> None:
    """Draw all pictures."""
    for path in PICTURES:
        save(path, path)
        print(f"drawn: {path.relative_to(ASSETS.parent)}")


if __name__ == "__main__":
    main()
