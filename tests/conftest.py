"""What all tests share: no network, one thread, no shell, and the folder of the built site."""

import os
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from checks import OFFLINE

# The numbers do not depend on the machine's cores, and two tests may run beside each other.
os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def offline(request, monkeypatch):
    """Refuse the network to the programs that a test starts: pytest-socket reaches only itself."""
    if request.node.get_closest_marker("enable_socket") is None:
        for name, value in OFFLINE.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def no_shell():
    """Leave no shell behind: what draws may start one (d2l's loops do), and figures ask for it."""
    yield
    InteractiveShell.clear_instance()


@pytest.fixture(scope="session")
def site():
    """The folder of the built site: the one that UNROLLED_SITE names, else `_build/html`."""
    folder = Path(os.environ.get("UNROLLED_SITE", ROOT / "_build" / "html"))
    if not (folder / "index.html").exists():
        pytest.fail(f"There is no site in {folder}: run `make book` first")
    return folder
