"""Small faults, each of which the tests of its module must notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault: in a file of the package, ``old`` (which stands there once) becomes ``new``."""

    name: str
    file: str
    old: str
    new: str
    tests: str


CELLS = "tests/test_cells.py"
LAYERS = "tests/test_layers.py"
DATA = "tests/test_data.py"
RUNS = "tests/test_runs.py"

MUTANTS = [
    Mutant("bias forgotten", "cells.py", "self.weight_ih, self.bias)", "self.weight_ih)", CELLS),
    Mutant(
        "recurrent matrix transposed",
        "cells.py",
        "F.linear(state, self.weight_hh)",
        "state @ self.weight_hh",
        CELLS,
    ),
    Mutant(
        "state forgotten",
        "cells.py",
        "projected_t + F.linear(state, self.weight_hh)",
        "projected_t",
        CELLS,
    ),
    Mutant(
        "sign of the state",
        "cells.py",
        "projected_t + F.linear(state",
        "projected_t - F.linear(state",
        CELLS,
    ),
    Mutant("state detached", "cells.py", "F.linear(state,", "F.linear(state.detach(),", LAYERS),
    Mutant("weights of size one", "cells.py", "1 / math.sqrt(hidden_size)", "1.0", CELLS),
    Mutant("initial state of ones", "cells.py", ".new_zeros(batch", ".new_ones(batch", CELLS),
    Mutant("tanh left out", "cells.py", '"tanh": torch.tanh', '"tanh": lambda z: z', CELLS),
    Mutant(
        "padding reaches the product",
        "layers.py",
        "        x = zero_padding(x, lengths)\n        projected",
        "        projected",
        LAYERS,
    ),
    Mutant("true end off by one", "layers.py", "(t < lengths)", "(t <= lengths)", LAYERS),
    Mutant("mask off by one", "layers.py", ") < lengths[:, None]", ") <= lengths[:, None]", LAYERS),
    Mutant(
        "state runs on past the end",
        "layers.py",
        "state = map_state(partial(torch.where, going), new, state)",
        "state = new",
        LAYERS,
    ),
    Mutant("outputs past the end kept", "layers.py", "output * going", "output", LAYERS),
    Mutant("final state of the lowest layer", "layers.py", "state[-1])", "state[0])", LAYERS),
    Mutant("time reversed", "layers.py", "projected.unbind(", "projected.flip(1).unbind(", LAYERS),
    Mutant(
        "dropout on the input",
        "layers.py",
        "x if depth == 0 else self.dropout(x)",
        "self.dropout(x)",
        LAYERS,
    ),
    Mutant("no dropout", "layers.py", "x if depth == 0 else self.dropout(x)", "x", LAYERS),
    Mutant("residual forgotten", "layers.py", "x = x + below", "x = x + 0 * below", LAYERS),
    Mutant(
        "padding in the residual",
        "layers.py",
        "        if self.residual:\n            x = zero_padding(x, lengths)\n",
        "",
        LAYERS,
    ),
    Mutant(
        "states of layers exchanged",
        "layers.py",
        "zip(self.layers, state, strict",
        "zip(self.layers, state[::-1], strict",
        LAYERS,
    ),
    Mutant(
        "one bias of two",
        "layers.py",
        "sum(biases, torch.zeros_like(cell.bias))",
        "sum(biases[:1], torch.zeros_like(cell.bias))",
        LAYERS,
    ),
    Mutant(
        "nonlinearity not carried over",
        "layers.py",
        "            nonlinearity=module.nonlinearity,\n",
        "",
        LAYERS,
    ),
    Mutant("named tuples become tuples", "layers.py", "first._make(parts) if", "parts if", LAYERS),
    Mutant(
        "f-string from its last quote only",
        "data/python_source.py",
        "begin = opened.pop()",
        "opened.pop()",
        DATA,
    ),
    Mutant(
        "comments are strings",
        "data/python_source.py",
        '"comment" if kind == "COMMENT" else "string"',
        '"string"',
        DATA,
    ),
    Mutant(
        "windows overlap",
        "data/python_source.py",
        "next_free = start + time",
        "next_free = start + 1",
        DATA,
    ),
    Mutant(
        "windows begin inside strings",
        "data/python_source.py",
        " and not inside_string",
        "",
        DATA,
    ),
    Mutant(
        "held-out modules in the training set",
        "data/python_source.py",
        "_windows(TRAINING_MODULES, time)",
        "_windows(HELD_OUT_MODULES, time)",
        DATA,
    ),
    Mutant(
        "text not escaped",
        "data/python_source.py",
        "html.escape(text[begin:end])",
        "text[begin:end]",
        DATA,
    ),
    Mutant(
        "unknown tokens dropped",
        "data/vocab.py",
        "for token in tokens]\n        if None",
        "for token in tokens if token in self._numbers]\n        if None",
        DATA,
    ),
    Mutant(
        "vocabulary not sorted", "data/vocab.py", "sorted(set(tokens)", "list(set(tokens)", DATA
    ),
    Mutant(
        "settings of the variant ignored",
        "runs/registry.py",
        "{**self.settings, **self.variants[variant]}",
        "self.settings",
        RUNS,
    ),
    Mutant(
        "another seed",
        "runs/registry.py",
        "variant, self.seeds[0]",
        "variant, self.seeds[-1]",
        RUNS,
    ),
    Mutant(
        "fingerprint of the first tensor's shape",
        "runs/registry.py",
        "tensor.contiguous().numpy().tobytes()",
        "str(tensor.shape).encode()",
        RUNS,
    ),
    Mutant(
        "a loss that is no number goes on",
        "runs/registry.py",
        "if not math.isfinite(loss)",
        "if False",
        RUNS,
    ),
    Mutant(
        "threads not restored",
        "runs/registry.py",
        "torch.set_num_threads(threads)",
        "torch.get_num_threads()",
        RUNS,
    ),
]
