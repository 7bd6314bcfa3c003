"""The data sets of the package d2l, of *Dive into Deep Learning*: downloaded, checked and kept.

This is the only place that knows d2l. Its own downloader keeps whatever a server sends, an error
page too; here a file counts only if its SHA-1 is the one that d2l lists.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from http.client import responses
from pathlib import Path
from types import ModuleType

import pooch
import requests

VERSION = "0.17.0"  # the last release that leaves NumPy and the others as they are


def import_d2l() -> ModuleType:
    """Import ``d2l.torch`` so that it works beside today's packages.

    d2l imports torchvision, which nothing here needs: where it is not installed, an empty module
    stands in for it during that import only. d2l's drawing asks IPython for what IPython 9 no
    longer has, and is pointed to where it is now. d2l's ``download`` becomes :func:`download`.

    Raises
    ------
    ImportError
        If d2l is another version than 0.17.0; as a ``ModuleNotFoundError``, if it or what it needs
        is not installed.
    """
    try:
        version = importlib.import_module("d2l").__version__
        if version != VERSION:
            raise ImportError(
                f"d2l {version} is installed; expected {VERSION}, whose functions are other ones: "
                f"pip install d2l=={VERSION}"
            )
        without = "torchvision" not in sys.modules and not importlib.util.find_spec("torchvision")
        if without:
            sys.modules["torchvision"] = ModuleType("torchvision")
            sys.modules["torchvision"].transforms = None
        try:
            d2l = importlib.import_module("d2l.torch")
        finally:
            if without:
                del sys.modules["torchvision"]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the package {error.name} is not installed; expected d2l {VERSION} and what it needs: "
            f"pip install d2l=={VERSION}",
            name=error.name,
        ) from error
    d2l.use_svg_display = _use_svg_display
    d2l.download = download
    return d2l


def data_folder() -> Path:
    """Give the folder in which downloads are kept.

    It is the one that the environment variable ``UNROLLED_DATA`` names, else ``unrolled`` in the
    user's cache.
    """
    return Path(os.environ.get("UNROLLED_DATA") or pooch.os_cache("unrolled")).expanduser()


def download(name: str) -> Path:
    """Give the path of a data set of d2l; download it, if it does not lie in the folder yet.

    A download has a temporary name until its SHA-1 is the one that d2l lists. A file in the folder
    with another SHA-1 is not read, and is replaced by a new download.

    Parameters
    ----------
    name
        Its name in ``d2l.DATA_HUB``, for example ``"time_machine"``.

    Raises
    ------
    ValueError
        If d2l has no data set of that name.
    OSError
        If the file cannot be downloaded, is not the expected one, or cannot be kept.
    """
    hub = import_d2l().DATA_HUB
    if name not in hub:
        raise ValueError(f"d2l has no data set {name!r}; expected one of {', '.join(sorted(hub))}")
    url, sha1 = hub[name]
    path = data_folder() / url.rpartition("/")[2]
    try:
        found = path.exists()
        return Path(
            pooch.retrieve(url, known_hash=f"sha1:{sha1}", fname=path.name, path=path.parent)
        )
    except (requests.exceptions.RequestException, ValueError) as error:
        wrong = f"The file at {path} is cut or changed: its SHA-1 is another. " if found else ""
        raise OSError(
            f"{wrong}{path.name} cannot be had from {url}: {_in_words(error)}. To place it by "
            "hand, download it from there with a browser, on another computer if need be, and save "
            f"it as {path}, or in the folder to which you set the environment variable "
            f"UNROLLED_DATA; its SHA-1 must be {sha1}"
        ) from error
    except OSError as error:
        said = error.__cause__ or error  # pooch wraps what the system says
        raise OSError(
            f"{path} cannot be read or kept ({said.strerror}); make room on that disk, or "
            "set the environment variable UNROLLED_DATA to a folder in which you may write"
        ) from error


def time_machine() -> str:
    """Give the text of *The Time Machine*, as d2l prepares it: lower-case letters and spaces.

    Raises
    ------
    ImportError, OSError
        As :func:`import_d2l` and :func:`download` do.
    """
    return "".join(import_d2l().read_time_machine())


def _use_svg_display() -> None:
    from matplotlib_inline import backend_inline

    backend_inline.set_matplotlib_formats("svg")


def _in_words(error: Exception) -> str:
    if isinstance(error, requests.exceptions.HTTPError):
        status = error.response.status_code
        return f"the server answered {status} {responses.get(status, '')}".rstrip()
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return "there is no answer, as where there is no connection to the internet"
    if isinstance(error, requests.exceptions.RequestException):
        return f"the connection broke off ({type(error).__name__})"
    return "what came is another file, perhaps the page of a proxy or a login, and was thrown away"
