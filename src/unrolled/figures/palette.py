"""The colours of the book: one for each role, in light and in dark.

Figures are drawn in the light colours. On the site every house colour of a drawing becomes a
variable of the page, so that it follows the theme; therefore all light colours are distinct, and a
colour that must stay as it is (the cells of a heatmap, the text in them) is not in `COLOURS`.
"""

#: Role: (light, dark), six lower-case hexadecimal digits each.
COLOURS: dict[str, tuple[str, str]] = {
    # Roles of a recurrent network, for strokes; each can be read as text on paper.
    "input": ("#3f66d9", "#5a86f7"),
    "state": ("#cf4700", "#f1a62e"),
    "output": ("#014f2a", "#5fe9be"),
    "gradient": ("#c04a7a", "#ec5364"),
    "gate": ("#721d7a", "#a57fc0"),
    # Fills of their boxes: pale, so that ink can be read on them.
    "input_fill": ("#e8eefc", "#1b2740"),
    "state_fill": ("#fdeadd", "#3a2813"),
    "output_fill": ("#e0f1e7", "#12332a"),
    "gradient_fill": ("#fae6ee", "#3d1a22"),
    "gate_fill": ("#f3e6f4", "#2c2036"),
    # Curves and classes that have no role in the network, and fills of their boxes.
    "series_1": ("#00707a", "#4fc3cf"),
    "series_2": ("#96590a", "#e3b553"),
    "series_3": ("#4a3a9a", "#a0a8ff"),
    "series_1_fill": ("#dff2f3", "#10302f"),
    "series_2_fill": ("#faf0d8", "#33280e"),
    "series_3_fill": ("#eae7f8", "#211d40"),
    # What carries the drawing.
    "ink": ("#1f2430", "#e3e7ed"),
    "muted": ("#626b7a", "#99a2b0"),
    "grid": ("#e3e6eb", "#2e343d"),
    "panel": ("#f4f5f8", "#1d2128"),
    "paper": ("#ffffff", "#121212"),
}

#: Roles in the order in which `curves` takes them for series without a colour of their own.
SERIES: tuple[str, ...] = (
    "series_1",
    "series_2",
    "series_3",
    "input",
    "state",
    "output",
    "gate",
    "gradient",
)


def colour(role: str) -> str:
    """Return the light colour of a role, which the site exchanges for the dark one.

    Parameters
    ----------
    role
        A key of `COLOURS`.

    Raises
    ------
    ValueError
        If there is no such role.

    Examples
    --------
    >>> colour("input")
    '#3f66d9'
    """
    if role not in COLOURS:
        raise ValueError(f"there is no colour role {role!r}; expected one of {', '.join(COLOURS)}")
    return COLOURS[role][0]
