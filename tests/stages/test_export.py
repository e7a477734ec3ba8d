"""export: every kind of head in ONNX Runtime, and nothing half-written where it fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.cli.app import run
from bertsmith.engine import TaskModel
from bertsmith.engine.exchange import INPUTS
from bertsmith.engine.torch_engine import TorchEngine
from bertsmith.errors import SettingsError
from bertsmith.stages import export as stage
from bertsmith.stages.export import ExportSettings

from .conftest import contents, random_lines, refused

Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
HEADS = ("classify", "several", "tag", "regress", "choose", "answer", "embed", "rerank")
INT8 = ["--to", "openvino", "--precision", "int8"]


def opened(folder: Path) -> TaskModel:
    return TaskModel.open(folder, engine="torch")


@pytest.mark.parametrize("head", HEADS)
def test_onnx_runtime_gives_the_outputs_of_torch(
    head: str, model_folder: Folder, tmp_path: Path, capfd: Capture
) -> None:
    """Of texts of many lengths, in padded batches and alone, where the file lies beside a copy of the model."""
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "deep" / "out"
    assert run(["export", "--model", str(model_folder(head)), "--to", "onnx", "--out", str(out)]) == 0
    told = capfd.readouterr()
    assert (told.out, told.err.startswith(f"{out}/model.onnx: outputs within ")) == ("", True)
    model = opened(out)
    sequences = model.tokenizer.encode(random_lines(20), random_lines(20, seed=1), max_length=64)
    expected = TorchEngine(model.model, model.precision).outputs(sequences)

    session = runtime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(INPUTS)
    for rows in (np.arange(20), np.array([3]), np.array([7, 2])):
        some = sequences.take(rows)
        bucket = stage_bucket(some)
        (found,) = session.run(None, dict(zip(INPUTS, bucket, strict=True)))
        if found.ndim == 3:
            found = found[bucket[2] > 0]
            places = np.concatenate([np.arange(*sequences.bounds[row : row + 2]) for row in rows])
        else:
            places = rows
        np.testing.assert_allclose(found, expected[places], atol=1e-4)
    assert opened(out).predict(example_of(head)) == opened(model_folder(head)).predict(example_of(head))


def stage_bucket(sequences: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, segments and mask of ragged sequences, padded by a loop."""
    shape = (len(sequences), int(sequences.lengths.max()))
    ids, segments, mask = (np.zeros(shape, np.int64) for _ in range(3))
    for row, (low, high) in enumerate(zip(sequences.bounds[:-1], sequences.bounds[1:], strict=True)):
        ids[row, : high - low] = sequences.ids[low:high]
        segments[row, : high - low] = sequences.segments[low:high]
        mask[row, : high - low] = 1
    return ids, segments, mask


def example_of(head: str) -> list[Any]:
    examples: dict[str, Any] = {
        "choose": {"prompt": "the cat", "endings": ["sat", "ran"]},
        "answer": ("who sat", "the cat sat"),
        "rerank": ("who sat", "the cat sat"),
    }
    return [examples.get(head, "the cat sat")]


def test_without_out_the_file_lies_in_the_models_own_folder(model_folder: Folder, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "x"
    opened(model_folder("classify")).save(folder, record={"steps": 3})
    before = contents(folder)
    assert run(["export", "--model", str(folder), "--to", "onnx"]) == 0
    after = contents(folder)
    assert len(after.pop("model.onnx")) > 10_000
    assert after == before


@pytest.mark.parametrize(
    ("absent", "words", "message"),
    [
        ("onnxruntime", ["--to", "onnx"], "--to onnx needs onnxruntime; pip install 'bertsmith[onnx]'"),
        ("onnx", ["--to", "onnx"], "--to onnx needs onnx; pip install 'bertsmith[onnx]'"),
        ("nncf", [*INT8, "--data", "f"], "--to openvino needs nncf; pip install 'bertsmith[fast]'"),
        ("openvino", [*INT8, "--data", "f"], "--to openvino needs openvino; pip install 'bertsmith[fast]'"),
    ],
)
def test_a_library_that_is_not_installed(
    absent: str,
    words: list[str],
    message: str,
    model_folder: Folder,
    tmp_path: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "find_spec", lambda name: None if name == absent else util)
    assert (
        refused(["export", "--model", str(model_folder("tag")), "--out", str(tmp_path / "x"), *words], capfd) == message
    )
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_differ_leave_nothing(
    model_folder: Folder, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is of the graph that would be written: one of other weights is found out."""
    pytest.importorskip("onnxruntime")
    true_graph = stage.to_onnx

    def other_graph(model: Any) -> bytes:
        other = opened(model_folder("classify")).model
        with torch.no_grad():
            next(other.parameters()).mul_(1.01)
        return true_graph(other)

    monkeypatch.setattr(stage, "to_onnx", other_graph)
    words = ["export", "--model", str(model_folder("classify")), "--to", "onnx", "--out", str(tmp_path / "x")]
    told = refused(words, capfd)
    assert told.startswith(f"{tmp_path}/x: ONNX Runtime's outputs differ by ")
    assert "of the largest; nothing was written; " in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onnx", "precision": "int8"}, "--precision int8 is exported --to openvino; for onnx give fp32"),
        ({"to": "openvino"}, "every verb compiles them for OpenVINO by itself; give --precision int8"),
        ({"to": "openvino", "precision": "int8"}, "needs texts to calibrate on and to score; give --data FILE"),
        ({"to": "onnx", "limit": -1}, "--limit is -1; it must be 0 or more"),
        ({"to": "onnx", "limit": float("nan")}, "--limit is nan; it must be 0 or more"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ExportSettings("m", **options)


def test_another_model_is_not_replaced_unasked(
    model_folder: Folder, starter_folder: Path, tmp_path: Path, capfd: Capture
) -> None:
    """A folder that is not the user's is not written to either, and the model's own needs no leave."""
    folder, words = tmp_path / "m", ["export", "--to", "onnx", "--model"]
    shutil.copytree(model_folder("tag"), folder)
    before = contents(folder)
    assert refused([*words, str(model_folder("classify")), "--out", str(folder)], capfd).startswith(
        f"{folder}: holds a model; give --overwrite"
    )
    assert refused([*words, "starter"], capfd).startswith("starter is not a folder of yours; name one")
    assert contents(folder) == before
    assert run([*words, str(folder), "--out", str(folder)]) == 0
    assert {name: value for name, value in contents(folder).items() if name != "model.onnx"} == before
    assert run([*words, str(model_folder("classify")), "--out", str(folder), "--overwrite"]) == 0
    assert contents(folder)["bertsmith.json"] != before["bertsmith.json"]
