"""The drawings of Part VI: a scan, and self-attention beside a recurrence."""

import itertools
import re

import matplotlib
import pytest
import torch
from matplotlib.colors import to_hex

from drawings import WORDS, artists, drawn, ends, names
from unrolled.figures import scan_tree, self_attention_graph
from unrolled.figures.palette import colour
from unrolled.scan import associative_scan

SIZES = range(2, 10)


@pytest.fixture(autouse=True)
def _default_matplotlib():
    with matplotlib.rc_context():
        yield


def edge(artist):
    return to_hex(artist.get_edgecolor())


# The scan.


def boxes(figure):
    """Return what is written in each box, by its round and its column, from the lowest up."""
    named, _ = artists(figure)
    found = {
        tuple(map(int, gid.split("-")[1:])): named[gid.replace("box-", "text-")].get_text()
        for gid in named
        if gid.startswith("box-")
    }
    return dict(sorted(found.items()))


def parts(figure):
    """Return of which boxes each is made: the one on its left, then the one below."""
    made = {}
    for wire in names(figure, "arrow"):
        row, column, *whole = map(int, wire.split("-"))
        made.setdefault(tuple(whole), []).append((row, column))
    return {whole: sorted(some, key=lambda part: part[1]) for whole, some in made.items()}


def test_eight_steps_take_three_rounds_of_joining_and_two_of_filling_in():
    shown = boxes(drawn("scan"))
    rounds = [[label for (row, _), label in shown.items() if row == r] for r in range(6)]
    assert rounds == [
        ["$h_{1}$", *(f"$a_{{{t}}}, b_{{{t}}}$" for t in range(2, 9))],
        ["$h_{2}$", "3–4", "5–6", "7–8"],
        ["$h_{4}$", "5–8"],
        ["$h_{8}$"],
        ["$h_{6}$"],
        ["$h_{3}$", "$h_{5}$", "$h_{7}$"],
    ]


@pytest.mark.parametrize("steps", SIZES)
def test_a_box_is_its_two_parts_and_the_states_are_those_of_the_scan(steps):
    """Compute what the drawing says, and compare it with the function that it draws."""
    torch.manual_seed(steps)
    decay, increment = torch.rand(2, 1, steps, 1, dtype=torch.float64)
    figure = scan_tree(steps)
    shown, made = boxes(figure), parts(figure)
    pairs = list(zip(decay.flatten(), increment.flatten(), strict=True))
    # The first step from a state of zeros.
    value = {(0, 1): (None, pairs[0][1])} | {(0, t + 1): pairs[t] for t in range(1, steps)}
    covered = {(0, t): (t, t) for t in range(1, steps + 1)}
    for box in shown:
        if box[0] == 0:
            continue
        first, second = made[box]
        assert max(first[0], second[0]) < box[0]
        assert covered[first][1] + 1 == covered[second][0]
        covered[box] = covered[first][0], covered[second][1]
        (a, b), (c, d) = value[first], value[second]
        value[box] = None if a is None else c * a, c * b + d
    states = {}
    for box, label in shown.items():
        first, last = covered[box]
        assert last == box[1]
        if first == 1:
            assert label == f"$h_{{{last}}}$"
            states[last] = value[box][1]
        elif box[0]:
            assert label == f"{first}–{last}"
    assert sorted(states) == list(range(1, steps + 1))
    found = torch.stack([states[t] for t in sorted(states)])
    assert found.tolist() == pytest.approx(associative_scan(decay, increment).flatten().tolist())


@pytest.mark.parametrize("steps", SIZES)
def test_rounds_grow_with_the_logarithm(steps):
    power = steps.bit_length() - 1
    last = max(row for row, _ in boxes(scan_tree(steps)))
    # Twice 2 to a power, less one; between two powers one less or the same.
    assert 2 * power - 1 <= last <= 2 * power
    assert last == 2 * power - 1 or steps & (steps - 1)


@pytest.mark.parametrize("name", ["scan", "scan, nine steps"])
def test_what_comes_before_enters_from_the_left_and_what_comes_later_from_below(name):
    figure = drawn(name)
    named, places = artists(figure)
    for whole, (first, second) in parts(figure).items():
        box = places[f"box-{whole[0]}-{whole[1]}"]
        middle = [sum(box.intervalx) / 2, sum(box.intervaly) / 2]
        left, below = (
            ends(named[f"arrow-{r}-{c}-{whole[0]}-{whole[1]}"])[1] for r, c in (first, second)
        )
        assert left == pytest.approx([box.x0, middle[1]], abs=0.02)
        assert below == pytest.approx([middle[0], box.y0], abs=0.02)


def test_time_runs_to_the_right_and_rounds_upwards():
    _, places = artists(drawn("scan"))
    for (row, column), (other, step) in itertools.combinations(boxes(drawn("scan")), 2):
        one, two = places[f"box-{row}-{column}"], places[f"box-{other}-{step}"]
        assert (column < step) == (one.x1 < two.x0)
        assert (row < other) == (one.y1 < two.y0)


def test_every_way_begins_at_its_box_or_at_a_dot_above_it():
    figure = drawn("scan")
    named, places = artists(figure)
    dots = names(figure, "dot")
    for wire in names(figure, "arrow"):
        start = ends(named[f"arrow-{wire}"])[0]
        box = places["box-" + "-".join(wire.split("-")[:2])]
        assert start[0] == pytest.approx(sum(box.intervalx) / 2, abs=0.02)
        if wire in dots:
            assert places[f"dot-{wire}"].contains(*start)
            assert start[1] > box.y1
        else:
            assert start[1] == pytest.approx(box.y1, abs=0.02)
    # h_2 to h_4; a_3, a_5, a_7 to their neighbours; 5-6 to 5-8; h_4 to h_8 and to h_6.
    assert len(dots) == 7


