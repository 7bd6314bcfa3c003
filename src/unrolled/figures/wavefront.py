"""In which order the cells of a deep network can be computed."""

from matplotlib.figure import Figure

from .canvas import ROOM, Canvas, text_width
from .plots import SEQUENTIAL, text_colour

# All in inches.
BOX_HEIGHT = 0.36
PADDING = 0.16
LEAST = 0.42
#: From box to box, where there is room; arrows are no shorter than `SHORTEST`.
GAP = 0.26
SHORTEST = 0.17
UP = 0.26
TO_LABEL = 0.14
#: A label is a little wider than its letters.
AIR = 0.05
#: What of the ramp of colours is used: neither as pale as paper nor nearly black.
SHADES = (0.12, 0.88)


def wavefront(layers: int, steps: int) -> Figure:
    """Draw how soon each cell of a deep network can be computed.

    Time runs from left to right, depth upwards. A cell waits for the one on its left and for the
    one below; the number in it says how many cells must be computed one after the other until it is
    ready, itself included: the layer plus the step, less one. Cells with the same number have the
    same colour and can be computed at the same time.

    Parameters
    ----------
    layers, steps
        Three layers and eight steps are easy to read.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a number is below 1, or so many steps do not fit.

    Examples
    --------
    >>> figure = wavefront(layers=3, steps=8)
    """
    for name, value in (("layers", layers), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected 1 or more")
    waits = layers + steps - 1
    width = max(LEAST, text_width(str(waits)) + PADDING)
    left = text_width(f"layer {layers}") + TO_LABEL + AIR
    room = ROOM - left
    pitch = min(width + GAP, (room - width) / max(1, steps - 1))
    if pitch < width + SHORTEST:
        most = 1 + int((room - width) / (width + SHORTEST))
        raise ValueError(f"steps is {steps}; there is room for {most}: draw fewer")
    canvas = Canvas()
    rise, high = BOX_HEIGHT + UP, BOX_HEIGHT / 2
    for layer in range(1, layers + 1):
        y = layer * rise
        at = (-width / 2 - TO_LABEL, y)
        canvas.label(f"layer-{layer}", at, f"layer {layer}", role="muted", align="right")
        for step in range(1, steps + 1):
            x, name = (step - 1) * pitch, f"{step}-{layer}"
            wait = layer + step - 1
            low, top = SHADES
            shade = SEQUENTIAL(low + (top - low) * (wait - 1) / max(1, waits - 1))
            canvas.tile(name, (x, y), (width, BOX_HEIGHT), shade)
            canvas.label(name, (x, y), str(wait), shade=text_colour(shade))
            if step < steps:
                ends = [(x + width / 2, y), (x + pitch - width / 2, y)]
                canvas.wire(f"{name}-{step + 1}-{layer}", ends)
            if layer < layers:
                ends = [(x, y + high), (x, y + rise - high)]
                canvas.wire(f"{name}-{step}-{layer + 1}", ends)
    for step in range(1, steps + 1):
        at = ((step - 1) * pitch, rise - high - TO_LABEL)
        canvas.label(f"step-{step}", at, str(step), role="muted")
    canvas.label(
        "step", ((steps - 1) * pitch / 2, rise - high - 2.4 * TO_LABEL), "step", role="muted"
    )
    return canvas.figure()
