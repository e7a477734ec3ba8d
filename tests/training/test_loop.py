"""The loop: where it stops, what it calls when, and that a resumed run ends in the bytes of an unbroken one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bertsmith.checkpoint import load_state, save_state
from bertsmith.model import Batch, BertModel
from bertsmith.training import Evaluation, Loss, State

Maker = Callable[..., Any]
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_learns_the_task(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    rows, held_out = make_rows(200, num_ids=12), make_rows(200, num_ids=12, seed=1)
    model = train(make_model(**DROPOUT), rows, epochs=12, warmup=0.1).model
    batch = held_out.batch(np.arange(200))
    with torch.no_grad():
        right = (model(batch).argmax(-1) == batch.targets["label"]).float().mean()
    assert right > 0.95  # always the commoner label: about 0.6


@pytest.mark.parametrize(
    ("stops", "steps", "words"),
    [
        ({"steps": 7}, 7, "7 steps, 1.17 epochs"),
        ({"epochs": 2}, 12, "12 steps, 2 epochs"),
        ({"epochs": 1.5}, 9, "9 steps, 1.5 epochs"),
        ({"epochs": 0.01}, 1, "1 steps, 0.167 epochs"),
        ({"epochs": 2, "steps": 3}, 3, "3 steps, 0.5 epochs"),
        ({"steps": 5, "minutes": 10.0}, 5, "5 steps, 0.833 epochs"),
    ],
)
def test_it_stops_at_the_first_stop(
    stops: dict[str, Any], steps: int, words: str, make_model: Maker, train: Maker
) -> None:
    run = train(make_model(), **stops)  # 48 rows in batches of 8: 6 steps an epoch
    assert (run.result.progress.step, run.result.stopped) == (steps, words)
    assert run.result.progress.rows == 8 * steps
    assert [line["step"] for line in run.log] == list(range(1, steps + 1))


def test_it_stops_at_tokens(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    rows = make_rows()
    run = train(make_model(), rows, tokens=200)
    assert 200 <= run.result.progress.tokens < 200 + rows.row_tokens.max() * 8
    assert run.result.stopped == f"{run.result.progress.tokens:,} tokens"
    # The linear schedule follows the tokens: by the last step most of the rate is gone.
    rates = [line["lr"] for line in run.log]
    assert rates[0] == 3e-3
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.45 * rates[0]
    whole = train(make_model(), rows, epochs=1).result.progress
    assert whole.tokens == rows.row_tokens.sum()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is a hundredth of a second later whenever it is looked at: what is under test is not the machine."""
    ticks = itertools.count()
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(time, name, lambda: next(ticks) / 100)


@pytest.mark.usefixtures("clock")
def test_it_stops_at_minutes_and_the_rate_follows_the_clock(make_model: Maker, train: Maker) -> None:
    run = train(make_model(), minutes=0.01, schedule="linear", warmup=3)
    progress = run.result.progress
    assert run.result.stopped == "0.01 minutes"
    assert 0.6 <= progress.seconds < 0.7
    assert 10 < progress.step <= 61
    rates = [line["lr"] for line in run.log]
    assert rates.index(max(rates)) == 3
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] < 0.1 * max(rates)


def test_minutes_are_minutes(make_model: Maker, train: Maker) -> None:
    run = train(make_model(), minutes=0.003, warmup=3)
    assert run.result.stopped == "0.003 minutes"
    assert 0.18 <= run.result.progress.seconds < 60


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("schedule", ["linear", "constant_with_warmup"])
def test_a_share_of_warm_up_goes_with_minutes(schedule: str, make_model: Maker, train: Maker) -> None:
    run = train(make_model(), minutes=0.003, warmup=0.1, schedule=schedule)
    assert run.result.progress.step > 1
    assert run.log[0]["lr"] < 3e-3


def test_evaluations_saves_and_lines_come_when_due(make_model: Maker, train: Maker) -> None:
    happened: list[tuple[str, int]] = []

    def note(what: str) -> Callable[..., Any]:
        def call(*_: Any) -> Evaluation:
            happened.append((what, len(losses)))
            return Evaluation({"score": 0.5}, 0.5)

        return call

    losses: list[bool] = []

    def loss(model: BertModel, batch: Batch) -> Loss:
        losses.append(model.training)
        logits = model(batch)
        return Loss(logits.square().sum(), len(logits))

    train(make_model(), loss=loss, steps=14, evaluate=note("evaluate"), save=note("save"))
    assert [step for what, step in happened if what == "evaluate"] == [6, 12, 14]
    assert [step for what, step in happened if what == "save"] == [6, 12, 14]
    assert happened[:2] == [("evaluate", 6), ("save", 6)]  # the state knows of the evaluation
    assert all(losses)

    happened, losses = [], []
    run = train(
        make_model(), loss=loss, steps=14, eval_every=4, save_every=5, log_every=3,
        evaluate=note("evaluate"), save=note("save"),
    )  # fmt: skip
    assert [step for what, step in happened if what == "evaluate"] == [4, 8, 12, 14]
    assert [step for what, step in happened if what == "save"] == [5, 10, 14]
    assert [line["step"] for line in run.log if "loss" in line] == [3, 6, 9, 12, 14]
    assert next(line for line in run.log if "eval" in line) == {"step": 4, "eval": {"score": 0.5}}
    assert run.result.progress.evaluations[1] == {"step": 8, "score": 0.5}


