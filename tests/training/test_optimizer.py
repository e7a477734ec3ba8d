"""Training against the plain loop that everybody writes: a padded model, torch's AdamW, clipping, a schedule.

The slow twin takes the rows of each step from the same plan; everything else in it is the peers' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.checkpoint import to_published
from bertsmith.model import BertModel
from bertsmith.training import BatchPlan, FitOptions, State
from bertsmith.training.optimizer import Optimizer
from bertsmith.training.options import OptimizerName
from bertsmith.training.parameters import group_parameters
from bertsmith.training.processes import Processes

transformers = pytest.importorskip("transformers")

Maker = Callable[..., Any]
every_optimizer = pytest.mark.parametrize("optimizer", get_args(OptimizerName))

HEADS = {"sequence": "BertForSequenceClassification", "token": "BertForTokenClassification"}
# As transformers' Trainer names what gets no decay.
NO_DECAY = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def train_plainly(model: BertModel, rows: Any, options: FitOptions, num_steps: int) -> tuple[Any, list[float]]:
    """The twin of the toy task: the trained peer and the loss of each step."""
    from transformers.trainer_pt_utils import get_parameter_names

    config = transformers.BertConfig(**model.config.to_dict(), num_labels=2)
    peer = getattr(transformers, HEADS[model.head_kind])(config).train()
    peer.load_state_dict(to_published(model.state_dict(), model.head_kind))
    decayed = set(get_parameter_names(peer, [nn.LayerNorm], NO_DECAY))
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [one for name, one in peer.named_parameters() if name in decayed],
                "weight_decay": options.weight_decay,
            },
            {"params": [one for name, one in peer.named_parameters() if name not in decayed], "weight_decay": 0.0},
        ],
        lr=options.lr,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        fused=False,
    )
    schedule = transformers.get_scheduler(
        options.schedule, optimizer, num_warmup_steps=int(options.warmup), num_training_steps=num_steps
    )
    plan, losses = BatchPlan(rows, options), []
    for step in range(num_steps):
        batch = rows.batch(plan.step_rows(step))
        sizes = batch.lengths.tolist()
        ids = nn.utils.rnn.pad_sequence(batch.ids.split(sizes), batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones(size) for size in sizes], batch_first=True)
        logits = peer(ids, attention_mask=mask).logits
        if model.head_kind == "token":
            targets = nn.utils.rnn.pad_sequence(
                batch.targets["tags"].split(sizes), batch_first=True, padding_value=-100
            )
            loss = F.cross_entropy(logits.view(-1, 2), targets.view(-1), ignore_index=-100)
        else:
            loss = F.cross_entropy(logits, batch.targets["label"])
        optimizer.zero_grad()
        loss.backward()
        if options.clip_norm:
            nn.utils.clip_grad_norm_(peer.parameters(), options.clip_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return peer, losses


@pytest.mark.parametrize("num_ids", [10, 39], ids=["part of the vocabulary", "all of it"])
@pytest.mark.parametrize(
    ("head", "fields"),
    [
        ("sequence", {"clip_norm": 0.3, "weight_decay": 0.1, "warmup": 4}),
        ("sequence", {"clip_norm": 0.0, "beta1": 0.8, "beta2": 0.95, "schedule": "constant"}),
        ("token", {"clip_norm": 1.0, "weight_decay": 0.5, "schedule": "cosine"}),
        ("token", {"clip_norm": 0.3, "weight_decay": 0.1, "pass_tokens": 12}),
    ],
)
def test_training_follows_the_plain_loop(
    head: str, fields: dict[str, Any], num_ids: int, make_rows: Maker, make_model: Maker, train: Maker
) -> None:
    rows, model = make_rows(num_ids=num_ids), make_model(head)
    options = FitOptions(**{"lr": 3e-3, "eps": 1e-4, "batch_size": 8, "warmup": 0, "steps": 20, **fields})
    start = {name: tensor.clone() for name, tensor in to_published(model.state_dict(), model.head_kind).items()}
    peer, losses = train_plainly(model, rows, options, 20)
    run = train(model, rows, steps=20, **fields)
    assert run.losses == pytest.approx(losses, abs=1e-4)
    theirs: dict[str, Tensor] = peer.state_dict()
    ours = to_published(run.weights, model.head_kind)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        moved = float((tensor - start[name]).abs().max())
        assert moved > 1e-3 or name.endswith("key.bias"), name  # a bias of the keys changes no probability
        torch.testing.assert_close(ours[name], tensor, atol=2e-5, rtol=1e-4, msg=f"{name}: {{}}".format)


def test_the_log_tells_the_norm_before_clipping(make_rows: Maker, make_model: Maker, train: Maker) -> None:
    rows, model = make_rows(), make_model()
    options = FitOptions(batch_size=8, steps=1)
    batch = rows.batch(BatchPlan(rows, options).step_rows(0))
    F.cross_entropy(model(batch), batch.targets["label"]).backward()
    expected = float(nn.utils.get_total_norm([one.grad for one in model.parameters()]))
    for clip_norm in (0.01, 0.0):
        run = train(make_model(), rows, steps=1, clip_norm=clip_norm)
        assert run.log[0]["gradient_norm"] == pytest.approx(expected, rel=1e-4)


@every_optimizer
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_optimizer_learns_the_toy_task(
    precision: str, optimizer: str, make_rows: Maker, make_model: Maker, train: Maker
) -> None:
    lr = {"lamb": 3e-2, "muon": 1e-2}.get(optimizer, 3e-3)  # LAMB's is a share of the norm of the weights
    run = train(make_model(), make_rows(num_ids=12), precision=precision, steps=60, optimizer=optimizer, lr=lr)
    assert sum(run.losses[-6:]) < 0.7 * sum(run.losses[:6])


@every_optimizer
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_resumed_midway_ends_in_the_same_bytes(
    precision: str, optimizer: str, make_rows: Maker, make_model: Maker, train: Maker
) -> None:
    options = {"precision": precision, "optimizer": optimizer, "steps": 9, "save_every": 1, "layer_decay": 0.8}
    states: list[State] = []

    def keep(state: State) -> None:
        states.append(State({name: one.clone() for name, one in state.tensors.items()}, dict(state.values)))

    whole = train(make_model(), make_rows(), save=keep, **options)
    midway, end = states[3], states[-1]
    assert midway.values["step"] == 4
    states.clear()
    resumed = train(make_model(seed=5), make_rows(), state=midway, save=keep, **options)
    assert resumed.losses == whole.losses[4:]
    assert all(torch.equal(resumed.weights[name], one) for name, one in whole.weights.items())
    assert states[-1].tensors.keys() == end.tensors.keys()
    assert all(torch.equal(states[-1].tensors[name], one) for name, one in end.tensors.items())


@dataclass(frozen=True)
class Twins(Processes):
    """Two processes with the same part of a batch each."""

    number: int = 2

    def add_up(self, tensor: Tensor) -> None:
        tensor.mul_(2)


@every_optimizer
def test_gradients_of_several_processes_add_up(optimizer: Any, make_model: Maker) -> None:
    models = {number: make_model() for number in (1, 2)}
    options = FitOptions(optimizer=optimizer, lr=1e-2)
    for number, model in models.items():
        ours = Optimizer(group_parameters(model, 2, options), options, set(), torch.float32)
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            ours.begin()
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.add_(torch.randn(parameter.shape, generator=generator))
            ours.collect(first=True)
            if number == 2:
                ours.add_up(Twins())
            ours.step(1e-2, divisor=4.0 * number, norm=float(ours.norm()) / (4.0 * number))
        ours.release()
    alone, together = (models[number].state_dict() for number in (1, 2))
    assert all(torch.equal(together[name], one) for name, one in alone.items())


def test_weights_that_are_not_finite_are_told(make_model: Maker) -> None:
    model, options = make_model(), FitOptions()
    ours = Optimizer(group_parameters(model, 2, options), options, set(), torch.float32)
    assert ours.is_finite()
    with torch.no_grad():
        model.encoder.layers[1].attention.qkv.bias[3] = float("nan")
    assert not ours.is_finite()
