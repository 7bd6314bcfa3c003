"""What `unrolled_graph` is asked to draw, and whether it can be drawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

WEIGHTS = ("input", "state", "output")
GRADIENTS = ("loss", "output", "state", "term", "weight")


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
    gradients: bool
    gradient_labels: dict[str, tuple[str, ...]]
    cut_after: frozenset[int]
    residual: bool
    dropout: bool

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
        gradients: bool = False,
        gradient_labels: Mapping[str, str | Sequence[str]] | None = None,
        cut_after: Collection[int] = (),
        residual: bool = False,
        dropout: bool = False,
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
            gradient_labels={
                key: (given,) * len(inputs) if isinstance(given, str) else tuple(given)
                for key, given in (gradient_labels or {}).items()
            },
            cut_after=frozenset(cut_after),
            residual=residual,
            dropout=dropout,
        )

    def __post_init__(self) -> None:
        """Raise ValueError where the request contradicts itself."""
        self._check_labels()
        self._check_steps()
        self._check_feedback()
        self._check_gradients()
        self._check_depth()

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
        if not self.gradients:
            for name in ("gradient_labels", "cut_after"):
                if getattr(self, name):
                    raise ValueError(f"{name} was given without gradients=True")
            return
        if not self.losses:
            raise ValueError(
                "gradients was given without losses; expected a step or more in losses, where "
                "gradients begin"
            )
        if self.bidirectional or self.feedback:
            raise ValueError(
                "gradients was given with bidirectional or with feedback; expected states that run "
                "from left to right"
            )
        if wrong := sorted(self.cut_after - set(self.steps[:-1])):
            raise ValueError(
                f"cut_after names step {wrong[0]}; expected steps that have one after them, from 1 "
                f"to {len(self.inputs) - 1}"
            )
        self._check_gradient_labels()

    def _check_gradient_labels(self) -> None:
        labels, steps = self.gradient_labels, len(self.inputs)
        if unknown := sorted(set(labels) - set(GRADIENTS)):
            raise ValueError(
                f"gradient_labels has the key {unknown[0]!r}; expected some of {GRADIENTS}"
            )
        for key, given in labels.items():
            if len(given) != steps:
                raise ValueError(
                    f"gradient_labels has {len(given)} labels for {key!r}; expected one for all "
                    f"steps, or {steps}, one a step"
                )
        if "term" in labels and "weight" not in labels:
            raise ValueError(
                "gradient_labels has 'term' without 'weight'; expected the label of the weight's "
                "gradient too, to which the terms are added"
            )
        if "weight" in labels and self.layers > 1:
            raise ValueError(
                f"gradient_labels has 'weight' with {self.layers} layers; expected one layer, as "
                "each layer has a weight of its own"
            )
        if "weight" in labels and self.initial is None and max(self.losses) == 1:
            raise ValueError(
                "gradient_labels has 'weight', but no gradient passes between two states; expected "
                "a loss after step 1, or initial"
            )

    def _check_depth(self) -> None:
        for name in ("residual", "dropout"):
            if not getattr(self, name):
                continue
            if self.layers == 1:
                raise ValueError(
                    f"{name} was given with one layer; expected layers=2 or more, as it stands "
                    "between two of them"
                )
            for other in ("bidirectional", "gradients", "feedback"):
                if getattr(self, other):
                    raise ValueError(
                        f"{name} and {other} were both given; leave one out, as they are not drawn "
                        "together"
                    )
