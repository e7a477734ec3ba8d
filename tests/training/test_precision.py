"""Number formats: the choice of one, and training in each."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.errors import SettingsError, TrainingError
from bertsmith.model import Batch, BertModel
from bertsmith.training import Loss, Precision, State, choose_device, choose_precision

Maker = Callable[..., Any]
CPU = torch.device("cpu")


def test_the_named_precision_is_taken() -> None:
    assert choose_precision("fp32", CPU) == Precision("fp32", CPU, "as asked")
    assert choose_precision("bf16", CPU).dtype == torch.bfloat16


def test_auto_is_what_the_processor_computes() -> None:
    described = Path("/proc/cpuinfo")
    if not described.exists() or platform.machine() != "x86_64":
        pytest.skip("only Linux on x86-64 tells in /proc/cpuinfo what the processor computes in bf16")
    flags = set(re.findall(r"\w+", described.read_text(encoding="utf-8")))
    chosen = choose_precision("auto", CPU)
    assert chosen.name == ("bf16" if flags & {"avx512_bf16", "amx_bf16"} else "fp32")
    assert chosen.why not in ("", "as asked")


def test_a_precision_that_is_none_is_one_line() -> None:
    with pytest.raises(SettingsError, match=r"--precision 'bf61' is not known; did you mean 'bf16'\?"):
        choose_precision("bf61", CPU)  # type: ignore[arg-type]


def test_fp16_on_a_processor_is_refused() -> None:
    with pytest.raises(SettingsError, match="fp16 is very slow on a CPU; use --precision bf16 or fp32"):
        choose_precision("fp16", CPU)


def test_devices_are_named_or_found() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["quantum", "meta", "xpu:0", "cuda:", "cuda:-1", "cuda:01", ""])
def test_what_is_no_device_to_train_on_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"--device '{name}' is not a device; use cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingsError, match="--device cuda:1: no GPU is visible; use --device cpu"):
        choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SettingsError, match="--device cuda:99: the last one here is cuda:1"):
        choose_device("cuda:99")


def test_computing_leaves_tf32_as_it_is() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with Precision("fp32", torch.device("cuda"), "").compute():
        assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_products_inside_are_of_the_format(name: Any) -> None:
    precision = Precision(name, CPU, "")
    with precision.compute():
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == precision.dtype
    assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.float32


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_training_in_half_the_bits_follows_fp32(name: str, make_model: Maker, make_rows: Maker, train: Maker) -> None:
    options = {"steps": 60, "lr": 3e-3, "clip_norm": 0.5}
    whole = train(make_model(), make_rows(num_ids=12), **options)
    half = train(make_model(), make_rows(num_ids=12), precision=name, **options)
    assert sum(half.losses[-6:]) < 0.7 * sum(half.losses[:6])
    assert sum(half.losses[:30]) == pytest.approx(sum(whole.losses[:30]), rel=0.05)
    assert half.losses != whole.losses
    for tensor_name, tensor in half.weights.items():
        assert tensor.dtype == torch.float32, tensor_name
        # Master weights: they are not rounded to the format of computing.
        assert not torch.equal(tensor, tensor.to(torch.bfloat16 if name == "bf16" else torch.float16).float())


def test_passes_add_up_in_half_the_bits(make_model: Maker, train: Maker) -> None:
    once, often = (train(make_model(), steps=10, precision="bf16", pass_tokens=size) for size in (8192, 16))
    assert often.losses == pytest.approx(once.losses, rel=0.02)
    assert often.log[0]["gradient_norm"] == pytest.approx(once.log[0]["gradient_norm"], rel=0.02)


def test_dropout_in_half_the_bits_is_fixed_by_the_seed(make_model: Maker, train: Maker) -> None:
    dropout = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
    first, again = (train(make_model(**dropout), steps=6, precision="bf16").weights for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def scaled_loss(loss_of: Maker, factor: float) -> Callable[[BertModel, Batch], Loss]:
    """The same mean loss from a sum, and so gradients, so many times as large."""

    def loss(model: BertModel, batch: Batch) -> Loss:
        plain = loss_of(model, batch)
        return Loss(plain.sum * factor, plain.count * factor)

    return loss


@pytest.mark.parametrize("batch_size", [12, 48])
def test_a_plain_task_loses_no_step_to_the_first_scale(batch_size: int, make_model: Maker, train: Maker) -> None:
    run = train(make_model(), precision="fp16", steps=12, batch_size=batch_size)
    assert run.result.progress.updates == 12


def test_an_overflow_skips_the_step_and_halves_the_scale(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    loud = scaled_loss(loss_of, 2.0**10)
    before, model = make_model().state_dict(), make_model()
    run = train(model, loss=loud, precision="fp16", steps=1, weight_decay=0.5)
    assert run.result.progress.loss_scale == 2.0**11  # from 2^15 over the 8 rows of a batch
    assert run.result.progress.updates == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.weights.items())

    run = train(make_model(), loss=loud, precision="fp16", steps=60)
    halvings = 12 - torch.log2(torch.tensor(run.result.progress.loss_scale)).item()
    assert 3 <= halvings <= 20
    assert halvings == int(halvings)
    assert sum(run.losses[-6:]) < 0.9 * sum(run.losses[:6])


def test_a_gradient_that_no_scale_makes_finite_stops_training(make_model: Maker, train: Maker, loss_of: Maker) -> None:
    def loss(model: BertModel, batch: Batch) -> Loss:
        plain = loss_of(model, batch)
        return Loss(plain.sum + (plain.sum * 0).sqrt(), plain.count)  # the root of 0 is 0, and its slope is not finite

    before, model = make_model().state_dict(), make_model()
    with pytest.raises(TrainingError, match=r"the gradient is not finite at step 16: .* or --precision fp32"):
        train(model, loss=loss, precision="fp16", steps=100, max_skipped=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_format_starts_with_a_loss_scale_of_its_own(make_model: Maker, train: Maker) -> None:
    saved: list[State] = []
    train(make_model(), precision="fp32", steps=2, save_every=1, save=saved.append)
    assert train(make_model(), precision="fp16", steps=3, state=saved[0]).result.progress.loss_scale == 2.0**12
    assert train(make_model(), precision="fp32", steps=3, state=saved[0]).result.progress.loss_scale == 1


def test_a_skipped_step_does_not_decay_unused_rows(
    make_model: Maker, make_rows: Maker, train: Maker, loss_of: Maker
) -> None:
    run = train(
        make_model(), make_rows(num_ids=12), loss=scaled_loss(loss_of, 2.0**10), precision="fp16", steps=1,
        weight_decay=0.5,
    )  # fmt: skip
    word = "encoder.embeddings.word.weight"
    assert torch.equal(run.weights[word], make_model().state_dict()[word])
