"""How far a small network reaches back: its gradient, and its memory of the first symbol.

On the site, ``assets/explorer.js`` computes the same numbers as :func:`measure` for the reader's
own settings and draws them in the place of the figure; a test holds the two together.
"""

from functools import cache
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from unrolled.checking import check_choice

from .palette import colour
from .style import LINE_WIDTH, RC, new_figure

UNITS = 16
SYMBOLS = 4
#: Sequences to fit the reader, and as many fresh ones to test it; the symbols take turns.
SEQUENCES = 400
#: How many of the fresh sequences the gradient is a mean over.
TRACED = 8
#: The largest number in the vector of a symbol, and the largest noise.
SYMBOL = 0.5
NOISE = 0.15
#: Added to the diagonal of the reader's covariance, as a share of the mean variance.
RIDGE = 1e-6
SEED = 1
RADIUS = (0.5, 1.5)
LENGTH = (5, 100)

#: Name: the function, and its slope where its value is h.
NONLINEARITIES = {
    "identity": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda h: h * (1 - h)),
}


class Reach(NamedTuple):
    """What reaches each step, all of shape ``(steps,)``.

    ``gradient`` is the spectral norm of the Jacobian of the last state by the state of that step,
    ``power`` the radius to the power of the steps back, ``memory`` the share of fresh sequences
    whose first symbol is read right from the state of that step.
    """

    gradient: NDArray[np.float64]
    power: NDArray[np.float64]
    memory: NDArray[np.float64]


def explorer(radius: float = 1.0, nonlinearity: str = "tanh", length: int = 50) -> Figure:
    """Draw how far the gradient of a small network reaches back, and its memory.

    The network has 16 units and is not trained. Its recurrent matrix is the radius times a fixed
    orthogonal matrix. The first step adds the vector of a symbol to the sums of the units, each
    later step adds noise. On the site of the book the drawing answers to sliders.

    Parameters
    ----------
    radius
        Spectral radius of the recurrent matrix, 0.5 to 1.5.
    nonlinearity
        ``"identity"``, ``"tanh"`` or ``"sigmoid"``.
    length
        Number of steps, 5 to 100.

    Returns
    -------
    matplotlib.figure.Figure
        Above, the spectral norm of the Jacobian of the last state by each state, the mean over
        eight sequences, beside the radius to the power of the steps back. Below, the share of 400
        fresh sequences in which a linear discriminant, fitted on 400 others, names the first of
        four symbols.

    Raises
    ------
    ValueError
        If a setting is not among those.

    Examples
    --------
    >>> figure = explorer(radius=0.9, nonlinearity="identity", length=20)
    """
    reach = measure(radius, nonlinearity, length)
    steps = np.arange(1, length + 1)
    kind = "linear" if nonlinearity == "identity" else nonlinearity
    with matplotlib.rc_context(RC):
        figure = new_figure(4.8)
        above, below = figure.subplots(2, sharex=True, height_ratios=(160, 116))
        _draw(above, steps, "gradient", reach.gradient, reach.power)
        above.set_title("Gradient that reaches each step", pad=22)
        _key(above, "measured", "power of the radius")
        above.set(yscale="log", ylim=(10**-4.2, 10**4.2), yticks=10.0 ** np.arange(-4, 5, 2))
        above.yaxis.set_minor_locator(NullLocator())
        above.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        _draw(below, steps, "state", reach.memory, np.full(length, 1 / SYMBOLS))
        below.set_title("First symbol, read at each step", pad=22)
        _key(below, "read right", "chance")
        below.set(
            xlabel=f"step ({kind}, radius {radius:g})", ylim=(-0.04, 1.04), yticks=(0, 0.5, 1)
        )
        below.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        below.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True))
    return figure