def test_states_have_their_colour_and_each_kind_of_round_its_panel():
    named, places = artists(drawn("scan"))
    for (row, column), label in boxes(drawn("scan")).items():
        role = "state" if label.startswith("$h") else "series_1" if row else "input"
        assert edge(named[f"box-{row}-{column}"]) == colour(role)
    rounds = {"join": (1, 2, 3), "fill": (4, 5)}
    assert names(drawn("scan"), "panel") == sorted(rounds)
    for title, rows in rounds.items():
        panel = places[f"panel-{title}"]
        within = {
            row
            for row, step in boxes(drawn("scan"))
            if panel.fully_containsy(sum(places[f"box-{row}-{step}"].intervaly) / 2)
        }
        assert within == set(rows)
        assert named[f"text-title-{title}"].get_text().split()[0] == title
    assert names(drawn("scan, two steps"), "panel") == ["join"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (1, "steps is 1; expected a whole number of at least 2"),
        (2.0, "steps is 2.0; expected a whole number"),
        (10, "steps is 10, which needs 8.7 inches, and 7.0 are there; draw fewer"),
    ],
)
def test_a_scan_that_cannot_be_drawn_is_refused(steps, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        scan_tree(steps)


# Self-attention.


def looks(figure):
    return {
        tuple(map(int, re.fullmatch(r"attention-x-(\d)-c-(\d)", name).groups()))
        for name in names(figure, "arrow")
        if name.startswith("attention")
    }


def bright(figure, kind):
    named, _ = artists(figure)
    muted = colour("muted")
    return {
        gid.removeprefix(f"{kind}-")
        for gid, artist in named.items()
        if gid.startswith(f"{kind}-") and edge(artist) != muted
    }


def test_every_step_looks_at_every_step_and_a_state_at_the_one_before():
    figure = drawn("self-attention")
    steps = range(1, 5)
    assert looks(figure) == set(itertools.product(steps, steps))
    passed = {name for name in names(figure, "arrow") if name.startswith("recurrence")}
    assert passed == {
        *(f"recurrence-x-{t}-h-{t}" for t in steps),
        *(f"recurrence-h-{t}-h-{t + 1}" for t in (1, 2, 3)),
    }
    assert bright(figure, "arrow") == set(names(figure, "arrow"))
    assert bright(figure, "box") == set(names(figure, "box"))


def test_a_causal_step_looks_at_no_later_one():
    assert looks(self_attention_graph(WORDS[:4], causal=True)) == {
        (x, y) for x, y in itertools.product(range(1, 5), repeat=2) if x <= y
    }
    for causal, title in ((False, "self-attention"), (True, "causal self-attention")):
        named, _ = artists(self_attention_graph(["a", "b"], causal=causal))
        assert named["text-attention-title"].get_text() == title


def test_both_have_the_same_inputs_and_each_arrow_ends_at_its_box():
    figure = drawn("self-attention")
    named, places = artists(figure)
    for part in ("recurrence", "attention"):
        labels = [named[f"text-{part}-x-{t}"].get_text() for t in range(1, 5)]
        assert labels == WORDS[:4]
    assert places["box-recurrence-x-4"].x1 < places["box-attention-x-1"].x0
    for wire in names(figure, "arrow"):
        part, *pair = wire.split("-")
        start, end = ends(named[f"arrow-{wire}"])
        for at, name in ((start, pair[:2]), (end, pair[2:])):
            box = places[f"box-{part}-{'-'.join(name)}"]
            assert box.padded(0.01).contains(*at), wire
            assert not box.padded(-0.01).contains(*at), wire
    tips = [ends(named[f"arrow-attention-x-{t}-c-2"])[1][0] for t in range(1, 5)]
    assert tips == sorted(set(tips))


def test_a_way_is_long_on_the_left_and_one_arrow_on_the_right():
    figure = self_attention_graph(WORDS[:4], way=[2, 4])
    assert bright(figure, "arrow") == {
        "recurrence-x-2-h-2",
        "recurrence-h-2-h-3",
        "recurrence-h-3-h-4",
        "attention-x-2-c-4",
    }
    assert bright(figure, "box") == {
        *(f"recurrence-{name}" for name in ("x-2", "h-2", "h-3", "h-4")),
        *(f"attention-{name}" for name in ("x-2", "c-4")),
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"inputs": "time"}, "inputs is 'time'; expected a list of pieces"),
        ({"inputs": []}, "inputs is empty; expected one piece or more"),
        ({"inputs": ["a"]}, "inputs is ['a']; expected two steps or more"),
        ({"inputs": list("abcdef")}, "inches and 7.0 are there; show fewer or shorter ones"),
        ({"way": (3, 2)}, "way is (3, 2); expected (from, to), steps from 1 to 3, as a recurrence"),
        ({"way": (0, 2)}, "way is (0, 2); expected (from, to), steps from 1 to 3"),
        ({"way": (1, 4)}, "way is (1, 4); expected (from, to), steps from 1 to 3"),
        ({"way": (1,)}, "way is (1,); expected (from, to), steps from 1 to 3"),
    ],
)
def test_self_attention_that_cannot_be_drawn_is_refused(changed, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        self_attention_graph(**{"inputs": list("abc")} | changed)
