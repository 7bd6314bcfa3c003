"""The drawing that answers, without a browser: its numbers, and that the script has the same."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from unrolled.bptt import jacobian_products, rnn_forward, step_jacobians
from unrolled.figures import COLOURS, explorer
from unrolled.figures.explorer import (
    LENGTH,
    NOISE,
    NONLINEARITIES,
    RADIUS,
    SEED,
    SEQUENCES,
    SYMBOL,
    SYMBOLS,
    TRACED,
    UNITS,
    measure,
    network,
)

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = (ROOT / "assets" / "explorer.js").read_text(encoding="utf-8")
KINDS = pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
LABELS = np.arange(2 * SEQUENCES) % SYMBOLS


def run(radius, nonlinearity, length):
    """Run the same network by `unrolled.bptt`, with the sums' inputs as they are."""
    rotation, symbols, noise = network()
    x = np.concatenate([symbols[LABELS][None], noise[: length - 1]])
    x = torch.from_numpy(x).transpose(0, 1)  # (sequences, steps, units)
    weight_hh = radius * torch.from_numpy(rotation)
    one, none = torch.eye(UNITS, dtype=torch.float64), torch.zeros(UNITS, dtype=torch.float64)
    h_0 = torch.zeros(len(x), UNITS, dtype=torch.float64)
    return rnn_forward(x, h_0, one, weight_hh, none, nonlinearity), weight_hh


# --- The fixed network --------------------------------------------------------------------------


def test_the_numbers_are_those_of_mulberry32():
    state, numbers = SEED, []
    for _ in range(UNITS**2 + UNITS):
        state = (state + 0x6D2B79F5) % 2**32
        bits = (state ^ (state >> 15)) * (state | 1) % 2**32
        bits ^= (bits + (bits ^ (bits >> 7)) * (bits | 61)) % 2**32
        numbers.append((bits ^ (bits >> 14)) / 2**31 - 1)
    rotation, symbols, _ = network()
    assert (symbols[0] == SYMBOL * np.array(numbers[UNITS**2 :])).all()
    # What Gram and Schmidt find: the triangle that leads back has a positive diagonal.
    square = np.array(numbers[: UNITS**2]).reshape(UNITS, UNITS)
    triangle = rotation.T @ square
    assert (np.diag(triangle) > 0).all()
    assert abs(np.tril(triangle, -1)).max() < 1e-12


def test_the_matrix_is_orthogonal_and_the_noise_has_no_direction():
    rotation, symbols, noise = network()
    assert abs(rotation @ rotation.T - np.eye(UNITS)).max() < 1e-14
    assert noise.shape == (LENGTH[1] - 1, 2 * SEQUENCES, UNITS)
    assert 0.999 * NOISE < abs(noise).max() <= NOISE
    assert abs(noise.mean()) < 0.001 * NOISE
    assert noise.std() == pytest.approx(NOISE / 3**0.5, rel=0.001)
    assert abs(symbols).max() <= SYMBOL


# --- What is measured ---------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(("radius", "length"), [(0.7, 5), (1.0, 40), (1.5, 20)])
def test_the_gradient_is_that_of_the_jacobians(nonlinearity, radius, length):
    trace, weight_hh = run(radius, nonlinearity, length)
    jacobians = jacobian_products(step_jacobians(trace, weight_hh, nonlinearity))
    norms = torch.linalg.matrix_norm(jacobians[SEQUENCES:][:TRACED], ord=2).mean(dim=0)
    gradient = measure(radius, nonlinearity, length).gradient
    assert gradient[:-1] == pytest.approx(norms[1:].numpy(), rel=1e-10)
    assert gradient[-1] == 1


@KINDS
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
def test_the_memory_is_what_the_discriminant_of_scikit_learn_reads(nonlinearity, radius):
    trace, _ = run(radius, nonlinearity, 30)
    states = trace.h[:, 1:].numpy()
    memory = measure(radius, nonlinearity, 30).memory
    # In the first step there is nothing but the symbol.
    assert memory[0] == 1
    for step in (1, 2, 4, 9, 19, 29):
        reader = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1e-6)
        reader.fit(states[:SEQUENCES, step], LABELS[:SEQUENCES])
        share = reader.score(states[SEQUENCES:, step], LABELS[SEQUENCES:])
        assert memory[step] == pytest.approx(share, abs=2 / SEQUENCES), step


