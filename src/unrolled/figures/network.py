"""What `unrolled_graph` is asked to draw, and whether it can be drawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = ("input", "state", "output")


@dataclass(frozen=True)
class Network:
    """A network over time: see `unrolled_graph` for the meaning of each field."""

    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    states: tuple[str, ...]
    initial: str | None
    layers: int
    bidirectional: bool
    feedback: str | None
    weights: dict[str, str]
    rolled: bool
    groups: dict[str, tuple[int, int]]
    highlight: frozenset[int]
    losses: frozenset[int]
    gradients: tuple[int, int] | None

    @classmethod
    def of(
        cls,
        inputs: Sequence[str | None],
        outputs: Sequence[str | None] | None = None,
        *,
        states: Sequence[str] | None = None,
        initial: str | None = None,
        layers: int = 1,
        bidirectional: bool = False,
        feedback: str | None = None,
        weights: Mapping[str, str] | None = None,
        rolled: bool = False,
        groups: Mapping[str, tuple[int, int]] | None = None,
        highlight: Collection[int] = (),
        losses: Collection[int] = (),
        gradients: tuple[int, int] | None = None,
    ) -> "Network":
        """Return the network that the arguments of `unrolled_graph` describe."""
        steps = range(1, len(inputs) + 1)
        return cls(
            inputs=tuple(inputs),
            outputs=(None,) * len(inputs) if outputs is None else tuple(outputs),
            states=tuple(f"$h_{{{step}}}$" for step in steps) if states is None else tuple(states),
            initial=initial,
            layers=layers,
            bidirectional=bidirectional,
            feedback=feedback,
            weights=dict(weights or {}),
            rolled=rolled,
            groups=dict(groups or {}),
            highlight=frozenset(highlight),
            losses=frozenset(losses),
            gradients=gradients,
        )

    def __post_init__(self) -> None:
        """Raise ValueError where the request contradicts itself."""
        self._check_labels()
        self._check_steps()
        self._check_feedback()
        self._check_gradients()

    @property
    def steps(self) -> range:
        """The steps, counted from 1."""
        return range(1, len(self.inputs) + 1)

    @property
    def directions(self) -> tuple[str, ...]:
        """In which directions each layer runs."""
        return ("forward", "backward") if self.bidirectional else ("forward",)

    @property
    def has_inputs(self) -> bool:
        """Whether there is an input at any step."""
        return any(label is not None for label in self.inputs)

    @property
    def has_outputs(self) -> bool:
        """Whether there is an output at any step."""
        return any(label is not None for label in self.outputs)

    def _check_labels(self) -> None:
        if not self.inputs:
            raise ValueError("inputs is empty; expected a label (or None) for each step")
        for name, labels in (("outputs", self.outputs), ("states", self.states)):
            if len(labels) != len(self.inputs):
                raise ValueError(
                    f"{name} has {len(labels)} labels and inputs has {len(self.inputs)}; "
                    "expected one a step in both"
                )
        if self.layers < 1:
            raise ValueError(f"layers is {self.layers}; expected 1 or more")
        if unknown := sorted(set(self.weights) - set(WEIGHTS)):
            raise ValueError(f"weights has the key {unknown[0]!r}; expected some of {WEIGHTS}")

    def _check_steps(self) -> None:
        named = {"highlight": self.highlight, "losses": self.losses}
        named |= {f"group {label!r}": frozenset(ends) for label, ends in self.groups.items()}
        named["gradients"] = frozenset(self.gradients or ())
        for name, steps in named.items():
            if outside := sorted(steps - set(self.steps)):
                raise ValueError(
                    f"{name} names step {outside[0]}; expected steps from 1 to {len(self.inputs)}"
                )
        taken: set[int] = set()
        for label, (first, last) in self.groups.items():
            steps = set(range(first, last + 1))
            if not steps or steps & taken:
                raise ValueError(
                    f"group {label!r} is ({first}, {last}); expected (first, last) from left to "
                    "right, and no step in two groups"
                )
            taken |= steps
        if self.groups and self.rolled:
            raise ValueError("groups and rolled were both given; a rolled network has one step")
        for step in sorted(self.losses):
            if self.outputs[step - 1] is None:
                raise ValueError(f"losses names step {step}, which has no output to compare")

    def _check_feedback(self) -> None:
        if self.feedback not in (None, "input", "state"):
            raise ValueError(f"feedback is {self.feedback!r}; expected 'input', 'state' or None")
        if self.feedback is None:
            return
        if self.bidirectional:
            raise ValueError(
                "feedback and bidirectional were both given; a network that feeds its outputs "
                "back cannot see the future: leave one out"
            )
        if all(label is None for label in self.outputs[:-1]):
            raise ValueError(f"feedback is {self.feedback!r}, but no output has a step after it")
        if self.feedback == "state" and self.layers > 1:
            raise ValueError(
                f"feedback is 'state' with {self.layers} layers; expected one layer, whose output "
                "takes the place of its state"
            )
        if self.feedback == "state" and None in self.outputs[:-1]:
            raise ValueError("feedback is 'state': expected an output at each step but the last")

    def _check_gradients(self) -> None:
        if self.gradients is None:
            return
        start, end = self.gradients
        if start < end:
            raise ValueError(
                f"gradients is {self.gradients}; expected (from, to) with from >= to: gradients "
                "run from right to left"
            )
        if start not in self.losses:
            raise ValueError(
                f"gradients starts at step {start}, but losses names {sorted(self.losses)}; "
                "expected a step with a loss"
            )
        if self.bidirectional or self.feedback == "state":
            raise ValueError(
                "gradients was given with bidirectional or with feedback='state'; expected states "
                "that run from left to right"
            )
