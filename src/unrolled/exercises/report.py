"""What `check` and `hint` show: in a terminal, in a notebook, on the site."""

import html
import re
from dataclasses import dataclass

# Status: role of its colour on the site, and a colour that can be seen on white and on black for
# notebooks elsewhere, which may be light or dark.
EDGES = {
    "passed": ("output", "#1b7f5c"),
    "not yet": ("state", "#c4501b"),
    "not attempted": ("muted", "#767676"),
}


def _inline(text: str) -> str:
    """HTML of a sentence, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _box(label: str, role: str, colour: str, head: str, body: str) -> str:
    # Only the edge is coloured, and the words say the same: text keeps the page's own colour, so it
    # reads on light and dark. The colour variables exist on the site only.
    return (
        f'<div role="group" aria-label="{html.escape(label)}" style="border-left: 0.3em solid '
        f"var(--unrolled-{role}, {colour}); color: currentColor; padding: 0.1em 0 0.1em 0.9em; "
        f'margin: 0.5em 0; overflow-wrap: anywhere"><p style="margin: 0.3em 0">{head}</p>'
        f"{body}</div>"
    )


def _paragraph(text: str) -> str:
    return f'<p style="margin: 0.3em 0">{_inline(text)}</p>'


@dataclass(frozen=True)
class Report:
    """The answer to a submission.

    Parameters
    ----------
    id, title : str
        Of the exercise.
    passed : bool
        Whether everything is right.
    attempted : bool
        False while the stub is as it stands in the chapter.
    messages : tuple of str
        The most helpful sentence first. Code stands in backticks.
    printed : str
        The first lines that the submission printed.
    """

    id: str
    title: str
    passed: bool
    attempted: bool
    messages: tuple[str, ...]
    printed: str = ""

    @property
    def status(self) -> str:
        """One of "passed", "not yet", "not attempted"."""
        if not self.attempted:
            return "not attempted"
        return "passed" if self.passed else "not yet"

    def __repr__(self) -> str:
        lines = [f"Exercise {self.id}, {self.title}: {self.status}"]
        lines += [f"  {message}" for message in self.messages]
        if self.printed:
            lines += ["  Your code printed:", *(f"    {x}" for x in self.printed.splitlines())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        label = f"Exercise {self.id}: {self.status}"
        head = (
            f"Exercise {html.escape(self.id)}, {html.escape(self.title)}: "
            f"<strong>{self.status}</strong>"
        )
        body = "".join(_paragraph(message) for message in self.messages)
        if self.printed:
            # Focusable, so that a wide line can be scrolled with the keyboard.
            body += _paragraph("Your code printed:") + (
                '<pre tabindex="0" style="margin: 0.3em 0; overflow-x: auto; color: currentColor; '
                f'background: transparent">{html.escape(self.printed)}</pre>'
            )
        return _box(label, *EDGES[self.status], head, body)


@dataclass(frozen=True)
class Hints:
    """The hints that were asked for so far."""

    id: str
    shown: tuple[str, ...]
    total: int
    repeated: bool  # all of them had been shown before

    @property
    def _lines(self) -> list[str]:
        lines = [f"Hint {n} of {self.total}: {hint}" for n, hint in enumerate(self.shown, start=1)]
        if self.repeated:
            lines.append(
                f'There are no more hints: `solution("{self.id}")` shows one way to do it.'
            )
        return lines

    def __repr__(self) -> str:
        return "\n".join([f"Exercise {self.id}", *(f"  {line}" for line in self._lines)])

    def _repr_html_(self) -> str:
        body = "".join(_paragraph(line) for line in self._lines)
        head = f"Exercise {html.escape(self.id)}"
        return _box(f"Hints for exercise {self.id}", *EDGES["not attempted"], head, body)


@dataclass(frozen=True)
class Source:
    """A reference solution: highlighted by the notebook itself, plain in a terminal."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"