@pytest.mark.parametrize("radius", [0.5, 0.95, 1.0, 1.5])
def test_a_linear_network_follows_the_power_of_its_radius(radius):
    reach = measure(radius, "identity", 100)
    assert reach.gradient == pytest.approx(reach.power, rel=1e-12)
    assert reach.power[[0, -1]].tolist() == [radius**99, 1]


@KINDS
def test_a_shorter_run_is_the_beginning_of_a_longer_one(nonlinearity):
    short, long = (measure(1.1, nonlinearity, length) for length in (20, 60))
    assert short.memory.tolist() == long.memory[:20].tolist()


def test_what_the_chapter_says_of_the_settings():
    # Overwritten, although the gradient keeps its size; kept, where it explodes.
    overwritten = measure(1, "identity", 100)
    assert overwritten.gradient[0] == pytest.approx(1)
    assert overwritten.memory[4] > 0.99 > 0.7 > overwritten.memory[-1]
    assert measure(1.5, "identity", 100).memory.min() > 0.99
    # Saturation holds the gradient of tanh down.
    assert measure(1.5, "tanh", 100).gradient[0] < 1e5 < 1.5**99 / 1e10
    # The sigmoid loses both within a few steps.
    forgetful = measure(1.5, "sigmoid", 10)
    assert forgetful.gradient[0] < 1e-4
    assert forgetful.memory[5] < 0.4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((0.4, "tanh", 50), "radius is 0.4; expected 0.5 to 1.5"),
        ((float("nan"), "tanh", 50), "radius is nan; expected 0.5 to 1.5"),
        (
            (1.0, "relu", 50),
            "nonlinearity is 'relu'; expected one of 'identity', 'tanh', 'sigmoid'",
        ),
        ((1.0, "tanh", 4), "length is 4; expected a whole number, 5 to 100"),
        ((1.0, "tanh", 20.5), "length is 20.5; expected a whole number, 5 to 100"),
    ],
)
def test_other_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        explorer(*settings)


# --- The drawing --------------------------------------------------------------------------------


def test_the_curves_are_what_is_measured():
    figure = explorer(0.9, "sigmoid", 12)
    reach = measure(0.9, "sigmoid", 12)
    above, below = figure.axes
    chance = [1 / SYMBOLS] * 12
    shown = [line.get_ydata().tolist() for axes in (above, below) for line in axes.lines]
    assert shown == [reach.gradient.tolist(), reach.power.tolist(), reach.memory.tolist(), chance]
    assert all(line.get_xdata().tolist() == list(range(1, 13)) for line in above.lines)
    assert below.get_xlabel() == "step (sigmoid, radius 0.9)"
    assert explorer(1, "identity", 5).axes[1].get_xlabel() == "step (linear, radius 1)"


# --- The script has the same --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["UNITS", "SYMBOLS", "SEQUENCES", "TRACED", "SYMBOL", "NOISE", "RIDGE", "SEED"]
)
def test_constants_of_the_script(name):
    given = re.search(rf"const {name} = ([\d.e-]+);", SCRIPT)[1]
    assert float(given) == getattr(inspect.getmodule(explorer), name)


def test_settings_of_the_script():
    start = re.search(r"START = \{ radius: (.+), nonlinearity: \"(\w+)\", length: (\d+) \}", SCRIPT)
    defaults = [p.default for p in inspect.signature(explorer).parameters.values()]
    assert [float(start[1]), start[2], int(start[3])] == defaults
    sliders = re.findall(r'id="explorer-(\w+)" min="([\d.]+)" max="([\d.]+)"', SCRIPT)
    assert [(name, float(low), float(high)) for name, low, high in sliders] == [
        ("radius", *RADIUS),
        ("length", *LENGTH),
    ]
    table = re.search(r"const NONLINEARITIES = \{(.+?)\n  \};", SCRIPT, re.DOTALL)[1]
    assert re.findall(r"^    (\w+):", table, re.MULTILINE) == list(NONLINEARITIES)


def test_the_script_is_light_and_asks_nobody():
    assert len(SCRIPT.encode()) < 30_000
    assert not re.search(r"https?:|fetch|import\b|XMLHttpRequest", SCRIPT)
    style = (ROOT / "assets" / "style.css").read_text(encoding="utf-8")
    rules = "".join(re.findall(r"^\.explorer[^{]*\{[^}]*\}", style, re.MULTILINE))
    used = set(re.findall(r"--unrolled-(\w+)", rules))
    assert {"gradient", "state", "muted"} <= used <= set(COLOURS)
