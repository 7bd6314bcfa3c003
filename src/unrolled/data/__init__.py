"""The data of the book, one module for each task; nothing is downloaded unless a page says so."""

from unrolled.data.calls import CallTagging, Statements, call_tagging, tagged_statements
from unrolled.data.captions import (
    CaptionBatch,
    CaptionBatches,
    HandwrittenNumbers,
    NumberPictures,
    Wording,
    handwritten_numbers,
    number_in_words,
    scanned_digits,
)
from unrolled.data.corpora import Corpus, corpus
from unrolled.data.dates import date_pairs
from unrolled.data.memory import (
    AddingBatches,
    CopyingBatches,
    FirstSymbolBatches,
    MemoryBatch,
)
from unrolled.data.numbers import number_name, number_words
from unrolled.data.pairs import (
    PairBatch,
    PairBatches,
    TextPairs,
    TextTokens,
    Tokenizer,
    Translation,
)
from unrolled.data.prose import LabelledTexts, ProseOrProgram, prose_or_program
from unrolled.data.python_source import (
    ClosingQuote,
    Highlighting,
    TaggedText,
    closing_quotes,
    colour_letters,
    highlighting,
)
from unrolled.data.roman import RomanBatches, RomanNumerals, roman_numeral, roman_numerals
from unrolled.data.sentences import Intents, Opinions, intents, opinions
from unrolled.data.sequences import LengthBatches, SequenceBatch
from unrolled.data.subwords import Subwords
from unrolled.data.translation import SplitPairs, references, translation_pairs
from unrolled.data.vocab import Vocab
from unrolled.data.windows import ContiguousWindows, MaskedWindow, RandomWindows, Window
from unrolled.data.words import LanguageWords, language_words

__all__ = [
    "AddingBatches",
    "CallTagging",
    "CaptionBatch",
    "CaptionBatches",
    "ClosingQuote",
    "ContiguousWindows",
    "CopyingBatches",
    "Corpus",
    "FirstSymbolBatches",
    "HandwrittenNumbers",
    "Highlighting",
    "Intents",
    "LabelledTexts",
    "LanguageWords",
    "LengthBatches",
    "MaskedWindow",
    "MemoryBatch",
    "NumberPictures",
    "Opinions",
    "PairBatch",
    "PairBatches",
    "ProseOrProgram",
    "RandomWindows",
    "RomanBatches",
    "RomanNumerals",
    "SequenceBatch",
    "SplitPairs",
    "Statements",
    "Subwords",
    "TaggedText",
    "TextPairs",
    "TextTokens",
    "Tokenizer",
    "Translation",
    "Vocab",
    "Window",
    "Wording",
    "call_tagging",
    "closing_quotes",
    "colour_letters",
    "corpus",
    "date_pairs",
    "handwritten_numbers",
    "highlighting",
    "intents",
    "language_words",
    "number_in_words",
    "number_name",
    "number_words",
    "opinions",
    "prose_or_program",
    "references",
    "roman_numeral",
    "roman_numerals",
    "scanned_digits",
    "tagged_statements",
    "translation_pairs",
]