def measure(radius: float, nonlinearity: str, length: int) -> Reach:
    """Compute what :func:`explorer` draws.

    Parameters
    ----------
    radius, nonlinearity, length
        As for :func:`explorer`.

    Returns
    -------
    Reach
        Three arrays of shape ``(length,)``.

    Raises
    ------
    ValueError
        If a setting is not among those.

    Examples
    --------
    >>> reach = measure(0.5, "identity", 5)
    >>> reach.gradient.round(4).tolist()
    [0.0625, 0.125, 0.25, 0.5, 1.0]
    """
    if not RADIUS[0] <= radius <= RADIUS[1]:
        raise ValueError(f"radius is {radius}; expected {RADIUS[0]} to {RADIUS[1]}")
    check_choice(NONLINEARITIES, nonlinearity=nonlinearity)
    if length not in range(LENGTH[0], LENGTH[1] + 1):
        raise ValueError(f"length is {length}; expected a whole number, {LENGTH[0]} to {LENGTH[1]}")
    activate, slope = NONLINEARITIES[nonlinearity]
    rotation, symbols, noise = network()
    weight = radius * rotation  # (units, units)
    labels = np.arange(2 * SEQUENCES) % SYMBOLS
    h = activate(symbols[labels])  # (sequences, units)
    states = [h]
    for noise_t in noise[: length - 1]:
        h = activate(h @ weight.T + noise_t)
        states.append(h)
    jacobian = np.broadcast_to(np.eye(UNITS), (TRACED, UNITS, UNITS))
    norms = []
    for h in reversed(states):
        norms.append(np.linalg.norm(jacobian, ord=2, axis=(1, 2)).mean())
        jacobian = jacobian @ (slope(h[SEQUENCES:][:TRACED, :, None]) * weight)
    return Reach(
        np.array(norms[::-1]),
        radius ** np.arange(length - 1.0, -1, -1),
        np.array([_share_read(h, labels) for h in states]),
    )


@cache
def network() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what no setting changes: the same numbers on every machine.

    Returns
    -------
    rotation, symbols, noise
        ``(units, units)``, orthogonal; ``(symbols, units)``; ``(steps - 1, sequences, units)``.

    Examples
    --------
    >>> rotation, symbols, noise = network()
    >>> rotation.shape, symbols.shape, noise.shape
    ((16, 16), (4, 16), (99, 800, 16))
    """
    square, four, many = UNITS**2, SYMBOLS * UNITS, 2 * SEQUENCES * UNITS
    numbers = _random(square + four + (LENGTH[1] - 1) * many)
    rotation, triangle = np.linalg.qr(numbers[:square].reshape(UNITS, UNITS))
    symbols = SYMBOL * numbers[square : square + four]
    noise = NOISE * numbers[square + four :]
    return (
        # One of many: that which Gram and Schmidt find.
        rotation * np.sign(np.diag(triangle)),
        symbols.reshape(SYMBOLS, UNITS),
        noise.reshape(-1, 2 * SEQUENCES, UNITS),
    )


def _random(count: int) -> NDArray[np.float64]:
    """Return numbers from -1 to 1 by mulberry32, which is as short in a browser."""
    state = SEED + 0x6D2B79F5 * np.arange(1, count + 1, dtype=np.uint64)
    bits = state.astype(np.uint32)
    bits = (bits ^ bits >> 15) * (bits | 1)
    bits ^= bits + (bits ^ bits >> 7) * (bits | 61)
    return (bits ^ bits >> 14) / 2**31 - 1


def _share_read(h: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Fit a linear discriminant on half of the states; return the share it reads right of the rest.

    ``h (sequences, units)``, ``labels (sequences,)``.
    """
    known, fresh = h[:SEQUENCES], h[SEQUENCES:]
    means = known.reshape(-1, SYMBOLS, UNITS).mean(axis=0)
    apart = known - means[labels[:SEQUENCES]]
    variance = known.var(axis=0).mean()
    within = apart.T @ apart / (SEQUENCES - SYMBOLS) + RIDGE * variance * np.eye(UNITS)
    weights = np.linalg.solve(within, means.T)  # (units, symbols)
    scores = fresh @ weights - (means.T * weights).sum(axis=0) / 2
    return float((scores.argmax(axis=1) == labels[SEQUENCES:]).mean())


def _draw(
    axes: Axes, steps: NDArray, role: str, values: NDArray[np.float64], expected: NDArray
) -> None:
    """Draw what is measured, and dashed what it is compared with."""
    axes.grid(axis="y")
    axes.margins(x=0.02)
    axes.plot(steps, values, color=colour(role), gid=f"line-{role}")
    # On top: where the two agree, both are seen.
    axes.plot(steps, expected, color=colour("ink"), linestyle=(0, (4, 3)), linewidth=LINE_WIDTH)


def _key(axes: Axes, measured: str, expected: str) -> None:
    """Write above the axes what its two lines are."""
    axes.legend(
        axes.lines,
        [measured, expected],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=2,
    )
