"""The data sets of d2l: only the right file counts, and every failure says what to do.

No test talks to the internet: a server on loopback plays the one that d2l names.
"""

import builtins
import errno
import hashlib
import importlib.util
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pooch
import pytest
import torch

from unrolled.data import corpus
from unrolled.data.d2l import data_folder, download, import_d2l, time_machine

RIGHT = b"The Time Machine, by H. G. Wells [1898]\n\n I\n\nTwo  words--and 2 more" + b"!" * 5000
SHA1 = hashlib.sha1(RIGHT).hexdigest()
no_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed here"
)
PAGE = b"<html><body>Please log in to this network.</body></html>"


class Server(HTTPServer):
    """Answers every request in one way, and looks whether the file is there half-way."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.file = folder / "timemachine.txt"
        self.url = f"http://127.0.0.1:{self.server_port}/{self.file.name}"
        self.status, self.body, self.length = 200, RIGHT, None
        self.requests, self.there_half_way = 0, False


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests += 1
        self.send_response(server.status)
        self.send_header("Content-Length", str(server.length or len(server.body)))
        self.end_headers()
        half = len(server.body) // 2
        self.wfile.write(server.body[:half])
        server.there_half_way = server.file.exists()
        self.wfile.write(server.body[half:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("UNROLLED_DATA", str(folder))
    return folder


@pytest.fixture
def server(folder, monkeypatch):
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setitem(import_d2l().DATA_HUB, "time_machine", (server.url, SHA1))
        yield server
        server.shutdown()
        thread.join()


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_kept_and_not_asked_for_again(server, folder):
    path = download("time_machine")
    assert path == folder / "timemachine.txt"
    assert path.read_bytes() == RIGHT
    assert not server.there_half_way  # until it is complete and checked, it has another name
    assert download("time_machine") == path
    assert server.requests == 1
    assert left_in(folder) == ["timemachine.txt"]


def test_a_file_placed_by_hand_is_used_without_the_network(server, folder):
    folder.mkdir()
    (folder / "timemachine.txt").write_bytes(RIGHT)
    assert download("time_machine").read_bytes() == RIGHT
    assert server.requests == 0


def refused(server, reason):
    """See a download refused, with what one must know to place the file by hand."""
    with pytest.raises(OSError, match=reason) as error:
        download("time_machine")
    message = str(error.value)
    for part in (server.url, str(server.file), SHA1, "UNROLLED_DATA", "by hand"):
        assert part in message
    return message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 404, "body": PAGE}, "the server answered 404 Not Found"),
        ({"status": 503, "body": RIGHT}, "the server answered 503 Service Unavailable"),
        ({"body": PAGE}, "what came is another file"),
        ({"body": RIGHT[:-1]}, "what came is another file"),
        ({"body": RIGHT[:2000], "length": len(RIGHT)}, "the connection broke off"),
        ({"body": b""}, "what came is another file"),
    ],
    ids=["not found", "error with the right file", "page", "wrong hash", "cut", "empty"],
)
def test_a_wrong_answer_is_refused_and_leaves_nothing(server, folder, answer, reason):
    for name, value in answer.items():
        setattr(server, name, value)
    assert "cut or changed" not in refused(server, reason)
    assert left_in(folder) == []
    server.status, server.body, server.length = 200, RIGHT, None
    assert download("time_machine").read_bytes() == RIGHT  # and the next try is as if new


def test_no_connection(server, folder):
    server.shutdown()
    server.server_close()
    refused(server, "there is no answer, as where there is no connection to the internet")
    assert left_in(folder) == []


def test_the_real_address_is_named_where_there_is_no_internet(folder):
    """The real entry of d2l; the network is refused to tests."""
    with pytest.raises(OSError, match="no connection to the internet") as error:
        corpus("time_machine")
    assert "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt" in str(error.value)
    assert "090b5e7e70c295757f55df93cb0a180b9691891a" in str(error.value)


def test_a_wrong_file_in_the_folder_is_replaced_where_that_is_possible(server, folder):
    folder.mkdir()
    server.file.write_bytes(RIGHT[:-1])
    server.status = 404
    message = refused(server, "the server answered 404")
    assert message.startswith(f"The file at {server.file} is cut or changed: its SHA-1 is another.")
    assert server.file.read_bytes() == RIGHT[:-1]
    server.status = 200
    assert download("time_machine").read_bytes() == RIGHT
    assert left_in(folder) == ["timemachine.txt"]


def not_kept(reason):
    with pytest.raises(OSError, match=rf"cannot be read or kept \({reason}\)") as error:
        download("time_machine")
    assert "UNROLLED_DATA" in str(error.value)
    assert "by hand" not in str(error.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_no_file(server, folder, monkeypatch, number):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number), str(folder))

    monkeypatch.setattr(pooch.utils.tempfile, "NamedTemporaryFile", refuse)
    folder.mkdir()
    not_kept(os.strerror(number))
    assert left_in(folder) == []


def test_a_folder_that_cannot_be_made(server, folder, monkeypatch):
    folder.write_text("a file stands there")
    for place in (folder, folder / "below"):
        monkeypatch.setenv("UNROLLED_DATA", str(place))
        not_kept("(Not a directory|File exists)")
    assert folder.read_text() == "a file stands there"


def test_a_disk_that_fills_up(server, folder, monkeypatch):
    def open_on_a_full_disk(path, mode):
        file = builtins.open(path, mode)  # noqa: SIM115

        class Full:
            written = 0

            def write(self, chunk):
                if self.written > 2000:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.written += file.write(chunk)

            flush, close = file.flush, file.close

        return Full()

    monkeypatch.setattr(pooch.downloaders, "open", open_on_a_full_disk, raising=False)
    not_kept("No space left on device")
    assert left_in(folder) == []


def test_the_folder_without_the_variable(monkeypatch):
    monkeypatch.setenv("UNROLLED_DATA", "")
    assert data_folder() == pooch.os_cache("unrolled")
    monkeypatch.setenv("UNROLLED_DATA", "~/lessons")
    assert data_folder() == Path.home() / "lessons"


def test_unknown_data_set_lists_the_names():
    with pytest.raises(
        ValueError, match=r"no data set 'time'; expected one of .*fra-eng.*, time_m"
    ):
        download("time")


def test_d2l_reads_the_checked_file(server):
    assert time_machine() == "the time machine by h g wellsitwo words and more"
    made = corpus("time_machine")
    assert len(made.vocab) == len(set("the time machine by h g wellsitwo word"))  # no <unk>
    assert "".join(made.vocab.decode(made.train)) == "the time machine by h g wellsitwo words "


def afresh(monkeypatch):
    """Import d2l once more, as in a new process."""
    monkeypatch.delattr(importlib.import_module("d2l"), "torch", raising=False)
    monkeypatch.delitem(sys.modules, "d2l.torch", raising=False)
    return import_d2l()


@no_torchvision
def test_d2l_comes_without_torchvision(monkeypatch):
    d2l = afresh(monkeypatch)
    assert d2l.torchvision.__name__ == "torchvision"  # what stood in for it
    assert "torchvision" not in sys.modules
    assert importlib.util.find_spec("torchvision") is None
    assert d2l.tensor is torch.tensor  # the rest is the real d2l


@no_torchvision
def test_a_failing_import_leaves_no_placeholder(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pandas is not installed.*pip install d2l==0.17.0"
    ):
        afresh(monkeypatch)
    assert "torchvision" not in sys.modules


@no_torchvision
def test_torchvision_stays_where_it_is_installed(monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("transforms, real = None, True\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert afresh(monkeypatch).torchvision.real
        assert sys.modules["torchvision"].real
    finally:
        sys.modules.pop("torchvision", None)


def test_d2l_draws_with_ipython_9(monkeypatch):
    from matplotlib_inline import backend_inline

    asked = []
    monkeypatch.setattr(backend_inline, "set_matplotlib_formats", asked.append)
    import_d2l().set_figsize()
    assert asked == ["svg"]


def test_without_d2l(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "d2l", None)
    with pytest.raises(ModuleNotFoundError, match=r"package d2l is not .*pip install d2l==0.17.0"):
        corpus("time_machine")


def test_another_d2l(folder, monkeypatch):
    monkeypatch.setattr("d2l.__version__", "1.0.3")
    with pytest.raises(ImportError, match=re.escape("d2l 1.0.3 is installed; expected 0.17.0")):
        corpus("time_machine")


@pytest.fixture
def real_data():
    named = os.environ.get("UNROLLED_DATA")
    if not named or not (Path(named) / "timemachine.txt").exists():
        pytest.skip("UNROLLED_DATA names no folder that has timemachine.txt")


def test_the_real_time_machine(real_data, monkeypatch):
    monkeypatch.setattr(pooch.core, "stream_download", None)  # whoever downloads fails
    made = corpus("time_machine")
    assert [len(piece) for piece in made[:3]] == [136_464, 17_058, 17_058]
    assert made.vocab.tokens == [" ", *"abcdefghijklmnopqrstuvwxyz"]
    numbers, vocab = (
        import_d2l().load_corpus_time_machine()
    )  # d2l's own, which it numbers otherwise
    assert made.vocab.decode(torch.cat(made[:3])) == [vocab.idx_to_token[n] for n in numbers]
    assert download("time_machine").name == "timemachine.txt"
