"""Running text for language models, in three pieces that do not overlap."""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import Tensor

from unrolled.data.python_source import module_source
from unrolled.data.vocab import Vocab

# Modules of Python's own standard library. Between 3.11.7 and 3.13.0 at most one line in twenty of
# each changes, all are written in ASCII, and every system has them. What belongs together is in one
# set: the modules of a package, and those that share code, as weakref and _weakrefset do.
TRAINING_MODULES = """
    _compat_pickle _compression _osx_support _py_abc _pyio _threading_local asyncio
    asyncio.base_futures asyncio.coroutines asyncio.exceptions asyncio.futures
    asyncio.proactor_events asyncio.protocols asyncio.runners asyncio.sslproto
    asyncio.subprocess asyncio.threads asyncio.transports asyncio.trsock asyncio.windows_utils
    bz2 cProfile collections colorsys compileall concurrent.futures concurrent.futures._base
    concurrent.futures.thread copyreg difflib email email._encoded_words
    email._header_value_parser email._parseaddr email._policybase email.base64mime email.charset
    email.contentmanager email.encoders email.errors email.feedparser email.generator
    email.header email.headerregistry email.iterators email.mime.application email.mime.base
    email.mime.image email.mime.message email.mime.multipart email.mime.nonmultipart
    email.mime.text email.parser email.policy email.quoprimime fnmatch hmac http.cookiejar
    http.cookies http.server imaplib importlib.metadata._collections
    importlib.metadata._functools importlib.metadata._itertools importlib.metadata._text
    importlib.resources._adapters locale lzma mailbox multiprocessing multiprocessing.context
    multiprocessing.dummy multiprocessing.dummy.connection multiprocessing.forkserver
    multiprocessing.heap multiprocessing.managers multiprocessing.pool
    multiprocessing.popen_fork multiprocessing.popen_forkserver
    multiprocessing.popen_spawn_posix multiprocessing.process multiprocessing.reduction
    multiprocessing.resource_sharer multiprocessing.shared_memory multiprocessing.sharedctypes
    multiprocessing.spawn multiprocessing.synchronize multiprocessing.util netrc nturl2path
    operator pickle pickletools poplib profile pstats py_compile pyclbr quopri re._compiler
    rlcompleter secrets signal smtplib subprocess tabnanny trace unittest._log
    unittest.async_case unittest.case unittest.result unittest.signals unittest.suite
    unittest.util urllib.error urllib.request urllib.response urllib.robotparser xml xml.dom
    xml.dom.NodeFilter xml.dom.domreg xml.dom.expatbuilder xml.dom.minicompat xml.dom.minidom
    xml.dom.pulldom xml.dom.xmlbuilder xml.etree xml.etree.ElementInclude xml.etree.ElementPath
    xml.etree.ElementTree xml.sax._exceptions xml.sax.expatreader xml.sax.handler
    xml.sax.saxutils xml.sax.xmlreader xmlrpc.client xmlrpc.server zipapp
"""
VALIDATION_MODULES = """
    graphlib json json.decoder json.encoder json.scanner optparse pprint sched textwrap wsgiref
    wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.types wsgiref.util
    wsgiref.validate zoneinfo zoneinfo._common zoneinfo._zoneinfo
"""
TEST_MODULES = """
    _markupbase _weakrefset cmd dbm dbm.dumb fileinput gettext html html.parser modulefinder
    shelve socketserver string timeit tomllib._parser tomllib._re tracemalloc weakref
"""

LETTERS = "\n" + "".join(map(chr, range(ord(" "), ord("~") + 1)))  # the line end, printable ASCII


