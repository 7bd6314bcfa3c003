"""Chapter 12: answers written otherwise than in the list get what their values deserve."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from variants import SEEDS, assert_passes, assert_told

from unrolled.exercises.ch12 import deep_rnn, locked_dropout, residual_layer, widest
from unrolled.layers import GRU, LSTM, RNN, Stacked

# --- Right answers --------------------------------------------------------------------------------


def deep_step_by_step(x, weights):
    h = [x.new_zeros(x.shape[0], hh.shape[0]) for _, hh, _ in weights]
    outputs = []
    for t in range(x.shape[1]):
        below = x[:, t]
        for layer, (ih, hh, b) in enumerate(weights):
            h[layer] = F.linear(below, ih, b).add(F.linear(h[layer], hh)).tanh()
            below = h[layer]
        outputs.append(below)
    return torch.stack(outputs, 1), torch.stack(h)


def deep_by_recursion(x, weights):
    (ih, hh, b), *above = weights
    outputs = []
    for product in (x @ ih.mT).unbind(1):
        outputs.append(torch.tanh(product + b + (outputs[-1] @ hh.mT if outputs else 0)))
    if not above:
        return torch.stack(outputs, 1), outputs[-1][None]
    top, states = deep_by_recursion(torch.stack(outputs, 1), above)
    return top, torch.cat([outputs[-1][None], states])


def deep_of_torch(x, weights):
    inputs, hidden = x.shape[2], len(weights[0][1])
    network = nn.RNN(inputs, hidden, len(weights), batch_first=True).double()
    parameters = {}
    for layer, (ih, hh, b) in enumerate(weights):
        names = [f"{n}_l{layer}" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        parameters |= dict(zip(names, (ih, hh, b, torch.zeros_like(b)), strict=True))
    return torch.func.functional_call(network, parameters, (x,))


def residual_with_try(layer, x):
    outputs = layer(x)[0]
    if x.size(-1) != outputs.size(-1):
        return outputs
    return outputs.add(x)


def residual_in_one_product(layer, x):
    outputs = layer(x)[0]
    same = float(x.shape == outputs.shape)
    return outputs + same * x if same else outputs * 1.0


def locked_by_bernoulli(x, p, generator):
    mask = torch.empty(len(x), x.shape[2]).bernoulli_(1 - p, generator=generator)
    return x * mask[:, None] / (1 - p)


def locked_where(x, p, generator):
    drawn = torch.rand((x.shape[0], x.shape[2]), generator=generator, dtype=x.dtype)
    dropped = (drawn < p).unsqueeze(1).expand_as(x)
    return torch.where(dropped, torch.zeros_like(x), x / (1 - p))


def widest_by_the_library(cell, layers, input_size, budget):
    kind = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}[cell]

    def count(hidden):
        with torch.device("meta"):
            return sum(p.numel() for p in kind(input_size, hidden, layers).parameters())

    low, high = 0, 1
    while count(high) <= budget:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low


def widest_by_the_formula(cell, layers, input_size, budget):
    g = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    a = g * (2 * layers - 1)
    b = g * (input_size + layers) + (layers if cell == "GRU" else 0)
    hidden = int((-b + (b * b + 4 * a * budget) ** 0.5) / (2 * a)) + 2
    while a * hidden * hidden + b * hidden > budget:
        hidden -= 1
    return hidden


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("12.1", deep_step_by_step),
        ("12.1", deep_by_recursion),
        ("12.1", deep_of_torch),
        ("12.2", residual_with_try),
        ("12.2", residual_in_one_product),
        ("12.3", locked_by_bernoulli),
        ("12.3", locked_where),
        ("12.4", widest_by_the_library),
        ("12.4", widest_by_the_formula),
    ],
)
def test_a_right_answer_written_otherwise_passes(key, answer, seeds):
    assert_passes(key, answer, seeds)


# --- Wrong answers --------------------------------------------------------------------------------


def deep_from_a_list_of_x(x, weights):
    states, given = [], x
    for ih, hh, b in weights:
        h, outputs = torch.zeros(len(given), len(hh)).double(), []
        for t in range(given.size(1)):
            h = torch.tanh(F.linear(given[:, t], ih) + F.linear(h, hh) + b)
            outputs.append(h)
        result = torch.stack(outputs, 1)
        states.append(h)
    return result, torch.stack(states)


def deep_with_a_sigmoid(x, weights):
    states = []
    for ih, hh, b in weights:
        h, outputs = x.new_zeros(len(x), len(hh)), []
        for x_t in x.unbind(1):
            h = torch.sigmoid(x_t @ ih.T + h @ hh.T + b)
            outputs.append(h)
        x = torch.stack(outputs, 1)
        states.append(h)
    return x, torch.stack(states)


def deep_in_float32(x, weights):
    outputs, states = deep_rnn(x.float(), [tuple(w.float() for w in layer) for layer in weights])
    return outputs, states


def residual_padded(layer, x):
    outputs = layer(x)[0]
    missing = outputs.shape[2] - x.shape[2]
    return outputs + (F.pad(x, (0, missing)) if missing > 0 else x[..., : outputs.shape[2]])


def residual_by_the_batch(layer, x):
    outputs, _ = layer(x)
    return x + outputs if len(x) == len(outputs) else outputs


def locked_without_the_share(x, p, generator):
    return x * (torch.rand(len(x), 1, x.shape[2], generator=generator) > 0.5) * 2


def locked_shape(x, p, generator):
    return locked_dropout(x, p, generator)[:, 0]


def locked_from_a_seed_of_its_own(x, p, generator):
    return locked_dropout(x, p, torch.Generator().manual_seed(0))


def widest_for_the_power_of_two(cell, layers, input_size, budget):
    return 2 ** (widest(cell, layers, input_size, budget).bit_length() - 1)


@SEEDS
@pytest.mark.parametrize(
    ("key", "answer", "expected"),
    [
        ("12.1", deep_from_a_list_of_x, "every layer reads x"),
        ("12.1", deep_with_a_sigmoid, "differ from step 1 on"),
        ("12.1", deep_in_float32, "float32"),
        ("12.2", residual_padded, (1, "It is right with a layer as wide as its input")),
        ("12.2", residual_by_the_batch, "always added"),
        ("12.3", locked_without_the_share, "share dropped"),
        ("12.3", locked_shape, "expected a tensor of the shape of x"),
        ("12.3", locked_from_a_seed_of_its_own, "from elsewhere"),
        ("12.4", widest_for_the_power_of_two, "hidden size"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(key, answer, expected, seeds):
    assert_told(key, answer, expected, seeds)


# --- What the statements say ----------------------------------------------------------------------


def test_our_own_stack_does_what_the_exercises_ask_for():
    torch.manual_seed(0)
    network, x = RNN(3, 5, num_layers=3).double(), torch.randn(2, 4, 3, dtype=torch.float64)
    cells = [layer.cell for layer in network.layers]
    outputs, states = deep_rnn(x, [(c.weight_ih, c.weight_hh, c.bias) for c in cells])
    expected, final = network(x)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(states, torch.stack(final))
    residual = Stacked(network.layers[1:], residual=True)
    below = network.layers[0](x)[0]
    for layer in network.layers[1:]:
        expected = residual_layer(layer, below)
        below = expected
    torch.testing.assert_close(residual(network.layers[0](x)[0])[0], expected)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_the_widest_stack_fits_and_the_next_does_not(cell):
    kind = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}[cell]
    hidden = widest(cell, 3, 24, 50_000)
    sizes = [
        sum(p.numel() for p in kind(24, size, num_layers=3).parameters())
        for size in (hidden, hidden + 1)
    ]
    assert sizes[0] <= 50_000 < sizes[1]
