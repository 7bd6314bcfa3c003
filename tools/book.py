"""Build the book: execute its notebooks, then make the site from them.

`python tools/book.py` brings `_build/html` up to date; with `--output FOLDER` the site is made in
that folder, whatever is there. A site is always made whole, beside the old one, and then takes its
place: nothing stale stays, and an interrupted build leaves nothing that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import nbformat
from jupyter_book.sphinx import build_sphinx
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from sphinx_external_toc.parsing import parse_toc_yaml
from sqlalchemy.exc import SQLAlchemyError

import tasks

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
CACHE = BUILD / ".jupyter_cache"
# For each cell; a whole chapter should take a minute.
SECONDS = 300
# The first page stands with the others in chapters/.
FRONT_DOOR = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Unrolled</title>
<meta http-equiv="refresh" content="0; url={page}">
</head>
<body><main><h1>Unrolled</h1><p><a href="{page}">Read the book</a></p></main></body>
</html>
"""
# What the outputs of the notebooks depend on beside their own cells.
BEHIND_OUTPUTS = ("src", "runs", "weights", "requirements.txt")
# What the site depends on.
BEHIND_SITE = (
    *BEHIND_OUTPUTS,
    *("chapters", "assets", "assets_templates", "tools"),
    *("_config.yml", "_toc.yml", "references.bib", "pyproject.toml"),
)


def files_below(paths: tuple[str, ...]) -> Iterator[Path]:
    """Give the files of the tree below some paths, in a fixed order."""
    for path in paths:
        for file in [ROOT / path, *sorted((ROOT / path).rglob("*"))]:
            made = {"__pycache__", ".ipynb_checkpoints"} & set(file.parts)
            if file.is_file() and not made:
                yield file


def key_of(paths: tuple[str, ...]) -> str:
    """Hash the files below some paths, with the Python and the torch that run."""
    found = hashlib.sha256(f"{sys.version} torch {version('torch')}".encode())
    for file in files_below(paths):
        found.update(f"\n{file.relative_to(ROOT).as_posix()}\n".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def chapters() -> list[Path]:
    """List the notebooks that the table of contents names."""
    documents = parse_toc_yaml(ROOT / "_toc.yml")
    paths = [(ROOT / name).with_suffix(".ipynb") for name in documents]
    return [path for path in paths if path.exists()]


# --- Executing the notebooks ------------------------------------------------------------------


def open_cache() -> JupyterCacheAbstract:
    """Open the cache of executed notebooks, empty where its outputs could be old."""
    mark = BUILD / "outputs.key"
    key = key_of(BEHIND_OUTPUTS)
    if not mark.exists() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(CACHE, ignore_errors=True)
        mark.write_text(key, encoding="utf-8")
    cache = get_cache(CACHE)
    try:
        cache.list_cache_records()
    except (RuntimeError, SQLAlchemyError):  # the call that made it was interrupted
        cache.db.dispose()
        shutil.rmtree(CACHE)
        cache = get_cache(CACHE)
    return cache


def is_cached(cache: JupyterCacheAbstract, path: Path) -> bool:
    """Tell whether the cache holds the outputs of a notebook."""
    try:
        record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
        cache.get_cache_bundle(record.pk)
    except (KeyError, ValueError):  # not there, or half written
        return False
    return True


def store(cache: JupyterCacheAbstract, path: Path, notebook: NotebookNode, seconds: float) -> None:
    """Put an executed notebook into the cache, over what an interrupted call left there."""
    _, key = cache.create_hashed_notebook(notebook)
    shutil.rmtree(CACHE / "executed" / key, ignore_errors=True)
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


async def execute(cache: JupyterCacheAbstract, path: Path, turn: asyncio.Semaphore) -> float | None:
    """Execute a notebook when it is its turn; say what failed, cache what did not.

    Returns
    -------
    float or None
        The seconds that it took, None where it failed.
    """
    async with turn:
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            resources={"metadata": {"path": str(path.parent)}},
            # Times in the cells' metadata would change the key in the cache.
            record_timing=False,
            # Else each kernel warns of other people on this machine.
            extra_arguments=["--log-level=ERROR"],
        )
        start = time.perf_counter()
        try:
            await client.async_execute()
        except (CellControlSignal, DeadKernelError) as error:
            words = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            print(f"{path.relative_to(ROOT).as_posix()} failed.\n{words}", file=sys.stderr)
            return None
        seconds = time.perf_counter() - start
        store(cache, path, notebook, seconds)
        print(f"  {path.stem} ran in {seconds:.0f} s", flush=True)
        return seconds