def test_a_line_of_the_log_is_the_mean_of_its_steps(make_model: Maker, train: Maker) -> None:
    each, some = train(make_model(), steps=12), train(make_model(), steps=12, log_every=4)
    assert some.losses == pytest.approx([sum(each.losses[low : low + 4]) / 4 for low in (0, 4, 8)], abs=1e-6)
    assert set(some.log[0]) == {
        "step", "planned_steps", "epoch", "loss", "lr", "gradient_norm", "tokens_per_second",
    }  # fmt: skip
    assert [line["epoch"] for line in some.log] == [0.6667, 1.3333, 2.0]
    assert all(line["tokens_per_second"] > 0 for line in some.log)
    assert [line["lr"] for line in some.log] == [each.log[step]["lr"] for step in (3, 7, 11)]


def test_lines_tell_the_step_at_which_training_will_end(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    assert {line["planned_steps"] for line in train(make_model(), epochs=1.5).log} == {9}
    rows = make_rows()
    run = train(make_model(), rows, tokens=int(rows.row_tokens.sum()), batch_size=40)  # 40 rows, then 8
    assert [(line["step"], line["planned_steps"]) for line in run.log] == [(1, 2), (2, 2)]
    impatient = train(make_model(), steps=12, eval_every=2, log_every=12, patience=1, evaluate=scripted([0.5, 0.4]))
    assert [line["planned_steps"] for line in impatient.log if "loss" in line] == [4]


@pytest.mark.usefixtures("clock")
def test_the_planned_steps_follow_the_clock(make_model: Maker, train: Maker) -> None:
    run = train(make_model(), minutes=0.01)
    last = run.result.progress.step
    assert all(line["planned_steps"] == pytest.approx(last, abs=1) for line in run.log)
    assert run.log[-1]["planned_steps"] == last


def test_evaluation_sees_evaluation_mode(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    model, batch, seen = make_model(**DROPOUT), make_rows().batch(np.arange(5)), []

    def evaluate() -> Evaluation:
        assert not any(part.training for part in model.modules())
        with torch.no_grad():
            assert torch.equal(model(batch), model(batch))
        seen.append(True)
        return Evaluation({}, 0.0)

    watched = train(model, epochs=2, evaluate=evaluate)
    assert len(seen) == 2
    assert not model.training
    # Looking changes nothing.
    assert same(watched.weights, train(make_model(**DROPOUT), epochs=2).weights)


def scripted(values: list[float]) -> Callable[[], Evaluation]:
    following = iter(values)

    def evaluate() -> Evaluation:
        value = next(following)
        return Evaluation({"score": value}, value)

    return evaluate


@pytest.mark.parametrize(
    ("values", "patience", "steps"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.9, 0.9], 2, 8),  # equal is not better
        ([0.1, 0.3, 0.2, 0.4, 0.3, 0.2], 2, 12),
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.8], 2, 12),
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.4], 1, 4),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 0, 12),
    ],
)
def test_patience_stops(values: list[float], patience: int, steps: int, make_model: Maker, train: Maker) -> None:
    saved: list[State] = []
    run = train(
        make_model(), steps=12, eval_every=2, save_every=100, patience=patience, evaluate=scripted(values),
        save=saved.append,
    )  # fmt: skip
    assert run.result.progress.step == steps
    if steps < 12:
        assert run.result.stopped == f"no better score in {patience} evaluations"
    assert len(saved) == 1  # the end is saved, however it came


def test_a_score_that_is_no_number_is_never_the_best(make_model: Maker, train: Maker) -> None:
    run = train(make_model(), steps=6, eval_every=2, evaluate=scripted([0.1, float("nan"), 0.2]))
    assert (run.result.progress.best_step, run.result.progress.best_value) == (6, 0.2)


def test_a_first_score_that_is_no_number_is_never_the_best(make_model: Maker, train: Maker) -> None:
    run = train(make_model(), steps=6, eval_every=2, evaluate=scripted([float("nan"), 0.1, 0.2]))
    assert (run.result.progress.best_step, run.result.progress.best_value) == (6, 0.2)


