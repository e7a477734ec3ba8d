"""A step: the mean over valid targets however it is cut into passes, and errors before the update."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.errors import TrainingError
from bertsmith.model import Batch, BertModel
from bertsmith.training import BatchPlan, FitOptions, Loss, State

Maker = Callable[..., Any]


@pytest.mark.parametrize("num_ids", [12, 39], ids=["part of the vocabulary", "all of it"])
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_the_number_of_passes_changes_no_weight(
    head: str, num_ids: int, make_model: Maker, make_rows: Maker, train: Maker
) -> None:
    rows = make_rows(num_ids=num_ids)
    options = {"steps": 15, "batch_size": 12, "clip_norm": 0.5}
    plan = BatchPlan(rows, FitOptions(batch_size=12, pass_tokens=20))
    assert len(plan.passes(0)) > 2
    once = train(make_model(head), rows, pass_tokens=8192, **options)
    often = train(make_model(head), rows, pass_tokens=20, **options)
    assert often.losses == pytest.approx(once.losses, abs=1e-5)
    assert [line["gradient_norm"] for line in often.log] == pytest.approx(
        [line["gradient_norm"] for line in once.log], rel=1e-3
    )
    for name, tensor in once.weights.items():
        torch.testing.assert_close(often.weights[name], tensor, atol=1e-5, rtol=0, msg=f"{name}: {{}}".format)


def test_the_loss_is_the_mean_over_valid_targets_not_of_means(
    make_model: Maker, make_rows: Maker, train: Maker
) -> None:
    rows, model = make_rows(), make_model("token")
    plan = BatchPlan(rows, FitOptions(batch_size=12))
    batch = rows.batch(plan.step_rows(0))
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(batch), batch.targets["tags"]).item()
    valid = [(rows.tags[row] != -100).sum() for row in plan.step_rows(0)]
    assert len(set(valid)) > 2
    run = train(model, rows, steps=1, batch_size=12, pass_tokens=12)
    assert run.losses[0] == pytest.approx(expected, abs=1e-5)


def test_a_step_without_valid_targets_changes_nothing(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    rows = make_rows()
    rows.tags = [np.full_like(tags, -100) for tags in rows.tags]
    before = make_model("token").state_dict()
    run = train(make_model("token"), rows, steps=2, weight_decay=0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.weights.items())
    assert len(run.losses) == 2
    assert all(math.isnan(loss) for loss in run.losses)


def test_named_parts_of_a_loss_are_logged_as_means(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    def loss(model: BertModel, batch: Batch) -> Loss:
        plain = loss_of(model, batch)
        tokens = torch.tensor(float(len(batch.ids)))
        return Loss(plain.sum, plain.count, {"tokens a row": (tokens, plain.count), "none": (tokens, 0.0)})

    run = train(make_model(), loss=loss, epochs=1, batch_size=12, pass_tokens=30, log_every=4)
    rows = run.result.progress
    assert [line["tokens a row"] for line in run.log] == [pytest.approx(rows.tokens / rows.rows)]
    assert math.isnan(run.log[0]["none"])


def failing_loss(loss_of: Maker, good_calls: int, value: float) -> Callable[[BertModel, Batch], Loss]:
    """The loss, times ``value`` after so many calls; the weights at that moment are kept as ``loss.weights``."""
    calls = 0

    def loss(model: BertModel, batch: Batch) -> Loss:
        nonlocal calls
        calls += 1
        plain = loss_of(model, batch)
        if calls <= good_calls:
            return plain
        loss.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}  # type: ignore[attr-defined]
        return Loss(plain.sum * value, plain.count)

    return loss


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_update(
    value: float, make_model: Maker, train: Maker, loss_of: Maker
) -> None:
    model, loss = make_model(), failing_loss(loss_of, 3, value)
    with pytest.raises(TrainingError, match=r"the loss is \S+ at step 4: training stopped before the update") as caught:
        train(model, loss=loss, steps=10, max_skipped=1)
    assert "\n" not in str(caught.value)
    assert "--lr (it is 0.003)" in str(caught.value)
    assert not torch.equal(model.state_dict()["head.pooler.weight"], make_model().state_dict()["head.pooler.weight"])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loss.weights[name]), name  # type: ignore[attr-defined]


def test_a_gradient_that_is_not_finite_stops_before_the_update(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    before: list[dict[str, torch.Tensor]] = []

    def loss(model: BertModel, batch: Batch) -> Loss:
        before.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        plain = loss_of(model, batch)
        # The root of 0 is 0, and its slope is not finite.
        return plain if len(before) < 3 else Loss(plain.sum + (plain.sum * 0).sqrt(), plain.count)

    model = make_model()
    with pytest.raises(TrainingError, match="the gradient is not finite at step 3"):
        train(model, loss=loss, steps=10, max_skipped=1)
    assert all(torch.equal(tensor, before[2][name]) for name, tensor in model.state_dict().items())


def sometimes(loss_of: Maker, bad: set[int]) -> Callable[[BertModel, Batch], Loss]:
    """The loss, NaN at the calls named, counted from 1."""
    calls = itertools.count(1)

    def loss(model: BertModel, batch: Batch) -> Loss:
        plain = loss_of(model, batch)
        return Loss(plain.sum * math.nan, plain.count) if next(calls) in bad else plain

    return loss


def test_a_step_that_is_not_finite_is_passed_over_and_counted(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    saved: list[int] = []
    loss = sometimes(loss_of, {2, 3, 5})

    def save(state: State) -> None:
        saved.append(state.values["step"])

    run = train(make_model(), loss=loss, steps=6, max_skipped=3, save_every=1, save=save)
    assert [math.isnan(line["loss"]) for line in run.log] == [False, True, True, False, True, False]
    assert [line.get("skipped", 0) for line in run.log] == [0, 1, 2, 2, 3, 3]
    progress = run.result.progress
    assert (progress.step, progress.updates, progress.skipped) == (6, 3, 3)
    assert saved == [1, 1, 1, 4, 4, 6]  # a state is always of the last good step


def test_a_run_of_them_stops_training_with_the_last_good_weights(
    make_model: Maker, train: Maker, loss_of: Maker
) -> None:
    saved: list[tuple[State, list[torch.Tensor]]] = []

    def save(state: State) -> None:
        saved.append((state, [state.tensors[name].clone() for name in state.tensors if name.startswith("weights.")]))

    options = {"max_skipped": 3, "schedule": "constant", "warmup": 0}
    bad = sometimes(loss_of, {2, 4, 5, 6})
    with pytest.raises(TrainingError, match="the loss is nan at step 6, as at the 2 before it: training stopped"):
        train(make_model(), loss=bad, steps=9, save_every=1, save=save, **options)
    assert saved[-1][0].failed
    assert [state.values["step"] for state, _ in saved] == [1, 1, 3, 3, 3, 3]
    assert all(torch.equal(one, other) for one, other in zip(saved[-1][1], saved[2][1], strict=True))

    good = make_model()
    train(good, loss=sometimes(loss_of, {2}), steps=5, **options)
    resumed = make_model()  # from a state that was saved while steps were passed over: they are taken again
    train(resumed, loss=loss_of, steps=5, state=saved[-1][0], **options)
    assert all(torch.equal(one, resumed.state_dict()[name]) for name, one in good.state_dict().items())


def test_nothing_learnt_is_told(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    with pytest.raises(TrainingError, match="none of 2 steps had a finite loss and gradient: nothing was learnt"):
        train(make_model(), loss=sometimes(loss_of, {1, 2}), steps=2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_after_an_error_the_model_is_an_ordinary_one(
    precision: str, make_model: Maker, make_rows: Maker, train: Maker, loss_of: Maker
) -> None:
    model, loss = make_model(), failing_loss(loss_of, 2, float("nan"))
    with pytest.raises(TrainingError):
        train(model, make_rows(num_ids=12), loss=loss, precision=precision, steps=5, max_skipped=2)
    expected = make_model().state_dict()
    assert {name: (one.shape, one.dtype) for name, one in model.state_dict().items()} == {
        name: (one.shape, one.dtype) for name, one in expected.items()
    }
    train(model, make_rows(num_ids=12), steps=1)