class Corpus(NamedTuple):
    """A text as numbers, in three pieces that do not overlap: each ``int64``, ``(time,)``."""

    train: Tensor
    validation: Tensor
    test: Tensor
    vocab: Vocab

    @classmethod
    def from_text(
        cls, text: str, *, validation: float = 0.1, test: float = 0.1, unknown: bool = True
    ) -> Corpus:
        """Make a corpus from a text of your own: first what trains, then validation, then test.

        Parameters
        ----------
        text
            The text; its letters are the tokens.
        validation, test
            The shares of the text that are held out, each rounded down to whole letters.
        unknown
            Whether the vocabulary, which comes from the training piece alone, has ``"<unk>"`` for
            letters that only the other pieces have.

        Raises
        ------
        TypeError
            If ``text`` is not a string.
        ValueError
            If the text is empty, a piece of it would be, or without ``"<unk>"`` a held-out letter
            does not occur in the training piece.

        Examples
        --------
        >>> mine = Corpus.from_text("to be, or not to be", validation=0.2, test=0.2)
        >>> "".join(mine.vocab.decode(mine.train))
        'to be, or not'
        >>> [len(piece) for piece in (mine.train, mine.validation, mine.test)]
        [13, 3, 3]
        """
        if not isinstance(text, str):
            raise TypeError(
                f"text is of type {type(text).__name__}; expected a string, for example from "
                'pathlib.Path("my.txt").read_text(encoding="utf-8")'
            )
        if not text:
            raise ValueError("the text is empty; expected at least one letter for each piece")
        train_end = len(text) - int(len(text) * validation) - int(len(text) * test)
        test_start = len(text) - int(len(text) * test)
        lengths = train_end, test_start - train_end, len(text) - test_start
        if min(lengths) < 1:
            raise ValueError(
                f"validation={validation} and test={test} cut the {len(text)} letters of the text "
                f"into pieces of {', '.join(map(str, lengths))}; expected at least one letter for "
                "training, for validation and for the test: give a longer text or other shares"
            )
        vocab = Vocab(text[:train_end], unknown=unknown)
        pieces = text[:train_end], text[train_end:test_start], text[test_start:]
        return cls(*map(vocab.encode, pieces), vocab)


def corpus(name: str) -> Corpus:
    """Load a corpus.

    ``"python"`` is source text of Python's own standard library, read from this interpreter: about
    2.5 million letters for training, 0.25 million for validation and 0.26 million for the test.
    The three sets come from different modules. The vocabulary is always the same 96 letters, the
    line end and printable ASCII; the few others that a release has (form feeds, tabs) are left out.

    ``"time_machine"`` is *The Time Machine* by H. G. Wells as the package d2l reads it [1]_, in
    lower-case letters and spaces: 136,464 letters for training, then 17,058 for validation and
    17,058 for the test. It is downloaded once, see :func:`unrolled.data.d2l.download`.

    Parameters
    ----------
    name
        ``"python"`` or ``"time_machine"``.

    Raises
    ------
    ValueError
        If there is no corpus of that name.
    ModuleNotFoundError
        If the interpreter came without its standard library's source.
    ImportError, OSError
        If the package d2l is missing or another version, or *The Time Machine* cannot be had.

    Examples
    --------
    >>> python = corpus("python")
    >>> len(python.vocab), python.train.shape[0] > 9 * python.test.shape[0]
    (96, True)

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li, A. J. Smola, *Dive into Deep Learning*, 2023, section
       "Converting Raw Text into Sequence Data".
    """
    if name not in CORPORA:
        raise ValueError(f"there is no corpus {name!r}; expected one of {', '.join(CORPORA)}")
    return CORPORA[name]()


def _python() -> Corpus:
    vocab = Vocab(LETTERS)

    def tokens(modules: str) -> Tensor:
        text = "\n".join(map(module_source, modules.split()))
        return vocab.encode(re.sub(r"[^\n -~]", "", text))

    return Corpus(tokens(TRAINING_MODULES), tokens(VALIDATION_MODULES), tokens(TEST_MODULES), vocab)


def _time_machine() -> Corpus:
    from unrolled.data.d2l import time_machine  # only here, for it brings the downloader

    return Corpus.from_text(time_machine(), unknown=False)


CORPORA = {"python": _python, "time_machine": _time_machine}
