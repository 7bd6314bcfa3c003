"""The windows on a text: every target is the next token, and nothing is used twice in a pass."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import ContiguousWindows, RandomWindows, Window

SIZES = {"batch": st.integers(1, 7), "time": st.integers(1, 9), "extra": st.integers(0, 80)}


def text(length):
    """Tokens that tell their own place, so that any error shows."""
    return torch.arange(length)


@given(**SIZES)
def test_contiguous_windows_predict_the_next_token(batch, time, extra):
    windows = list(ContiguousWindows(text(batch * time + 1 + extra), batch, time))
    for window in windows:
        assert window.inputs.shape == window.targets.shape
        assert window.inputs.dtype == window.targets.dtype == torch.int64
        assert torch.equal(window.targets, window.inputs + 1)
        assert window.weight == window.targets.numel()
    assert all(window.inputs.shape == (batch, time) for window in windows[:-1])
    assert 1 <= windows[-1].inputs.shape[1] <= time


@given(**SIZES)
def test_contiguous_windows_go_on_where_the_row_stopped(batch, time, extra):
    length = batch * time + 1 + extra
    windows = ContiguousWindows(text(length), batch, time)
    rows = torch.cat([window.inputs for window in windows], dim=1)
    # One row after the other is the text from its start, each token once.
    assert torch.equal(rows.flatten(), torch.arange(rows.numel()))
    assert length - batch <= rows.numel() < length  # at most `batch` tokens are no input
    assert len(windows) == len(list(windows))


def test_contiguous_windows_by_hand():
    windows = ContiguousWindows(text(12), batch=2, time=3)
    assert len(windows) == 2
    for _ in range(2):  # each pass the same
        first, last = windows
        assert first.inputs.tolist() == [[0, 1, 2], [5, 6, 7]]
        assert first.targets.tolist() == [[1, 2, 3], [6, 7, 8]]
        assert last.inputs.tolist() == [[3, 4], [8, 9]]
        assert (first.weight, last.weight) == (6, 4)


@given(count=st.integers(1, 5), **SIZES)
def test_random_windows_predict_the_next_token(count, batch, time, extra):
    windows = RandomWindows(text(time + 1 + extra), batch, time, count)
    seen = list(windows)
    assert len(windows) == len(seen) == count
    for window in seen:
        assert window.inputs.shape == window.targets.shape == (batch, time)
        assert window.inputs.dtype == window.targets.dtype == torch.int64
        assert torch.equal(window.targets, window.inputs + 1)
        assert torch.equal(
            window.inputs - window.inputs[:, :1], torch.arange(time).expand(batch, -1)
        )
        assert window.weight == batch * time


def test_random_windows_reach_every_place_and_no_other():
    starts = [row[0].item() for w in RandomWindows(text(10), 4, 3, 100) for row in w.inputs]
    assert set(starts) == set(range(7))  # the last starts at 6 and predicts token 9


def places(windows):
    return [window.inputs[:, 0].tolist() for window in windows]


def test_random_windows_repeat_for_the_same_seed():
    windows = RandomWindows(text(1000), 4, 3, 5)
    torch.manual_seed(0)
    first, second = places(windows), places(windows)
    assert first != second  # each pass draws anew
    torch.manual_seed(0)
    assert [places(windows), places(windows)] == [first, second]
    torch.manual_seed(1)
    assert places(windows) != first


def test_random_windows_do_not_depend_on_what_is_drawn_between_them():
    windows = RandomWindows(text(1000), 4, 3, 5)
    torch.manual_seed(0)
    expected = places(windows)
    torch.manual_seed(0)
    going = iter(windows)
    torch.rand(100)  # as dropout would
    assert places(going) == expected


BAD_SIZES = [
    ({"batch": 0}, "batch is 0; expected at least 1"),
    ({"batch": -1}, "batch is -1"),
    ({"time": 0}, "time is 0"),
    ({"time": 11}, r"the text has 20 tokens; batch 2, time 11.* needs at least"),
]


@pytest.mark.parametrize(("change", "message"), BAD_SIZES)
def test_contiguous_windows_refuse_bad_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        ContiguousWindows(text(20), **{"batch": 2, "time": 3, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *BAD_SIZES[:3],
        ({"count": 0}, "count is 0"),
        ({"time": 20}, r"the text has 20 tokens; batch 2, time 20, count 4 needs at least 21"),
    ],
)
def test_random_windows_refuse_bad_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        RandomWindows(text(20), **{"batch": 2, "time": 3, "count": 4, **change})


MAKERS = [
    lambda tokens: ContiguousWindows(tokens, 2, 3),
    lambda tokens: RandomWindows(tokens, 2, 3, 1),
]


@pytest.mark.parametrize("make", MAKERS)
def test_windows_refuse_what_is_no_text(make):
    with pytest.raises(
        ValueError, match=r"tokens has shape \(0,\); expected \(length,\), at least one"
    ):
        make(text(0))
    with pytest.raises(ValueError, match=r"shape \(4, 5\); expected \(length,\)"):
        make(text(20).view(4, 5))
    with pytest.raises(TypeError, match=r"torch.float32; expected an int64 tensor"):
        make(torch.zeros(20))
    with pytest.raises(TypeError, match="tokens is list; expected an int64 tensor"):
        make(list(range(20)))


def test_the_shortest_text_gives_one_window():
    (window,) = ContiguousWindows(text(7), batch=2, time=3)
    assert window.targets.tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="the text has 6 tokens; batch 2, time 3 needs at least 7"):
        ContiguousWindows(text(6), batch=2, time=3)
    (window,) = RandomWindows(text(4), batch=1, time=3, count=1)
    assert torch.equal(window.inputs, torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match="the text has 3 tokens"):
        RandomWindows(text(3), batch=1, time=3, count=1)


def test_a_window_unpacks_into_inputs_and_targets():
    inputs, targets = Window(text(3)[None], text(4)[None, 1:])
    assert torch.equal(targets, inputs + 1)
