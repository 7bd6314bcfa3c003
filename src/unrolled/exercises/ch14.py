"""Exercises of chapter 14, attention."""
# Answers, right and wrong, look as readers write them.
# ruff: noqa: ANN001, ANN202

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.exercises.exercise import Case, Draw, Exercise, Mistake
from unrolled.exercises.wording import kind_of

Answer = Callable[..., Any]


def _before(lengths: list[int], steps: int) -> Tensor:
    """Give a mask, (batch, steps), true before the end of each row."""
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


# --- 14.1 ----------------------------------------------------------------------------------------


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Weights that add up to 1 over the true places of a row, and zeros where there are none."""
    nowhere = ~mask.any(dim=2, keepdim=True)  # (batch, queries, 1)
    scores = scores.masked_fill(~mask, -torch.inf)
    scores = scores.masked_fill(nowhere, 0)  # a softmax of nothing but -inf is NaN
    return scores.softmax(dim=2).masked_fill(~mask, 0)


def _softmax_cases(draw: Draw) -> list[Case]:
    def case(
        name: str,
        sizes: tuple[int, int, int],
        *,
        nowhere: bool = False,
        scale: float = 1.0,
        hidden: float = 0.0,
        moved: float = 0.0,
    ) -> Case:
        mask = draw.integers(0, 1, *sizes).bool()
        # Every row may look at a place of its own, and may not at its neighbour.
        mask[:, :, :2] = draw.integers(0, 1, *sizes[:2], 1).bool() ^ torch.tensor([True, False])
        if nowhere:
            mask[-1, 0] = mask[0, -1] = False
        scores = moved + draw.normal(*sizes, scale=scale)
        return Case(name, {"scores": scores + hidden * ~mask, "mask": mask})

    batch, queries, steps = draw.sizes(3, low=3)
    sizes = (batch, queries, steps)
    return [
        case("a mask for each query", sizes),
        case("rows that may look nowhere", sizes, nowhere=True),
        case("scores in the thousands", sizes, scale=2000.0),
        case("scores far below zero", sizes, moved=-2000.0),
        case("masked scores far above the others", sizes, hidden=3000.0),
        case("as many queries as steps", (batch, steps, steps)),
        case("a batch of one", (1, queries, steps)),
    ]


def _nan_where_nowhere(scores, mask):
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=2)


def _infinity_added_and_nan_replaced(scores, mask):
    return (scores + torch.where(mask, 0.0, -torch.inf)).softmax(dim=2).nan_to_num(0.0)


def _divided_by_a_sum_of_zero(scores, mask):
    kept = scores.masked_fill(~mask, -torch.inf).amax(dim=2, keepdim=True)
    exps = torch.exp(scores - kept.nan_to_num(neginf=0.0)).where(mask, torch.zeros_like(scores))
    return exps / exps.sum(dim=2, keepdim=True)


def _exp_that_overflows(scores, mask):
    exps = scores.exp() * mask
    return exps / exps.sum(dim=2, keepdim=True).clamp(min=1e-30)


def _masked_after_the_softmax(scores, mask):
    return scores.softmax(dim=2) * mask


def _masked_after_the_softmax_and_divided(scores, mask):
    weights = scores.softmax(dim=2) * mask
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-30)


def _masked_after_the_softmax_and_divided_by_zero(scores, mask):
    weights = scores.softmax(dim=2) * mask
    return weights / weights.sum(dim=2, keepdim=True)


def _scores_times_mask(scores, mask):
    return (scores * mask).softmax(dim=2)


def _scores_and_weights_times_mask(scores, mask):
    return (scores * mask).softmax(dim=2) * mask


def _minus_a_billion(scores, mask):
    return scores.masked_fill(~mask, -1e9).softmax(dim=2)


def _minus_ten(scores, mask):
    return scores.masked_fill(~mask, -10.0).softmax(dim=2) * mask


def _mask_added(scores, mask):
    return (scores + mask).softmax(dim=2)


def _mask_not_used(scores, mask):
    return scores.softmax(dim=2)


def _mask_turned_round(scores, mask):
    return masked_softmax(scores, ~mask)


def _softmax_over_the_queries(scores, mask):
    return masked_softmax(scores.transpose(1, 2), mask.transpose(1, 2)).transpose(1, 2)


def _mask_of_the_first_query(scores, mask):
    return masked_softmax(scores, mask[:, :1].expand_as(mask))


def _only_the_largest(scores, mask):
    best = scores.masked_fill(~mask, -torch.inf).argmax(dim=2, keepdim=True)
    return torch.zeros_like(scores).scatter(2, best, 1.0) * mask


def _scores_overwritten(scores, mask):
    scores[~mask] = -torch.inf
    return scores.softmax(dim=2).masked_fill(~mask, 0)


def _weights_detached(scores, mask):
    return masked_softmax(scores, mask).detach()


_TIMES_MASK = (
    "You multiply the scores by the mask: a score of 0 is no weight of 0, it is a score like any "
    "other. What may not be looked at gets the score minus infinity."
)
_AFTER = (
    "You mask after the softmax and divide again: where a masked score is far above the others, "
    "the softmax has rounded those to 0 before you look. Mask the scores, before the softmax."
)
_NAN = (
    "Where a row may look nowhere, your weights are 0 / 0, which is NaN: a softmax of nothing but "
    "minus infinity. Such a row should be zeros. Give its scores any number before the softmax, "
    "and its weights 0 after it."
)

SOFTMAX = Exercise(
    id="14.1",
    title="A softmax with a mask",
    solution=masked_softmax,
    cases=_softmax_cases,
    results=("weights",),
    axes=dict.fromkeys(("scores", "mask", "weights"), ("batch", "queries", "steps")),
    gradients=True,
    hints=(
        "Which score gives a weight of exactly 0, however small the other scores are?",
        "`scores.masked_fill(~mask, -torch.inf).softmax(dim=2)` is right in every row that has a "
        "place to look at. What is the softmax of a row of nothing but minus infinity?",
        "`mask.any(dim=2, keepdim=True)` says which rows have a place. Fill the others with 0 "
        "before the softmax, and give every masked place the weight 0 after it.",
    ),
    mistakes=(
        Mistake(_nan_where_nowhere, _NAN),
        Mistake(
            _infinity_added_and_nan_replaced,
            "Right forwards, but the gradient of a row that may look nowhere is NaN, and one NaN "
            "spoils every weight of the model: `nan_to_num` mends what the softmax gives, not its "
            "gradient. Let no NaN arise.",
        ),
        Mistake(
            _exp_that_overflows,
            "Your `exp` overflows where scores are large, and is rounded to 0 where they are far "
            "below zero: subtract the largest score first, or leave it to `softmax`, which does "
            "that.",
        ),
        Mistake(
            _masked_after_the_softmax,
            "You mask after the softmax: what the masked places have got is lost, and your weights "
            "add up to less than 1. Mask the scores, before the softmax.",
        ),
        Mistake(_masked_after_the_softmax_and_divided, _AFTER),
        Mistake(_scores_times_mask, _TIMES_MASK),
        Mistake(
            _scores_and_weights_times_mask,
            "The masked places have weight 0 in the end, but with a score of 0 they have taken "
            "their part of the softmax, so your weights add up to less than 1: their score should "
            "be minus infinity.",
        ),
        Mistake(
            _minus_a_billion,
            "Right where there is something to look at, but a row that may look nowhere gets equal "
            "weights everywhere, as a softmax of equal scores gives them, however low they are: it "
            "should be zeros.",
        ),
        Mistake(
            _minus_ten,
            "Your number for masked scores is not low enough: other scores may be lower still, and "
            "then it takes part of their weight. Only minus infinity is below all.",
        ),
        Mistake(
            _mask_added,
            "You add the mask to the scores, which makes true places a little likelier: masked "
            "ones should get the score minus infinity.",
        ),
        Mistake(_mask_not_used, "Your weights do not look at `mask`: that is the plain softmax."),
        Mistake(
            _mask_turned_round,
            "Your mask is turned round: it is true where may be looked.",
        ),
        Mistake(
            _softmax_over_the_queries,
            "Your softmax goes over the queries: the weights of *one* query add up to 1 over the "
            "steps, the last axis.",
        ),
        Mistake(
            _mask_of_the_first_query,
            "All your queries have the mask of the first: each row has its own.",
        ),
        Mistake(
            _only_the_largest,
            "You take the largest score alone, with weight 1: that is a hard choice, and no "
            "gradient tells the others that they were not looked at.",
        ),
        Mistake(
            _scores_overwritten,
            "You write into `scores`, so the caller's tensor is another one afterwards: "
            "`masked_fill` without an underscore makes a new one.",
        ),
        Mistake(
            _weights_detached,
            "Right forwards, but no gradient reaches the scores, so that nobody learns where to "
            "look: is there a `detach`?",
        ),
    ),
    inherited=(
        Mistake(_divided_by_a_sum_of_zero, _NAN),
        Mistake(_masked_after_the_softmax_and_divided_by_zero, _AFTER),
    ),
)

# --- 14.2 ----------------------------------------------------------------------------------------


def additive_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor,
    weight_query: Tensor,
    weight_key: Tensor,
    weight_score: Tensor,
) -> tuple[Tensor, Tensor]:
    """Score by a small network: the mean of the values that each query sees, and the weights."""
    asked = (query @ weight_query.T)[:, :, None]  # (batch, queries, 1, hidden)
    offered = (keys @ weight_key.T)[:, None]  # (batch, 1, steps, hidden)
    scores = torch.tanh(asked + offered) @ weight_score  # (batch, queries, steps)
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
    return weights @ values, weights  # (batch, queries, value), (batch, queries, steps)


def _additive_cases(draw: Draw) -> list[Case]:
    def case(name: str, lengths: list[int], queries: int, asks: int, key: int, value: int) -> Case:
        steps, batch = max(lengths), len(lengths)
        arguments = {
            "query": draw.normal(batch, queries, asks),
            "keys": draw.normal(batch, steps, key),
            "values": draw.normal(batch, steps, value),
            "mask": _before(lengths, steps),
            "weight_query": draw.normal(hidden, asks),
            "weight_key": draw.normal(hidden, key),
            "weight_score": draw.normal(hidden, scale=2.0),
        }
        return Case(name, arguments)

    hidden, queries, asks, key, value = draw.sizes(5, low=2, high=8)
    lengths = [6, 9, 4, 1]
    return [
        case("short and full rows", lengths, queries, asks, key, value),
        case("no padding", 3 * [9], queries, asks, key, value),
        case("one size for queries, keys and values", lengths, queries, key, key, key),
        case("as many queries as steps", lengths, max(lengths), asks, key, value),
        case("a single query", lengths, 1, asks, key, value),
        case("a batch of one", [5], queries, asks, key, value),
    ]


def _context_and_weights(context: str, weights: str) -> Callable[..., dict[str, Any]]:
    """Run an answer of two tensors: the weights are compared first, since the context follows."""

    def run(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
        came = submission(*arguments.values())
        if not isinstance(came, tuple) or len(came) != 2:
            return {"answer": kind_of(came)}
        query, _, values = list(arguments.values())[:3]
        shapes = [tuple(getattr(result, "shape", ())) for result in came]
        right = [(*query.shape[:2], values.shape[n]) for n in (2, 1)]
        if shapes == right[::-1] != right:
            return {"answer": "the weights and then the context"}
        return {"answer": "the context and then the weights", weights: came[1], context: came[0]}

    return run


def _attended(scores, values, mask):
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
    return weights @ values, weights


def _sums(query, keys, weight_query, weight_key):
    """Give what stands inside the tanh, (batch, queries, steps, hidden)."""
    return (query @ weight_query.T)[:, :, None] + (keys @ weight_key.T)[:, None]


def _without_tanh(query, keys, values, mask, weight_query, weight_key, weight_score):
    scores = _sums(query, keys, weight_query, weight_key) @ weight_score
    return _attended(scores, values, mask)


def _tanh_around_the_score(query, keys, values, mask, weight_query, weight_key, weight_score):
    scores = torch.tanh(_sums(query, keys, weight_query, weight_key) @ weight_score)
    return _attended(scores, values, mask)


def _product_in_place_of_the_sum(query, keys, values, mask, weight_query, weight_key, weight_score):
    asked, offered = (query @ weight_query.T)[:, :, None], (keys @ weight_key.T)[:, None]
    return _attended(torch.tanh(asked * offered) @ weight_score, values, mask)


def _dot_product(query, keys, values, mask, weight_query, weight_key, weight_score):
    scores = (query @ weight_query.T) @ (keys @ weight_key.T).transpose(1, 2)
    return _attended(scores, values, mask)


def _keys_alone(query, keys, values, mask, weight_query, weight_key, weight_score):
    return additive_attention(0 * query, keys, values, mask, weight_query, weight_key, weight_score)


def _divided_by_the_root(query, keys, values, mask, weight_query, weight_key, weight_score):
    root = len(weight_score) ** 0.5
    return additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score / root
    )


def _padding_looked_at(query, keys, values, mask, weight_query, weight_key, weight_score):
    return additive_attention(
        query, keys, values, torch.ones_like(mask), weight_query, weight_key, weight_score
    )


def _padding_with_score_zero(query, keys, values, mask, weight_query, weight_key, weight_score):
    scores = torch.tanh(_sums(query, keys, weight_query, weight_key)) @ weight_score
    weights = (scores * mask[:, None]).softmax(dim=2)
    return weights @ values, weights


def _weights_cut_after_the_softmax(
    query, keys, values, mask, weight_query, weight_key, weight_score
):
    scores = torch.tanh(_sums(query, keys, weight_query, weight_key)) @ weight_score
    weights = scores.softmax(dim=2) * mask[:, None]
    return weights @ values, weights


def _only_the_padding_looked_at(query, keys, values, mask, weight_query, weight_key, weight_score):
    return additive_attention(query, keys, values, ~mask, weight_query, weight_key, weight_score)


def _weights_over_the_queries(query, keys, values, mask, weight_query, weight_key, weight_score):
    scores = torch.tanh(_sums(query, keys, weight_query, weight_key)) @ weight_score
    weights = scores.softmax(dim=1) * mask[:, None]
    return weights @ values, weights


def _keys_in_place_of_the_values(query, keys, values, mask, weight_query, weight_key, weight_score):
    _, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return weights @ keys, weights


def _projected_keys_in_place_of_the_values(
    query, keys, values, mask, weight_query, weight_key, weight_score
):
    _, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return weights @ (keys @ weight_key.T), weights


def _mean_of_the_values(query, keys, values, mask, weight_query, weight_key, weight_score):
    _, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    equal = mask[:, None] / mask.sum(dim=1)[:, None, None]
    return equal.to(values.dtype).expand_as(weights) @ values, weights


def _scores_in_place_of_the_weights(
    query, keys, values, mask, weight_query, weight_key, weight_score
):
    context, _ = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return context, torch.tanh(_sums(query, keys, weight_query, weight_key)) @ weight_score


def _first_query_for_all(query, keys, values, mask, weight_query, weight_key, weight_score):
    return additive_attention(
        query[:, :1].expand_as(query), keys, values, mask, weight_query, weight_key, weight_score
    )


def _weights_first(query, keys, values, mask, weight_query, weight_key, weight_score):
    return additive_attention(query, keys, values, mask, weight_query, weight_key, weight_score)[
        ::-1
    ]


def _weights_of_query_and_key_exchanged(
    query, keys, values, mask, weight_query, weight_key, weight_score
):
    return additive_attention(query, keys, values, mask, weight_key, weight_query, weight_score)


def _no_axis_for_the_pairs(query, keys, values, mask, weight_query, weight_key, weight_score):
    sums = query @ weight_query.T + keys @ weight_key.T
    scores = torch.tanh(sums) @ weight_score
    return _attended(scores[:, None], values, mask)


def _looked_without_a_gradient(query, keys, values, mask, weight_query, weight_key, weight_score):
    _, weights = additive_attention(
        query, keys, values, mask, weight_query, weight_key, weight_score
    )
    return weights.detach() @ values, weights


_LEAK = (
    "Your weights look at the padding: what `mask` forbids gets the score minus infinity, before "
    "the softmax."
)

ADDITIVE = Exercise(
    id="14.2",
    title="Additive attention",
    solution=additive_attention,
    cases=_additive_cases,
    run=_context_and_weights("context", "weights"),
    results=("answer", "weights", "context"),
    axes={
        "query": ("batch", "queries", "query"),
        "keys": ("batch", "steps", "key"),
        "values": ("batch", "steps", "value"),
        "mask": ("batch", "steps"),
        "weights": ("batch", "queries", "steps"),
        "context": ("batch", "queries", "value"),
    },
    gradients=True,
    hints=(
        "Every query meets every key: the sums inside the tanh are (batch, queries, steps, "
        "hidden). Which axis has `query @ weight_query.T` too few, and which one the keys?",
        "`[:, :, None]` gives the queries an axis for the steps, `[:, None]` the keys one for the "
        "queries. The sum of the two is repeated along both, and `@ weight_score` makes one number "
        "of the hidden ones.",
        "Then the scores are masked with minus infinity, where `mask[:, None]` is false, "
        "`softmax(dim=2)` makes weights of them, and `weights @ values` is the context.",
    ),
    mistakes=(
        Mistake(
            _without_tanh,
            "The tanh is missing. Without it a score is a number for the query plus a number for "
            "the key, and the softmax does not see the query's: all queries look at the same "
            "places.",
        ),
        Mistake(
            _tanh_around_the_score,
            "Your tanh is around the score: it belongs around the sum, before `weight_score`. "
            "Around the score it holds all scores between -1 and 1.",
        ),
        Mistake(
            _product_in_place_of_the_sum,
            "You multiply what the query asks by what the key offers: this score adds them up "
            "inside the tanh.",
        ),
        Mistake(
            _dot_product,
            "That is a dot product of the two projections: here they are added, and the tanh of "
            "the sum goes through `weight_score`.",
        ),
        Mistake(
            _keys_alone,
            "Your scores do not depend on `query`: then every query looks at the same places.",
        ),
        Mistake(
            _divided_by_the_root,
            "You divide by the root of the size: that belongs to the dot product, whose variance "
            "grows with it. Here `weight_score` is learned and can be of any size.",
        ),
        Mistake(_padding_looked_at, _LEAK),
        Mistake(
            _padding_with_score_zero,
            "You give the padding the score 0, and that is a score like any other: it takes its "
            "part of the weights. Minus infinity takes none.",
        ),
        Mistake(
            _weights_cut_after_the_softmax,
            "You set the weights of the padding to 0 after the softmax, so that the others add up "
            "to less than 1: mask the scores, before the softmax.",
        ),
        Mistake(
            _only_the_padding_looked_at,
            "Your mask is turned round: it is true where may be looked, so the places to fill are "
            "`~mask`.",
        ),
        Mistake(
            _weights_over_the_queries,
            "Your softmax goes over the queries: the weights of one query add up to 1 over the "
            "steps, `dim=2`.",
        ),
        Mistake(
            _keys_in_place_of_the_values,
            "Your context is a mean of the keys: keys are what is compared, `values` what is "
            "taken.",
        ),
        Mistake(
            _projected_keys_in_place_of_the_values,
            "Your context is a mean of the projected keys: they are for the scores only, what is "
            "taken are the `values`.",
        ),
        Mistake(
            _mean_of_the_values,
            "Your context is the plain mean of the values, whatever the weights are: "
            "`weights @ values` weights them.",
        ),
        Mistake(
            _scores_in_place_of_the_weights,
            "You return the scores: the weights are what the softmax makes of them.",
        ),
        Mistake(
            _first_query_for_all,
            "All your queries look where the first does: each query has scores of its own.",
        ),
        Mistake(
            _weights_first,
            "Your results are exchanged: first the context, then the weights.",
        ),
        Mistake(
            _weights_of_query_and_key_exchanged,
            "`weight_query` meets the keys in your code, and `weight_key` the queries: exchange "
            "them.",
        ),
        Mistake(
            _no_axis_for_the_pairs,
            "You add queries and keys step by step: every query meets *every* key, so that the "
            "sums have an axis for both, `[:, :, None]` here and `[:, None]` there.",
        ),
        Mistake(
            _looked_without_a_gradient,
            "Right forwards, but the weights are detached before they weight the values, so that "
            "the context teaches nobody where to look.",
        ),
    ),
)

# --- 14.3 ----------------------------------------------------------------------------------------


def attention_step(
    x_t: Tensor,
    h: Tensor,
    keys: Tensor,
    mask: Tensor,
    weight_score: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Look with the state before the step, then read what was seen beside the token."""
    scores = (keys @ weight_score.T @ h[:, :, None])[:, :, 0]  # (batch, steps)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
    context = (weights[:, None] @ keys)[:, 0]  # (batch, key)
    x = torch.cat([x_t, context], dim=1)  # (batch, embedding + key)
    h = torch.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)  # (batch, hidden)
    return h, context, weights


