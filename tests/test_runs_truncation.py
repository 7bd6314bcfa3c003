"""What chapter 8 counts: memory, echoes, what lingers in a state, gradients that are cut off."""

import math
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unrolled.data import FirstSymbolBatches
from unrolled.layers import RNN
from unrolled.models import LanguageModel
from unrolled.runs import ch08


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LanguageModel(4, layer=RNN(3, 5)).double()


def test_memory_counts_what_is_alive_and_no_view_twice():
    before = torch.zeros(50)
    with ch08.PeakMemory() as memory:
        x = torch.zeros(100)  # 400 bytes
        view = x.view(10, 10).T[2:]
        y = torch.exp(view)  # 320 bytes
        del y
        z = before + 1  # 200 bytes; what it was made of is older
        del x, view
        last = torch.ones(10)
    assert memory.peak == 720
    assert memory.now == z.nbytes + last.nbytes


def test_memory_counts_the_backward_pass():
    layer = RNN(3, 5)
    x = torch.randn(2, 40, 3)
    with ch08.PeakMemory() as memory:
        outputs, _ = layer(x)
        forwards = memory.peak
        outputs.sum().backward()
    assert memory.peak > forwards
    assert memory.now >= sum(p.nbytes for p in layer.parameters())  # their gradients


def test_echo_windows_go_on_and_ask_for_what_was_read():
    batches = ch08.EchoBatches(letters=4, lag=3, time=5, batch=2, seed=1)
    windows = list(islice(batches, 3))
    inputs = torch.cat([window.inputs for window in windows], dim=1)
    targets = torch.cat([window.targets for window in windows], dim=1)
    assert torch.equal(targets[:, 3:], inputs[:, :-3])
    assert set(inputs.unique().tolist()) <= {0, 1, 2, 3}
    again = next(iter(batches))
    assert torch.equal(again.inputs, windows[0].inputs)
    other = next(iter(ch08.EchoBatches(letters=4, lag=3, time=5, batch=2, seed=2)))
    assert not torch.equal(other.inputs, again.inputs)


@pytest.mark.parametrize("window", [1, 3, 7])
def test_windows_carry_values_and_no_gradient(model, window):
    tokens = torch.randint(4, (2, 7))
    expected, end = model(tokens)
    logits, state = ch08.read_in_windows(model, tokens, None, window)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(state[0], end[0])
    assert not state[0].requires_grad
    vectors = model.embedding.weight
    last = ch08.read_in_windows(model, torch.tensor([[0, 1, 2, 3]]), None, window)[0][:, -1]
    reached = torch.autograd.grad(last.sum(), vectors)[0].abs().sum(1) > 0
    assert reached.tolist() == {1: [0, 0, 0, 1], 3: [0, 0, 0, 1], 7: [1, 1, 1, 1]}[window]


def test_a_state_that_is_not_carried_begins_with_zeros(model):
    tokens = torch.randint(4, (2, 6))
    logits, _ = ch08.read_in_windows(model, tokens, None, 3, carried=False)
    torch.testing.assert_close(logits[:, 3:], model(tokens[:, 3:])[0])


class Echo(nn.Module):
    """Scores as if it had a perfect memory of so many steps."""

    def __init__(self, lag):
        super().__init__()
        self.lag = lag

    def forward(self, tokens, state=None):
        before = torch.zeros(len(tokens), self.lag, dtype=torch.int64) if state is None else state
        stream = torch.cat([before, tokens], dim=1)
        return nn.functional.one_hot(stream[:, : tokens.shape[1]], 4).float(), stream[
            :, -self.lag :
        ]


def test_right_echoes_of_a_perfect_memory():
    batches = ch08.EchoBatches(letters=4, lag=3, time=10, batch=50)
    assert ch08.right_echoes(Echo(3), batches, window=5, carried=True) == 1
    assert 0.2 < ch08.right_echoes(Echo(2), batches, window=5, carried=True) < 0.3
    forgets = ch08.right_echoes(Echo(3), batches, window=5, carried=False)
    assert forgets == pytest.approx(2 / 5 + 3 / 5 / 4, abs=0.03)


def test_first_symbols_are_named_from_the_last_step():
    batch = next(iter(FirstSymbolBatches(symbols=2, time=5, batch=40)))
    right = ch08.right_at_the_end(Echo(4), batch, symbols=2, window=2, carried=True)
    assert right == 1
    blind = ch08.right_at_the_end(Echo(4), batch, symbols=2, window=2, carried=False)
    assert blind == pytest.approx((batch.target == 0).float().mean().item())


def test_a_probe_finds_what_is_in_the_states():
    torch.manual_seed(0)
    model = ch08.make_model(4, 16, start="orthogonal")
    batches = FirstSymbolBatches(symbols=2, time=40, batch=300)
    assert ch08.probed(model, batches, step=1) == 1
    assert ch08.probed(model, batches, step=40) < 0.7


def test_orthogonal_matrix_is_orthogonal():
    weight = ch08.make_model(4, 16, start="orthogonal").layer.layers[0].cell.weight_hh
    torch.testing.assert_close(weight @ weight.T, torch.eye(16), atol=1e-5, rtol=0)


def by_autograd(model, tokens, reach):
    """Gradients of a cell's weights, where the loss of each step reaches back over some steps."""
    cell = model.layer.layers[0].cell
    time = tokens.shape[1] - 1
    states = [cell.initial_state(len(tokens))]
    for x_t in model.embedding(tokens[:, :-1]).unbind(1):
        states.append(cell(x_t, states[-1])[0].detach())
    loss = 0
    for end in range(1, time + 1):
        start = max(0, end - reach(end))
        h = states[start]
        for x_t in model.embedding(tokens[:, start:end]).unbind(1):
            h, _ = cell(x_t, h)
        loss = loss + nn.functional.cross_entropy(model.read_out(h), tokens[:, end]) / time
    weights = cell.weight_ih, cell.weight_hh, cell.bias
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])


def test_gradients_that_are_cut_are_those_of_autograd(model):
    tokens = torch.randint(4, (3, 9))
    trace = ch08.language_trace(model, tokens)
    for length in (1, 3, 8):
        reach = ch08.with_reach(*trace, length)
        torch.testing.assert_close(reach, by_autograd(model, tokens, lambda _, k=length: k))
        borders = ch08.with_borders(*trace, length)
        since_border = by_autograd(model, tokens, lambda end, k=length: (end - 1) % k + 1)
        torch.testing.assert_close(borders, since_border)


def test_gradients_are_compared_by_length_angle_and_bias():
    true = [torch.tensor([2.0, 0.0]), torch.tensor([4.0, 3.0])]
    cut = [torch.tensor([1.0, 0.0]), torch.tensor([2.0, 3.0])]
    found = ch08.compared(cut, true)
    assert found["error"] == pytest.approx((1 / 2 + 2 / 5) / 2)
    angle = math.degrees(math.acos(17 / (5 * 13**0.5)))
    assert found["degrees"] == pytest.approx(angle / 2, abs=1e-3)
    assert found["bias"] == pytest.approx((2 / 8) ** 0.5)  # by the products of different batches


def test_the_length_of_an_expected_vector_is_estimated_without_its_noise():
    torch.manual_seed(0)
    expected = F.normalize(torch.randn(1000), dim=0)
    estimates = []
    for _ in range(50):
        some = expected + torch.randn(8, 1000) / 10  # noise of length 3
        estimates.append(ch08.length_of_expected(some))
        assert some.mean(0).norm() > 1.3
    assert sum(estimates) / 50 == pytest.approx(1, abs=0.1)
    assert ch08.length_of_expected(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == 0
