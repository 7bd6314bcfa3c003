"""Two small exercises that no chapter has, so that the machinery is tested by itself."""

import torch

from unrolled.exercises import Case, Exercise, Mistake

AXES = {
    "x": ("batch", "time", "hidden"),
    "x_t": ("batch", "hidden"),
    "h": ("batch", "hidden"),
    "state": ("batch", "hidden"),
    "outputs": ("batch", "time", "hidden"),
    "final state": ("batch", "hidden"),
}


def step(x_t, h, weight):
    return torch.tanh(x_t + h @ weight.T)


def no_memory(x_t, h, weight):
    return torch.tanh(x_t)


def not_transposed(x_t, h, weight):
    return torch.tanh(x_t + h @ weight)


def step_cases(draw):
    def case(name, batch, hidden, scale=1.0):
        return Case(
            name,
            {
                "x_t": draw.normal(batch, hidden, scale=0.5),
                "h": draw.normal(batch, hidden, scale=0.5 * scale),
                "weight": draw.normal(hidden, hidden, scale=0.5),
            },
        )

    return [case("several sequences", 3, 4), case("a state of zeros", 5, 4, 0), case("one", 1, 4)]


STEP = Exercise(
    id="99.1",
    title="A step",
    solution=step,
    cases=step_cases,
    results=("state",),
    axes=AXES,
    gradients=True,
    hints=("Think.", "Think again."),
    mistakes=(
        Mistake(no_memory, "The old state is not used."),
        Mistake(not_transposed, "The weight is not transposed."),
    ),
)


def run(x, h, weight):
    states = []
    for x_t in x.unbind(1):
        h = step(x_t, h, weight)
        states.append(h)
    return torch.stack(states, 1), h


def run_cases(draw):
    def case(name, batch, time, hidden):
        return Case(
            name,
            {
                "x": draw.normal(batch, time, hidden, scale=0.5),
                "h": draw.normal(batch, hidden, scale=0.5),
                "weight": draw.normal(hidden, hidden, scale=0.5),
            },
        )

    return [case("several steps", 3, 6, 4), case("a single step", 3, 1, 4)]


RUN = Exercise(
    id="99.2",
    title="A run",
    solution=run,
    cases=run_cases,
    results=("outputs", "final state"),
    axes=AXES,
    gradients=True,
    hints=("Loop.",),
    mistakes=(),
)


def count(size):
    return size * size + size


COUNT = Exercise(
    id="99.3",
    title="A count",
    solution=count,
    cases=lambda draw: [Case(f"size {size}", {"size": size}) for size in draw.sizes(3, 3, 9)],
    results=("count",),
    hints=("Multiply.",),
    mistakes=(),
)


class Scale(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def forward(self, x):
        return self.weight * x


def run_scale(submission, arguments):
    module = submission(arguments["size"])
    return {
        "list of parameters": [name for name, _ in module.named_parameters()],
        "answer": module(arguments["x"]),
    }


SCALE = Exercise(
    id="99.4",
    title="A class",
    solution=Scale,
    cases=lambda draw: [Case("three numbers", {"size": 3, "x": draw.normal(3).float()})],
    results=("list of parameters", "answer"),
    run=run_scale,
    hints=("Register.",),
    mistakes=(),
)


def shift(tokens):
    return tokens[:, 1:]


SHIFT = Exercise(
    id="99.5",
    title="A shift",
    solution=shift,
    cases=lambda draw: [Case("three texts", {"tokens": torch.arange(18).reshape(3, 6)})],
    results=("targets",),
    axes={"tokens": ("batch", "time"), "targets": ("batch", "time")},
    hints=("Cut.",),
    mistakes=(),
)


def total(tokens, weight):
    return weight[tokens].sum()


def total_cases(draw):
    def case(name, tokens):
        return Case(name, {"tokens": torch.tensor(tokens), "weight": draw.normal(3)})

    return [case("five tokens", [0, 2, 2, 1, 0]), case("each token once", [0, 1, 2])]


TOTAL = Exercise(
    id="99.6",
    title="A single number",
    solution=total,
    cases=total_cases,
    results=("total",),
    axes={"tokens": ("time",), "weight": ("vocab",), "total": ()},
    hints=("Add.",),
    mistakes=(),
)


def run_in_two(x, h, weight):
    first, h = run(x[:, :2], h, weight)
    second, h = run(x[:, 2:], h.detach(), weight)
    return torch.cat([first, second], 1), h


IN_TWO = Exercise(
    id="99.7",
    title="A run that is cut in two",
    solution=run_in_two,
    cases=lambda draw: run_cases(draw)[:1],
    results=("outputs", "final state"),
    axes=AXES,
    gradients=True,
    hints=("Cut.",),
    mistakes=(),
)