def _attention_step_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, lengths: list[int], hidden: int, embedded: int, key: int, *, zeros: bool = False
    ) -> Case:
        steps, batch = max(lengths), len(lengths)
        h = draw.normal(batch, hidden).tanh()
        arguments = {
            "x_t": draw.normal(batch, embedded),
            "h": torch.zeros_like(h) if zeros else h,
            "keys": draw.normal(batch, steps, key),
            "mask": _before(lengths, steps),
            "weight_score": draw.normal(hidden, key),
            "weight_ih": draw.normal(hidden, embedded + key, scale=0.5),
            "weight_hh": draw.normal(hidden, hidden, scale=0.5),
            "bias": draw.normal(hidden, scale=0.5),
        }
        return Case(name, arguments)

    hidden, embedded, key = draw.sizes(3, low=3, high=7)
    lengths = [5, 8, 3, 1]
    return [
        case("short and full rows", lengths, hidden, embedded, key),
        case("no padding", 3 * [8], hidden, embedded, key),
        case("one size for token, key and state", lengths, key, key, key),
        case("a state of zeros", lengths, hidden, embedded, key, zeros=True),
        case("a batch of one", [4], hidden, embedded, key),
    ]


def _run_attention_step(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 3:
        return {"answer": kind_of(came)}
    # In the order in which they are computed: what is wrong first spoils the rest.
    return {"answer": "a tuple of 3", "weights": came[2], "context": came[1], "state": came[0]}


def _look(h, keys, mask, weight_score):
    """Give what a state sees, (batch, key), and the weights, (batch, steps)."""
    weights = _weigh((keys @ weight_score.T @ h[:, :, None])[:, :, 0], mask)
    return (weights[:, None] @ keys)[:, 0], weights


def _weigh(scores, mask):
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=1)