@pytest.mark.parametrize("num_ids", [12, 39], ids=["part of the vocabulary", "all of it"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_best_weights_are_kept(
    precision: str, num_ids: int, make_model: Maker, make_rows: Maker, train: Maker
) -> None:
    options = {"precision": precision, "eval_every": 3, "schedule": "constant", "weight_decay": 0.5}
    rows = make_rows(num_ids=num_ids)
    kept = train(make_model(), rows, steps=12, keep_best=True, evaluate=scripted([0.1, 0.8, 0.3, 0.5]), **options)
    assert kept.result.progress.best_step == 6
    assert kept.result.progress.best_value == 0.8
    assert same(kept.weights, train(make_model(), rows, steps=6, **options).weights)
    last = train(make_model(), rows, steps=12, evaluate=scripted([0.1, 0.8, 0.3, 0.5]), **options)
    assert last.result.progress.best_step == 6
    assert not same(kept.weights, last.weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_is_the_same_bytes(precision: str, make_model: Maker, make_rows: Maker, train: Maker) -> None:
    options = {"steps": 10, "precision": precision, "pass_tokens": 30}
    first = train(make_model(**DROPOUT), make_rows(num_ids=12), **options)
    torch.manual_seed(1)
    again = train(make_model(**DROPOUT), make_rows(num_ids=12), **options)
    other = train(make_model(**DROPOUT), make_rows(num_ids=12), **options, seed=1)
    assert same(first.weights, again.weights)
    assert first.losses == again.losses
    assert not same(first.weights, other.weights)


def test_every_pass_of_every_step_has_its_own_dropout(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    def masks(seed: int) -> list[tuple[float, ...]]:
        found = []

        def loss(model: BertModel, batch: Batch) -> Loss:
            found.append(tuple(model.encoder.noise.mask((64,), 0.5, torch.device("cpu")).tolist()))
            plain: Loss = loss_of(model, batch)
            return plain

        train(make_model(), loss=loss, steps=5, pass_tokens=25, seed=seed)
        return found

    first = masks(1)
    assert len(first) > 10
    assert len(set(first)) == len(first)
    assert masks(1) == first
    assert not set(masks(2)) & set(first)


def test_recomputing_gives_the_same_numbers(make_model: Maker, train: Maker) -> None:
    plain, again = (train(make_model(**DROPOUT), steps=6, recompute=value) for value in (False, True))
    assert plain.losses == pytest.approx(again.losses, abs=1e-6)
    for name, tensor in plain.weights.items():
        torch.testing.assert_close(again.weights[name], tensor, atol=1e-6, rtol=0)


RESUMED: dict[str, dict[str, Any]] = {
    "plain": {},
    "part of the vocabulary": {"num_ids": 12, "weight_decay": 0.5},
    "in passes": {"pass_tokens": 25},
    "bf16": {"precision": "bf16", "num_ids": 12},
    "the best kept": {"keep_best": True, "num_ids": 12, "weight_decay": 0.5},
    "layers at their own rates": {"layer_decay": 0.8, "freeze": "0"},
    "with patience": {"patience": 2, "keep_best": True, "save_every": 1},
    "by tokens": {"tokens": 600, "warmup": 0.2},
}


def train_and_save(
    folder: Path, make_model: Maker, make_rows: Maker, train: Maker, score_of: Maker, state: State | None = None,
    fields: dict[str, Any] | None = None, **options: Any,
) -> Any:  # fmt: skip
    """A run with evaluations whose states go to ``folder / step``, from the start weights or from a state."""
    model = make_model(**{**DROPOUT, **(fields or {})})
    rows = make_rows(num_ids=options.pop("num_ids", 39))

    def evaluate() -> Evaluation:
        score = score_of(model)
        return Evaluation({"score": score}, score)

    def save(moment: State) -> None:
        save_state(folder / str(moment.values["step"]), moment.tensors, moment.values)

    chosen = {"steps": 15, "eval_every": 2, "save_every": 3, "log_every": 4, **options}
    return train(model, rows, evaluate=evaluate, save=save, state=state, **chosen)


def read_state(folder: Path) -> State:
    found = load_state(folder)
    return State(found.tensors, found.values)


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_a_resumed_run_ends_in_the_same_bytes(
    options: dict[str, Any], tmp_path: Path, make_model: Maker, make_rows: Maker, train: Maker, score_of: Maker
) -> None:
    makers = (make_model, make_rows, train, score_of)
    unbroken = train_and_save(tmp_path / "unbroken", *makers, **options)
    last = unbroken.result.progress.step
    moments = sorted(int(path.name) for path in (tmp_path / "unbroken").iterdir())
    assert len(moments) >= 3
    assert moments[-1] == last
    for moment in moments[:-1]:
        state = read_state(tmp_path / "unbroken" / str(moment))
        resumed = train_and_save(tmp_path / f"from {moment}", *makers, state=state, **options)
        assert same(resumed.weights, unbroken.weights), moment
        assert resumed.result.stopped == unbroken.result.stopped
        assert resumed.result.progress.evaluations == unbroken.result.progress.evaluations
        # The lines after the state are those of the unbroken run, the one that was begun before it included.
        wanted = [line for line in unbroken.log if line["step"] > moment]
        timeless = [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in wanted]
        found = [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in resumed.log]
        assert found == timeless
        # So are the states saved later.
        for path in (tmp_path / f"from {moment}").iterdir():
            ours, theirs = read_state(path), read_state(tmp_path / "unbroken" / path.name)
            assert same(dict(ours.tensors), dict(theirs.tensors))


@pytest.mark.parametrize("keep_best", [False, True])
def test_resuming_from_the_end_trains_no_more(
    keep_best: bool, tmp_path: Path, make_model: Maker, make_rows: Maker, train: Maker, score_of: Maker
) -> None:
    """What a kill between the last state and the writing of the checkpoint comes to."""
    makers = (make_model, make_rows, train, score_of)
    options: dict[str, Any] = {"keep_best": keep_best, "num_ids": 12, "weight_decay": 0.5}
    unbroken = train_and_save(tmp_path, *makers, **options)
    resumed = train_and_save(tmp_path, *makers, **options, state=read_state(tmp_path / "15"))
    assert resumed.log == []
    assert same(resumed.weights, unbroken.weights)
    assert resumed.result.stopped == unbroken.result.stopped


def test_resuming_from_the_end_of_patience_trains_no_more(tmp_path: Path, make_model: Maker, train: Maker) -> None:
    def save(moment: State) -> None:
        save_state(tmp_path / "state", moment.tensors, moment.values)

    options = {"steps": 12, "eval_every": 2, "patience": 2}
    ended = train(make_model(), evaluate=scripted([0.5, 0.4, 0.3]), save=save, **options)
    assert ended.result.progress.step == 6
    state = read_state(tmp_path / "state")
    resumed = train(make_model(), evaluate=scripted([0.9] * 9), state=state, **options)
    assert resumed.result.progress.step == 6
    assert same(resumed.weights, ended.weights)


def test_the_best_of_many_groups_survives_a_resumption(
    tmp_path: Path, make_model: Maker, make_rows: Maker, train: Maker, score_of: Maker
) -> None:
    makers = (make_model, make_rows, train, score_of)
    options: dict[str, Any] = {"keep_best": True, "layer_decay": 0.9, "fields": {"num_hidden_layers": 5}}  # 14 groups
    unbroken = train_and_save(tmp_path / "unbroken", *makers, **options)
    state = read_state(tmp_path / "unbroken" / "12")
    resumed = train_and_save(tmp_path / "resumed", *makers, **options, state=state)
    assert same(resumed.weights, unbroken.weights)


def test_a_run_that_skipped_steps_resumes_in_the_same_bytes(
    tmp_path: Path, make_model: Maker, train: Maker, loss_of: Maker
) -> None:
    def loud(model: BertModel, batch: Batch) -> Loss:
        plain = loss_of(model, batch)
        return Loss(plain.sum * 2.0**10, plain.count * 2.0**10)

    def save(moment: State) -> None:
        save_state(tmp_path / str(moment.values["step"]), moment.tensors, moment.values)

    options = {"loss": loud, "precision": "fp16", "steps": 30}
    unbroken = train(make_model(), save=save, save_every=24, **options)
    assert 2**-10 < unbroken.result.progress.loss_scale < 2**15
    resumed = train(make_model(), state=read_state(tmp_path / "24"), **options)
    assert same(resumed.weights, unbroken.weights)


def test_a_state_may_be_gone_on_from_twice(make_model: Maker, train: Maker) -> None:
    saved: list[State] = []

    def save(moment: State) -> None:
        saved.append(State({name: one.clone() for name, one in moment.tensors.items()}, moment.values))

    options = {"steps": 8, "eval_every": 2, "save_every": 4}
    train(make_model(), evaluate=scripted([0.1, 0.2, 0.3, 0.4]), save=save, **options)
    runs = [train(make_model(), state=saved[0], evaluate=scripted([0.3, 0.4]), **options) for _ in range(2)]
    assert same(runs[0].weights, runs[1].weights)
    assert [one["step"] for one in runs[1].result.progress.evaluations] == [2, 4, 6, 8]
