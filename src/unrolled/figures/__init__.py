"""Every drawing of the book, in one style.

Time runs from left to right, depth runs upwards, gradients run from right to left. Each function
returns a `matplotlib.figure.Figure`: as the last line of a notebook cell it shows itself.
"""

from .activation import activation_text
from .alignment import alignment, alignments
from .alignment_explorer import AlignmentExplorer, alignment_explorer
from .bars import bars
from .batches import padded_batch
from .beam import beam_tree
from .cell import cell_diagram
from .checkpointing import checkpointing
from .cliff import cliff
from .distributions import distributions
from .explorer import explorer
from .graph import unrolled_graph
from .mixing import attention_step
from .palette import COLOURS
from .panels import panels
from .pictures import pictures
from .plots import curves, heatmap
from .scan import scan_tree
from .self_attention import self_attention_graph
from .seq2seq import seq2seq_graph
from .shapes import task_shapes, unrolled_graphs
from .states import hidden_states
from .style import style
from .tagged import tagged_text
from .text import stateful_windows, text_window
from .wavefront import wavefront

__all__ = [
    "COLOURS",
    "AlignmentExplorer",
    "activation_text",
    "alignment",
    "alignment_explorer",
    "alignments",
    "attention_step",
    "bars",
    "beam_tree",
    "cell_diagram",
    "checkpointing",
    "cliff",
    "curves",
    "distributions",
    "explorer",
    "heatmap",
    "hidden_states",
    "padded_batch",
    "panels",
    "pictures",
    "scan_tree",
    "self_attention_graph",
    "seq2seq_graph",
    "stateful_windows",
    "style",
    "tagged_text",
    "task_shapes",
    "text_window",
    "unrolled_graph",
    "unrolled_graphs",
    "wavefront",
]
