"""OpenVINO against torch, for every head; the graph in 8 bits and its gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertsmith.engine.choosing import InInt8, WhereWorth, choose_engine, tokens_worth_compiling
from bertsmith.engine.exchange import to_openvino
from bertsmith.engine.torch_engine import TorchEngine
from bertsmith.errors import CheckpointError, SettingsError
from bertsmith.model import BertConfig, BertModel
from bertsmith.model.heads import EncoderModel, HeadKind
from bertsmith.model.sentence import Pooling, SentenceModel
from bertsmith.text.ragged import Ragged, bounds_of
from bertsmith.training.precision import Precision

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
FP32 = Precision("fp32", torch.device("cpu"), "")
CONFIG = BertConfig(
    vocab_size=90,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=64,
    initializer_range=0.2,
)
LENGTHS = [5, 64, 2, 9, 9, 30, 2, 17, 3, 9, 40]


def model_of(kind: HeadKind | Pooling) -> EncoderModel:
    generator = torch.Generator().manual_seed(1)
    if isinstance(kind, Pooling):
        return SentenceModel(CONFIG, kind, generator=generator).eval()
    return BertModel(CONFIG, kind, 3, generator).eval()


def sequences_of(lengths: list[int], seed: int = 0) -> Ragged:
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, 90, sum(lengths)).astype(np.int32)
    segments = np.concatenate([np.arange(length) >= (length + 1) // 2 for length in lengths]).astype(np.uint8)
    return Ragged(ids, segments, bounds_of(lengths), np.zeros(len(lengths), np.int32))


def outputs_of(model: EncoderModel, sequences: Ragged, **options: object) -> NDArray[np.float32]:
    return choose_engine("openvino", model, FP32, **options).outputs(sequences)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    ["sequence", "token", "span", Pooling(), Pooling("cls"), Pooling("max"), Pooling("first-last", dense=4)],
    ids=str,
)
def test_outputs_are_those_of_torch(kind: HeadKind | Pooling) -> None:
    model, sequences = model_of(kind), sequences_of(LENGTHS)
    expected = TorchEngine(model, FP32).outputs(sequences)
    np.testing.assert_allclose(outputs_of(model, sequences), expected, atol=2e-5)


def test_an_output_does_not_depend_on_its_company() -> None:
    model, sequences = model_of(Pooling()), sequences_of(LENGTHS * 5)
    engine = choose_engine("openvino", model, FP32)
    together = engine.outputs(sequences)
    for row in range(len(LENGTHS)):
        alone = engine.outputs(sequences.take([row]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_no_sequences_have_no_outputs() -> None:
    assert outputs_of(model_of(Pooling()), Ragged.empty()).shape == (0, 32)


def test_an_error_while_outputs_are_received_is_raised_and_the_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.engine import openvino_engine

    model, sequences = model_of("token"), sequences_of(LENGTHS)
    engine = choose_engine("openvino", model, FP32)
    expected = engine.outputs(sequences)
    with monkeypatch.context() as patch:
        patch.setattr(openvino_engine, "gather_places", lambda bounds, rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.outputs(sequences)
    np.testing.assert_array_equal(engine.outputs(sequences), expected)


def test_auto_compiles_where_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Pooling())
    engine = choose_engine("auto", model, FP32)
    assert isinstance(engine, WhereWorth)
    assert engine.least == tokens_worth_compiling(model)
    engine.outputs(sequences_of([5, 9]))
    assert engine.name == "torch"
    monkeypatch.setattr(engine, "least", 28)  # 14 have been asked for
    engine.prepare(sequences_of([5, 8]))
    assert engine.name == "torch"
    engine.outputs(sequences_of([5, 9]))
    assert engine.name == "openvino"
    engine.outputs(sequences_of([2]))
    assert engine.name == "openvino"


@pytest.mark.parametrize(
    ("options", "precision", "message"),
    [
        ({"name": "openvin"}, FP32, "--engine 'openvin' is no engine; did you mean 'openvino'"),
        ({"name": "torch", "int8": True}, FP32, "--precision int8 is computed by OpenVINO on a CPU, not by torch"),
        (
            {"name": "openvino"},
            Precision("fp16", torch.device("cuda"), ""),
            "--engine openvino is computed by OpenVINO on a CPU, not by torch or on cuda",
        ),
    ],
)
def test_an_engine_that_cannot_be(options: dict[str, object], precision: Precision, message: str) -> None:
    model = model_of(Pooling())
    with pytest.raises(SettingsError, match=message):
        choose_engine(model=model, precision=precision, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def calibration() -> Ragged:
    return sequences_of([int(length) for length in np.random.default_rng(3).integers(4, 30, 60)], seed=5)


@pytest.mark.slow
def test_int8_is_near_fp32_and_read_back_from_its_export(calibration: Ragged, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="the extra 'fast' is not installed")
    from bertsmith.engine.exported import save_int8
    from bertsmith.engine.quantizing import quantize

    model, sequences = model_of(Pooling()), sequences_of(LENGTHS)
    quantized = quantize(to_openvino(model), calibration)
    assert quantized.total == 8
    save_int8(tmp_path, quantized, model, {})
    engine = choose_engine("auto", model, FP32, int8=True, folder=tmp_path)
    assert isinstance(engine, InInt8)
    found = engine.outputs(sequences)
    expected = TorchEngine(model, FP32).outputs(sequences)
    assert (found * expected).sum(1).min() > 0.98  # cosines
    assert np.abs(found - expected).max() > 1e-4  # it is not fp32 after all

    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    with pytest.raises(CheckpointError, match="was made of other weights than the model's; export it again"):
        choose_engine("auto", model, FP32, int8=True, folder=tmp_path).outputs(sequences)


@pytest.mark.slow
def test_the_gate_puts_back_what_costs_too_much(calibration: Ragged) -> None:
    pytest.importorskip("nncf", reason="the extra 'fast' is not installed")
    from bertsmith.engine import quantizing

    model = model_of(Pooling())
    graph = to_openvino(model)
    products = quantizing.products_of(graph)
    scored: list[int] = []

    def score(given: object) -> float:
        """Better the more products are in higher precision, as far as this test is concerned."""
        quantized = sum("FakeQuantize" in node.get_type_name() for node in given.get_ops())  # type: ignore[attr-defined]
        scored.append(quantized)
        return -float(quantized)

    every = quantizing.quantize(graph, calibration, score=score, limit=10.0**6)
    assert every.kept == []
    some = quantizing.quantize(graph, calibration, score=score, limit=scored[-1] - 1)
    assert 0 < len(some.kept) < len(products)
    assert some.before is not None
    assert some.after is not None
    assert some.before - some.after <= scored[1] - 1
