"""Training the used rows of the word embedding alone against training all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bertsmith.training.live_rows import LiveRows

Maker = Callable[..., Any]


@pytest.mark.parametrize(
    "fields",
    [
        {"clip_norm": 0.3},
        {"layer_decay": 0.7, "schedule": "cosine"},
        {"pass_tokens": 16, "warmup": 5},
        {"optimizer": "adam_weight_decay"},
        {"optimizer": "lamb"},  # looks at the norm of the whole table, and so trains it
        {"optimizer": "muon"},
    ],
)
def test_the_narrow_embedding_trains_as_the_whole_one(
    fields: dict[str, Any], make_model: Maker, make_rows: Maker, train: Maker
) -> None:
    narrow, whole = make_rows(num_ids=12), make_rows(num_ids=12)
    whole.trained_ids = np.arange(40)
    options = {"steps": 30, "weight_decay": 0.1, **fields}
    ours, expected = train(make_model(), narrow, **options), train(make_model(), whole, **options)
    assert ours.losses == pytest.approx(expected.losses, abs=1e-5)
    assert ours.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        torch.testing.assert_close(ours.weights[name], tensor, atol=1e-5, rtol=0, msg=f"{name}: {{}}".format)
    # Rows 13 ... 39 never occur; they decay, and do nothing else.
    word = "encoder.embeddings.word.weight"
    before, after = make_model().state_dict()[word], ours.weights[word]
    factor = float(after[30] @ before[30] / (before[30] @ before[30]))
    assert 0.9 < factor < 0.9999
    torch.testing.assert_close(after[13:], before[13:] * factor, atol=5e-7, rtol=0)


def test_the_model_has_an_ordinary_embedding_again(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    model = train(make_model(), make_rows(num_ids=12), steps=2).model
    word = model.encoder.embeddings.word
    assert type(word) is nn.Embedding
    assert word.weight.shape == (40, 16)
    assert word.weight.requires_grad
    train(model, make_rows(num_ids=12), steps=2)  # and can be trained on


def test_rows_in_evaluation_are_the_rows_of_the_whole_table() -> None:
    word = nn.Embedding(20, 4)
    used = np.array([2, 3, 11])
    live = LiveRows(word, used)
    live.decay = 0.5
    with torch.no_grad():
        live.weight.mul_(3)
    expected = word.weight.detach() * 0.5
    expected[used] = word.weight.detach()[used] * 3
    assert torch.equal(live.whole().weight.detach(), expected)
    ids = torch.tensor([[3, 0, 11], [19, 2, 2]])
    assert torch.equal(live.eval()(ids), expected[ids])
    used_ids = torch.tensor([3, 11, 2, 2])
    torch.testing.assert_close(live.train()(used_ids), expected[used_ids])
    assert torch.equal(word.weight.detach()[used] * 3, live.weight.detach())  # the table itself is as it was


def test_gradients_of_a_row_that_occurs_twice_add_up() -> None:
    word = nn.Embedding(20, 4)
    live = LiveRows(word, np.array([2, 3, 11])).train()
    ids, weights = torch.tensor([3, 11, 3, 3]), torch.randn(4, 4)
    # Twice, as two passes of one step do.
    for _ in range(2):
        (word(ids) * weights).sum().backward()
        (live(ids) * weights).sum().backward()
    assert word.weight.grad is not None
    torch.testing.assert_close(live.weight.grad, word.weight.grad[[2, 3, 11]])


def test_evaluation_during_training_sees_unused_rows(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    """The scores of a split with tokens that training has not are those of the trained model."""
    from bertsmith.training import Evaluation

    other, model = make_rows(num_ids=39, seed=9), make_model()
    batch = other.batch(np.arange(len(other)))
    seen = []

    def evaluate() -> Evaluation:
        with torch.no_grad():
            seen.append(model(batch))
        return Evaluation({}, 0.0)

    train(model, make_rows(num_ids=12), steps=8, weight_decay=0.5, evaluate=evaluate)
    with torch.no_grad():
        torch.testing.assert_close(seen[-1], model(batch), atol=1e-6, rtol=0)