def _next_state(x, h, weight_ih, weight_hh, bias):
    return torch.tanh(x @ weight_ih.T + h @ weight_hh.T + bias)


def _step_with(look: Callable[..., tuple[Tensor, Tensor]]) -> Answer:
    """Take a step as the reference does, but look otherwise."""

    def step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
        context, weights = look(h, keys, mask, weight_score)
        x = torch.cat([x_t, context], dim=1)
        return _next_state(x, h, weight_ih, weight_hh, bias), context, weights

    return step


def _looks_after_the_step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    nothing = keys.new_zeros(len(keys), keys.shape[2])
    h = _next_state(torch.cat([x_t, nothing], dim=1), h, weight_ih, weight_hh, bias)
    return h, *_look(h, keys, mask, weight_score)


def _looks_once_more(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    new, *_ = attention_step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)
    return new, *_look(new, keys, mask, weight_score)


def _context_before_the_token(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    context, weights = _look(h, keys, mask, weight_score)
    x = torch.cat([context, x_t], dim=1)
    return _next_state(x, h, weight_ih, weight_hh, bias), context, weights


def _context_not_read(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    context, weights = _look(h, keys, mask, weight_score)
    x = torch.cat([x_t, 0 * context], dim=1)
    return _next_state(x, h, weight_ih, weight_hh, bias), context, weights


def _token_alone_read(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    context, weights = _look(h, keys, mask, weight_score)
    return _next_state(x_t, h, weight_ih, weight_hh, bias), context, weights


def _context_added_to_the_state(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    new, context, weights = attention_step(
        x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias
    )
    return new + context, context, weights


def _all_steps_looked_at(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    return attention_step(
        x_t, h, keys, torch.ones_like(mask), weight_score, weight_ih, weight_hh, bias
    )


def _padding_scored_zero(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        scores = (keys @ weight_score.T @ h[:, :, None])[:, :, 0]
        weights = (scores * mask).softmax(dim=1)
        return (weights[:, None] @ keys)[:, 0], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _padding_cut_after_the_softmax(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        scores = (keys @ weight_score.T @ h[:, :, None])[:, :, 0]
        weights = scores.softmax(dim=1) * mask
        return (weights[:, None] @ keys)[:, 0], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _softmax_over_the_batch(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        scores = (keys @ weight_score.T @ h[:, :, None])[:, :, 0]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=0)
        return (weights[:, None] @ keys)[:, 0], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _score_scaled(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    root = len(weight_score) ** 0.5
    return attention_step(x_t, h, keys, mask, weight_score / root, weight_ih, weight_hh, bias)


def _plain_dot_product(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        weights = _weigh((keys @ h[:, :, None])[:, :, 0], mask)
        return (weights[:, None] @ keys)[:, 0], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _score_weights_transposed(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    return attention_step(x_t, h, keys, mask, weight_score.T, weight_ih, weight_hh, bias)


def _tanh_around_the_scores(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        scores = torch.tanh((keys @ weight_score.T @ h[:, :, None])[:, :, 0])
        weights = _weigh(scores, mask)
        return (weights[:, None] @ keys)[:, 0], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _mean_of_all_keys(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        _, weights = _look(h, keys, mask, weight_score)
        return (keys * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True), weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _likeliest_key_alone(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        _, weights = _look(h, keys, mask, weight_score)
        return keys[torch.arange(len(keys)), weights.argmax(dim=1)], weights

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


def _state_that_came_in(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    _, *seen = attention_step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)
    return h, *seen


def _in_the_order_of_computing(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    return attention_step(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)[::-1]


def _state_without_tanh(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    context, weights = _look(h, keys, mask, weight_score)
    x = torch.cat([x_t, context], dim=1)
    return x @ weight_ih.T + h @ weight_hh.T + bias, context, weights


def _state_forgotten(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    return attention_step(x_t, h, keys, mask, weight_score, weight_ih, 0 * weight_hh, bias)


def _query_detached(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias):
    def look(h, keys, mask, weight_score):
        return _look(h.detach(), keys, mask, weight_score)

    return _step_with(look)(x_t, h, keys, mask, weight_score, weight_ih, weight_hh, bias)


_UNREAD = (
    "Your step looks, and does not read what it has seen: the context stands beside the token, "
    "`torch.cat([x_t, context], dim=1)`, and `weight_ih` has columns for both."
)

ATTENTION_STEP = Exercise(
    id="14.3",
    title="One step of a decoder that looks",
    solution=attention_step,
    cases=_attention_step_cases,
    run=_run_attention_step,
    results=("answer", "weights", "context", "state"),
    axes={
        "x_t": ("batch", "embedding"),
        "h": ("batch", "hidden"),
        "keys": ("batch", "steps", "key"),
        "mask": ("batch", "steps"),
        "weights": ("batch", "steps"),
        "context": ("batch", "key"),
        "state": ("batch", "hidden"),
    },
    gradients=True,
    hints=(
        "In which order? The state before the step is the query; what it sees is read together "
        "with the token; the new state comes last.",
        "`keys @ weight_score.T` is (batch, steps, hidden), one row for each step to compare with "
        "`h`. With `h[:, :, None]` a matrix product does all of them: (batch, steps, 1).",
        "Mask and softmax over the steps, `dim=1`; the context is `(weights[:, None] @ keys)[:, "
        "0]`; then the tanh step of exercise 13.2, with `torch.cat([x_t, context], dim=1)`.",
    ),
    mistakes=(
        Mistake(
            _looks_after_the_step,
            "Your step looks too late, with the new state: here the state *before* the step is the "
            "query, so that what it sees can be read in this step.",
        ),
        Mistake(
            _looks_once_more,
            "Your new state is right, but you look once more with it: return what was seen before "
            "the step and what was read.",
        ),
        Mistake(
            _context_before_the_token,
            "Your context stands before the token: the first columns of `weight_ih` belong to "
            "`x_t`.",
        ),
        Mistake(_context_not_read, _UNREAD),
        Mistake(
            _context_added_to_the_state,
            "You add the context to the new state: it is an input of the step, beside `x_t`.",
        ),
        Mistake(
            _all_steps_looked_at,
            "Your state looks at the padding: what `mask` forbids gets the score minus infinity, "
            "before the softmax.",
        ),
        Mistake(
            _padding_scored_zero,
            "You give the padding the score 0, which is a score like any other: minus infinity is "
            "the one that gets no weight.",
        ),
        Mistake(
            _padding_cut_after_the_softmax,
            "You cut the padding off after the softmax, and the weights that are left add up to "
            "less than 1: mask the scores, before the softmax.",
        ),
        Mistake(
            _softmax_over_the_batch,
            "Your softmax goes over the batch, so that the sentences share their weights: those of "
            "one sentence add up to 1 over its steps, `dim=1`.",
        ),
        Mistake(
            _score_scaled,
            "You divide the scores by a root: the general score has a matrix that learns its own "
            "scale, and nothing is divided here.",
        ),
        Mistake(
            _plain_dot_product,
            "Your score is the plain dot product: `weight_score` stands between state and key.",
        ),
        Mistake(
            _score_weights_transposed,
            "`weight_score` is (hidden, key), the state's size first: the score of a key k is "
            "`h @ weight_score @ k`.",
        ),
        Mistake(
            _tanh_around_the_scores,
            "There is a tanh around your scores: the general score has none.",
        ),
        Mistake(
            _mean_of_all_keys,
            "Your context is the plain mean of the keys: the weights are computed and not used.",
        ),
        Mistake(
            _likeliest_key_alone,
            "You take the key with the largest weight alone: the context is the mean of all, "
            "weighted, so that a gradient reaches the weights.",
        ),
        Mistake(
            _state_that_came_in,
            "You return the state that came in: give the new one.",
        ),
        Mistake(
            _in_the_order_of_computing,
            "Your results are in the order of computing: first the new state, then the context, "
            "then the weights.",
        ),
        Mistake(_state_without_tanh, "Your new state lacks the tanh around the sum."),
        Mistake(
            _state_forgotten,
            "Your new state does not depend on the one before but by what it sees: "
            "`h @ weight_hh.T` is missing.",
        ),
        Mistake(
            _query_detached,
            "Right forwards, but the query is detached: the decoder never learns what to ask.",
        ),
    ),
    inherited=(Mistake(_token_alone_read, _UNREAD),),
)

# --- 14.4 ----------------------------------------------------------------------------------------


def attend(query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Look at the true steps of each row only: the context, and the weights."""
    scores = query @ keys.transpose(1, 2) / keys.shape[2] ** 0.5  # (batch, queries, steps)
    mask = torch.arange(keys.shape[1]) < lengths[:, None]  # (batch, steps)
    scores = scores.masked_fill(~mask[:, None], -torch.inf)
    weights = scores.softmax(dim=2)
    return weights @ values, weights


def leaking(query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Give the context, (batch, queries, value), and the weights."""
    scores = query @ keys.transpose(1, 2) / keys.shape[2] ** 0.5
    mask = (keys != 0).any(dim=2)  # the padding is zeros
    scores = scores * mask[:, None]
    weights = scores.softmax(dim=2)
    weights = weights * mask[:, None]
    return weights @ values, weights


def _leak_cases(draw: Draw) -> list[Case]:
    def case(
        name: str, lengths: list[int], *, padding: float = 1.0, zero_key: bool = False
    ) -> Case:
        steps, batch = 9, len(lengths)
        true = _before(lengths, steps)[:, :, None]
        keys, values = draw.normal(batch, steps, size), draw.normal(batch, steps, value)
        if zero_key:
            keys[:, 1] = 0.0
        keys, values = (torch.where(true, t, padding * t) for t in (keys, values))
        query = draw.normal(batch, queries, size, scale=2.0)
        named = {"query": query, "keys": keys, "values": values}
        return Case(name, {**named, "lengths": torch.tensor(lengths)})

    size, value, queries = draw.sizes(3, low=3, high=6)
    lengths = [5, 9, 4, 2]
    return [
        case("short rows with anything in their padding", lengths),
        case("short rows padded with zeros", lengths, padding=0.0),
        case("full rows", 3 * [9]),
        case("full rows with a key of zeros", 3 * [9], zero_key=True),
        case("padding that is far larger than all else", lengths, padding=1e4),
        case("a short row alone", [6]),  # and steps that no row has
    ]


def _run_leak(submission: Answer, arguments: dict[str, Any]) -> dict[str, Any]:
    query, keys, values, lengths = arguments.values()
    came = submission(*arguments.values())
    if not isinstance(came, tuple) or len(came) != 2:
        return {"answer": kind_of(came)}
    context, weights = came
    shapes = [tuple(getattr(result, "shape", ())) for result in came]
    right = [(*query.shape[:2], size) for size in (values.shape[2], keys.shape[1])]
    if shapes != right:
        return {"answer": f"two tensors, {shapes[0]} and {shapes[1]}"}
    results: dict[str, Any] = {"answer": f"two tensors, {right[0]} and {right[1]}"}
    beyond = torch.arange(keys.shape[1]) >= lengths[:, None, None]
    seen, sums = weights.detach(), weights.detach().sum(dim=2)
    largest = seen.masked_fill(~beyond, 0.0).abs().max().item()
    results["weight in the padding"] = f"up to {largest:.2g}" if largest != 0 else "0 everywhere"
    even = bool(((sums - 1).abs() < 1e-6).all())
    low, high = sums.min().item(), sums.max().item()
    results["sum of the weights"] = "1 for each query" if even else f"{low:.2f} to {high:.2f}"
    return {**results, "weights": weights, "context": context}


_Mask = Callable[[Tensor, Tensor], Tensor]


def _by_length(keys: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(keys.shape[1]) < lengths[:, None]


def _by_zeros(keys: Tensor, lengths: Tensor) -> Tensor:
    return (keys != 0).any(dim=2)


def _attend(mask_of: _Mask, before: str, after: str, dim: int = 2) -> Answer:
    """Attend with a mask that is used before the softmax in one way, and after it in another."""

    def run(query, keys, values, lengths):
        scores = query @ keys.transpose(1, 2) / keys.shape[2] ** 0.5
        mask = mask_of(keys, lengths)[:, None]
        if before == "times":
            scores = scores * mask
        if before == "minus infinity":
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = scores.softmax(dim=dim)
        if after:
            weights = weights * mask
        if after == "divided":
            weights = weights / weights.sum(dim=2, keepdim=True)
        return weights @ values, weights

    return run


def _nothing_mended(query, keys, values, lengths):
    return _attend(_by_zeros, "times", "times")(query, keys, values, lengths)


def _weights_left_as_they_are(query, keys, values, lengths):
    return _attend(_by_zeros, "times", "")(query, keys, values, lengths)


def _minus_infinity_by_zeros(query, keys, values, lengths):
    return _attend(_by_zeros, "minus infinity", "")(query, keys, values, lengths)


def _minus_infinity_by_zeros_and_cut(query, keys, values, lengths):
    return _attend(_by_zeros, "minus infinity", "times")(query, keys, values, lengths)


def _divided_again_by_zeros(query, keys, values, lengths):
    return _attend(_by_zeros, "times", "divided")(query, keys, values, lengths)


def _mask_by_length_alone(query, keys, values, lengths):
    return _attend(_by_length, "times", "times")(query, keys, values, lengths)


def _score_of_zero(query, keys, values, lengths):
    return _attend(_by_length, "times", "")(query, keys, values, lengths)


def _keys_of_zero(query, keys, values, lengths):
    mask = _by_length(keys, lengths)[:, :, None]
    return _attend(_by_length, "", "")(query, keys * mask, values, lengths)


def _cut_after_the_softmax(query, keys, values, lengths):
    return _attend(_by_length, "", "times")(query, keys, values, lengths)


def _cut_and_divided(query, keys, values, lengths):
    return _attend(_by_length, "", "divided")(query, keys, values, lengths)


def _values_of_zero(query, keys, values, lengths):
    mask = _by_length(keys, lengths)[:, :, None]
    return _attend(_by_length, "", "")(query, keys, values * mask, lengths)


def _no_mask_at_all(query, keys, values, lengths):
    return _attend(_by_length, "", "")(query, keys, values, lengths)


def _one_step_too_many(query, keys, values, lengths):
    return attend(query, keys, values, lengths + 1)


def _last_step_hidden(query, keys, values, lengths):
    return attend(query, keys, values, lengths - 1)


def _length_of_the_longest(query, keys, values, lengths):
    return attend(query, keys, values, lengths.max().expand(len(lengths)))


def _turned_round(query, keys, values, lengths):
    def turned(keys, lengths):
        return ~_by_length(keys, lengths)

    return _attend(turned, "minus infinity", "")(query, keys, values, lengths)


def _softmax_over_queries(query, keys, values, lengths):
    return _attend(_by_length, "minus infinity", "", dim=1)(query, keys, values, lengths)


def _not_scaled(query, keys, values, lengths):
    return attend(query * keys.shape[2] ** 0.5, keys, values, lengths)


_BY_ZEROS = (
    "What is left is the mask itself: it takes every step whose key is zeros for padding. Padding "
    "need not be zeros, and a true key may be. `lengths` says where a row ends."
)
_DIVIDED = (
    "You cut the weights off and divide them again: that is right as long as the padding is small. "
    "Where its scores are large, the softmax has rounded all others to 0 before. Mask the scores, "
    "with minus infinity."
)
_SCORE_OF_ZERO = (
    "Your padding has the score 0 now, and 0 is a score like any other: a step with a negative "
    "score gets less weight than the padding. The score that gets no weight is minus infinity."
)

LEAK = Exercise(
    id="14.4",
    title="A mask that leaks, repaired",
    solution=attend,
    start=leaking,
    cases=_leak_cases,
    run=_run_leak,
    results=("answer", "weight in the padding", "sum of the weights", "weights", "context"),
    axes={
        "query": ("batch", "queries", "size"),
        "keys": ("batch", "steps", "size"),
        "values": ("batch", "steps", "value"),
        "lengths": ("batch",),
        "weights": ("batch", "queries", "steps"),
        "context": ("batch", "queries", "value"),
    },
    gradients=True,
    hints=(
        "Print `weights.sum(dim=2)` for a short row and for a full one. What should it be?",
        "Follow a step of the padding through the code. What does it count as if its key is not "
        "zeros? And if it is: which score does it get, and which part of the softmax?",
        "Three lines are wrong. The mask: which argument says where a row ends, and is not used? "
        "The scores: what times 0 is a score that gets no weight? The last: what is there left to "
        "cut off, once the scores are right?",
    ),
    mistakes=(
        Mistake(
            _nothing_mended,
            "It does what it did before, and all three faults are left: how the mask is made, what "
            "is done to the scores, and what is done to the weights.",
        ),
        Mistake(
            _weights_left_as_they_are,
            "The weights add up to 1 now, but the padding has its part of them again. Two faults "
            "are left: how the mask is made, and what a score of 0 means to a softmax.",
        ),
        Mistake(_minus_infinity_by_zeros, _BY_ZEROS),
        Mistake(
            _mask_by_length_alone,
            "The mask is right now. Two faults are left, and they belong together: with a score of "
            "0 the padding takes its part of the softmax, and what you cut off afterwards is "
            "missing from the sum.",
        ),
        Mistake(_score_of_zero, _SCORE_OF_ZERO),
        Mistake(
            _cut_after_the_softmax,
            "You cut the padding off after the softmax: its weight is lost, and what is left adds "
            "up to less than 1. Mask the scores, before the softmax.",
        ),
        Mistake(_cut_and_divided, _DIVIDED),
        Mistake(
            _values_of_zero,
            "You set the values of the padding to 0: it adds nothing to the context, but it still "
            "takes its part of the weights, so that the context shrinks. Mask the scores.",
        ),
        Mistake(
            _no_mask_at_all,
            "There is no mask left: it looks right on full rows, and short rows look at their "
            "padding.",
        ),
        Mistake(
            _one_step_too_many,
            "Each row sees one step of its padding: steps count from 0, so a row of 3 has the "
            "steps 0, 1 and 2, and the comparison is `<`.",
        ),
        Mistake(
            _last_step_hidden,
            "Each row has lost its last true step: steps count from 0, so the comparison is `<` "
            "`lengths`.",
        ),
        Mistake(
            _length_of_the_longest,
            "All your rows end where the longest does: each has a length of its own, "
            "`lengths[:, None]`.",
        ),
        Mistake(
            _turned_round,
            "Your mask is turned round: true steps have got minus infinity, so a short row looks "
            "at nothing but padding, and a full row at nothing at all.",
        ),
        Mistake(
            _softmax_over_queries,
            "Your softmax goes over the queries: that line was right, the weights of one query add "
            "up to 1 over the steps.",
        ),
        Mistake(
            _not_scaled,
            "The leak is closed, but the scores are no longer divided by the root of the keys' "
            "size: that line was right.",
        ),
    ),
    inherited=(
        Mistake(_minus_infinity_by_zeros_and_cut, _BY_ZEROS),
        Mistake(_divided_again_by_zeros, _BY_ZEROS),
        Mistake(_keys_of_zero, _SCORE_OF_ZERO),
    ),
)

EXERCISES = (SOFTMAX, ADDITIVE, ATTENTION_STEP, LEAK)
