"""The models against their parts from torch.nn, and against slow loops."""

import math

import pytest
import torch
from torch import nn

from unrolled.data import Window
from unrolled.layers import RNN
from unrolled.models import LanguageModel, language_model_loss


def language_model(vocab_size=7, hidden=5, layers=2):
    torch.manual_seed(0)
    return LanguageModel(vocab_size, layer=RNN(4, hidden, num_layers=layers)).double()


class Reference(nn.Module):
    """The same from torch.nn."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.layer = nn.RNN(4, 5, num_layers=2, batch_first=True)
        self.read_out = nn.Linear(5, 7)

    def forward(self, tokens, state=None):
        outputs, state = self.layer(self.embedding(tokens), state)
        return self.read_out(outputs), state


def test_language_model_equals_torch_in_values_and_gradients():
    torch.manual_seed(1)
    theirs = Reference().double()
    ours = LanguageModel(7, layer=RNN.from_torch(theirs.layer)).double()
    ours.embedding.load_state_dict(theirs.embedding.state_dict())
    ours.read_out.load_state_dict(theirs.read_out.state_dict())
    tokens = torch.randint(7, (3, 6))
    weights = torch.randn(3, 6, 7).double()
    logits, state = ours(tokens)
    expected, expected_state = theirs(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.stack(state), expected_state, rtol=1e-10, atol=1e-10)
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    for part in ("embedding", "read_out"):
        for name, parameter in getattr(ours, part).named_parameters():
            reference = getattr(theirs, part).get_parameter(name).grad
            torch.testing.assert_close(parameter.grad, reference, rtol=1e-10, atol=1e-10)
    for depth, recurrent in enumerate(ours.layer.layers):
        reference = getattr(theirs.layer, f"weight_hh_l{depth}").grad
        torch.testing.assert_close(recurrent.cell.weight_hh.grad, reference, rtol=1e-10, atol=1e-10)


def test_a_text_in_two_parts_with_the_state_between_them_is_one_text():
    model, tokens = language_model(), torch.randint(7, (3, 9))
    whole, final = model(tokens)
    first, state = model(tokens[:, :4])
    second, end = model(tokens[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, final)


def test_logits_do_not_depend_on_what_comes_later():
    model, tokens = language_model(), torch.randint(7, (2, 8))
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 7
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


def test_step_gives_log_probabilities_of_the_next_token():
    model, tokens = language_model(), torch.randint(7, (3, 5))
    expected = model(tokens)[0].log_softmax(-1)
    state = None
    for place in range(5):
        log_probs, state = model.step(tokens[:, place], state)
        torch.testing.assert_close(log_probs, expected[:, place])
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(3).double())


def test_loss_is_the_mean_over_targets_of_minus_the_log_probability():
    model, tokens = language_model(), torch.randint(7, (3, 6))
    window = Window(tokens[:, :-1], tokens[:, 1:])
    loss, _ = language_model_loss(model, window, None)
    log_probs = model(window.inputs)[0].log_softmax(-1)
    slow = [
        -log_probs[row, place, window.targets[row, place]].item()
        for row in range(3)
        for place in range(5)
    ]
    assert loss.item() == pytest.approx(sum(slow) / len(slow), abs=1e-12)


def test_a_model_that_knows_nothing_has_the_loss_of_a_uniform_guess():
    model = language_model()
    nn.init.zeros_(model.read_out.weight)
    nn.init.zeros_(model.read_out.bias)
    tokens = torch.randint(7, (2, 4))
    loss, _ = language_model_loss(model, Window(tokens, tokens), None)
    assert loss.item() == pytest.approx(math.log(7), abs=1e-12)


def test_the_state_passes_its_values_on_and_no_gradient_back():
    model, tokens = language_model(), torch.randint(7, (2, 9))
    first, second = (Window(tokens[:, a:b], tokens[:, a + 1 : b + 1]) for a, b in ((0, 4), (4, 8)))
    _, state = language_model_loss(model, first, None)
    assert all(not part.requires_grad for part in state)
    torch.testing.assert_close(state, model(first.inputs)[1])
    carried, _ = language_model_loss(model, second, state)
    fresh, _ = language_model_loss(model, second, None)
    assert carried.item() != fresh.item()


def test_wrong_tokens_are_named():
    model = language_model()
    with pytest.raises(TypeError, match=r"tokens is torch.float32; expected an int64 tensor"):
        model(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="tokens is list"):
        model([[1, 2]])
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \(batch, time\).*tokens\[None\]"):
        model(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(0, 4\)"):
        model(torch.zeros(0, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="tokens go from 1 to 7; expected 0 to 6"):
        model(torch.tensor([[1, 7]]))
    with pytest.raises(ValueError, match="tokens go from -1"):
        model(torch.tensor([[-1, 2]]))