async def execute_stale() -> dict[str, float | None]:
    """Execute the notebooks that are not in the cache, two at a time.

    Returns
    -------
    dict
        The seconds of each that was executed, None where it failed.
    """
    cache = open_cache()
    stale = [path for path in chapters() if not is_cached(cache, path)]
    if stale:
        print(f"Executing {len(stale)} of {len(chapters())} notebooks", flush=True)
    turn = asyncio.Semaphore(2)
    seconds = await asyncio.gather(*(execute(cache, path, turn) for path in stale))
    return {path.stem: one for path, one in zip(stale, seconds, strict=True)}


# --- Making the site --------------------------------------------------------------------------


def listing(site: Path) -> str:
    """Hash the names and sizes of a site's files."""
    files = sorted(path for path in site.rglob("*") if path.is_file() and path.name != ".complete")
    rows = [f"{path.relative_to(site).as_posix()} {path.stat().st_size}" for path in files]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def is_current(site: Path, key: str) -> bool:
    """Tell whether a site is whole and made from the tree as it is."""
    mark = site / ".complete"
    return mark.exists() and mark.read_text(encoding="utf-8") == f"{key} {listing(site)}"


def make_site(site: Path, key: str) -> bool:
    """Make the site beside its place, then put it there.

    Returns
    -------
    bool
        Whether it was made without a warning.
    """
    work, old = BUILD / ".work", BUILD / ".old"
    shutil.rmtree(work, ignore_errors=True)
    settings = {
        "external_toc_path": str(ROOT / "_toc.yml"),
        "latex_individualpages": False,
        "nb_execution_cache_path": str(CACHE),
        "nitpicky": True,
    }
    status = build_sphinx(
        ROOT,
        work / "html",
        path_config=ROOT / "_config.yml",
        noconfig=True,
        confoverrides=settings,
        quiet=True,
        warningiserror=True,
        keep_going=True,
    )
    if status != 0:
        print("The site was not built: see the warnings above.", file=sys.stderr)
        return False
    page = f"{parse_toc_yaml(ROOT / '_toc.yml').root.docname}.html"
    (work / "html" / "index.html").write_text(FRONT_DOOR.format(page=page), encoding="utf-8")
    (work / "html" / ".complete").write_text(f"{key} {listing(work / 'html')}", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    site.parent.mkdir(parents=True, exist_ok=True)
    if site.exists():
        site.rename(old)
    (work / "html").rename(site)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)
    return True


def main() -> int:
    """Build the book as the command line says."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--output", type=Path, help="make the site anew, in this folder")
    output = parser.parse_args().output
    # Two notebooks run beside each other; and the numbers in the pages do not depend on the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TQDM_DISABLE"] = "1"  # nobody watches; a page is no place for a progress bar
    site = output.resolve() if output else BUILD / "html"
    with tasks.locked(BUILD / "book.lock", "Another call is building the book: waiting for it."):
        start = time.perf_counter()
        key = key_of(BEHIND_SITE)
        build = "with nothing changed"
        if output or not is_current(site, key):
            executed = asyncio.run(execute_stale())
            if None in executed.values():
                return 1
            print("Making the site", flush=True)
            if not make_site(site, key):
                return 1
            tasks.note_seconds(BUILD, "chapters", executed)
            build = {0: "pages alone", len(chapters()): "cold"}.get(len(executed), "in part")
        seconds = time.perf_counter() - start
        tasks.note_seconds(BUILD, "make book", {build: seconds})
    print(f"The book ({seconds:.0f} s): open {(site / 'index.html').as_uri()} in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
