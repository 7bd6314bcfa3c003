"""Set the address of the project everywhere: `make repository URL=https://github.com/OWNER/NAME`.

Without an address, it brings the present one into chapters that are new.

Its one place is `[project.urls]` of pyproject.toml, where the site reads it too. From there it goes
into the first code cell of each chapter, which installs the package from it, into the README and
into CITATION.cff. Until it is set, nothing is installed from anywhere.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
SETUP = """\
# Installs the package of this book where it is missing, as on Colab, from the
# address that `make repository URL=...` sets.
from importlib import metadata, util

if util.find_spec("unrolled") is None:
    address = "{address}"
    if not address:
        raise ModuleNotFoundError(
            "The package unrolled is missing. In a copy of the book, run "
            "`make lab`, or here: %pip install /path/to/that/copy"
        )
    keep = ""
    if util.find_spec("torch"):
        keep = f"torch=={metadata.version('torch')}"
    %pip install --quiet "unrolled @ git+{address}" {keep}"""
README_PART = re.compile(r"(<!-- address: [^>]*-->\n).*?(<!-- end of address -->\n)", re.DOTALL)
CLONE = """\
```sh
git clone {address} unrolled
cd unrolled
```
"""
NO_ADDRESS = "THE-ADDRESS-OF-THIS-REPOSITORY"


def setup_cell(address: str) -> str:
    """Give the text of the first code cell of every chapter."""
    return SETUP.replace("{address}", address, 1)


def read_address(root: Path = ROOT) -> str:
    """Read the address of the project, empty where none is set."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["project"].get("urls", {}).get("Repository", "")


def find_setup(notebook: NotebookNode, path: Path) -> NotebookNode:
    """Find the first code cell of a chapter, which must be the one tagged `setup`."""
    first = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if first is None or "setup" not in first.metadata.get("tags", []):
        raise ValueError(f"{path}: its first code cell must have the tag `setup`")
    return first


def with_address(root: Path, address: str) -> dict[Path, str]:
    """Give the text that each file that holds the address has with a new one.

    Raises
    ------
    ValueError
        A file has no place for it.
    """
    citation = re.compile(r'(\n# The address[^\n]*\n)(?:repository-code: "[^"\n]*"\n)?()')
    project = re.compile(r'(\[project\.urls\]\n)(?:Repository = "[^"\n]*"\n)?()')
    places = [
        ("pyproject.toml", project, f'Repository = "{address}"\n' if address else ""),
        ("CITATION.cff", citation, f'repository-code: "{address}"\n' if address else ""),
        ("README.md", README_PART, CLONE.replace("{address}", address or NO_ADDRESS)),
    ]
    texts = {}
    for name, pattern, new in places:
        text, count = pattern.subn(
            lambda match, new=new: match[1] + new + match[2],
            (root / name).read_text(encoding="utf-8"),
        )
        if count != 1:
            raise ValueError(f"{name} has {count} places for the address, expected one")
        texts[root / name] = text
    for path in sorted((root / "chapters").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        find_setup(notebook, path).source = setup_cell(address)
        texts[path] = nbformat.writes(notebook) + "\n"
    return texts


def main(arguments: list[str]) -> int:
    """Write the address that the command line gives, without one the present one."""
    given = " ".join(arguments) if arguments else read_address(ROOT)
    address = given.rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(address) and (arguments or address):
        print(
            f"Got {given or 'nothing'}; expected the project's address on GitHub: "
            "make repository URL=https://github.com/OWNER/NAME",
            file=sys.stderr,
        )
        return 2
    for path, text in with_address(ROOT, address).items():
        path.write_text(text, encoding="utf-8")
    print(f"The address is {address} everywhere." if address else "No address is set.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
