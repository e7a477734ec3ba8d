"""predict, evaluate and embed in int8: the graph that export left is what computes, as long as it is of the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from bertsmith.cli.app import run
from bertsmith.engine import TaskModel, quantizing
from bertsmith.engine.embedder import Embedder
from bertsmith.engine.exchange import INPUTS
from bertsmith.engine.quantizing import Quantized
from bertsmith.errors import CheckpointError
from bertsmith.stages import export as stage
from bertsmith.stages.embed import EmbedSettings, embed
from bertsmith.stages.embedding_options import EmbedderOptions
from bertsmith.stages.evaluate import EvaluateSettings, evaluate
from bertsmith.stages.predict import PredictSettings, predict

openvino = pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
pytest.importorskip("nncf", reason="the extra 'fast' is not installed")
Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
TEXTS = ["the cat sat on the mat", "a sad film", "it was a good day in the park", "bad", "who is it", "a dog ran",
         "the film was fine", "on the mat"]  # fmt: skip
INT8 = ["--to", "openvino", "--precision", "int8", "--limit", "100"]
ROWS = {
    "classify": ["text\tlabel", *(f"{text}\t{'good' if len(text) % 2 else 'bad'}" for text in TEXTS)],
    "embed": ["sentence1\tsentence2\tscore", *(f"{text}\tthe cat\t{row}" for row, text in enumerate(TEXTS))],
    "answer": ['{"question": "who sat?", "context": "the cat sat", "answers": {"text": ["cat"], "answer_start": [4]}}'],
}


def data_of(task: str, place: Path) -> Path:
    path = place / f"{task}.{'jsonl' if task == 'answer' else 'tsv'}"
    path.write_text("".join(f"{row}\n" for row in ROWS[task]))
    return path


@pytest.fixture(scope="module")
def in_int8(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``in_int8("embed")`` is a folder with a model and its export; not to be written into."""
    place = tmp_path_factory.mktemp("int8")

    def find(task: str) -> Path:
        folder = place / task
        if not folder.exists():
            words = ["--model", str(model_folder(task)), "--data", str(data_of(task, place)), "--out", str(folder)]
            assert run(["export", *words, *INT8]) == 0
        return folder

    return find


@pytest.fixture
def _only_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph is made: what computes can only be read."""
    monkeypatch.setattr(quantizing, "quantize", lambda *given, **options: 1 / 0)


def computed(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """What OpenVINO itself makes of the file in a folder, a text at a time."""
    model = TaskModel.open(folder, engine="torch")
    graph = openvino.Core().compile_model(
        folder / "openvino-int8.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )  # fmt: skip
    rows = []
    for text in texts:
        ids = model.tokenizer.encode([text], max_length=64).ids.astype(np.int64)[None]
        rows.append(graph(dict(zip(INPUTS, (ids, np.zeros_like(ids), np.ones_like(ids)), strict=True)))[0][0])
    return np.stack(rows)


@pytest.mark.usefixtures("_only_exports")
def test_predict_answers_with_the_exported_graph(in_int8: Folder, capsys: Capture) -> None:
    folder = in_int8("classify")
    found = {}
    for precision in ("int8", "fp32"):
        capsys.readouterr()
        predict(PredictSettings(str(folder), text=tuple(TEXTS), precision=precision))  # type: ignore[arg-type]
        answers = map(json.loads, capsys.readouterr().out.splitlines())
        found[precision] = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(found["int8"], softmax(computed(folder, TEXTS), axis=1), atol=1e-4)
    assert np.abs(found["int8"] - found["fp32"]).max() > 1e-3


@pytest.mark.usefixtures("_only_exports")
def test_evaluate_scores_what_the_export_told(in_int8: Folder, tmp_path: Path) -> None:
    folder, data = in_int8("classify"), data_of("classify", tmp_path)
    record = json.loads((folder / "openvino-int8.json").read_text())
    scores = {name: evaluate(EvaluateSettings(str(folder), str(data), precision=name)) for name in ("fp32", "int8")}  # type: ignore[arg-type]
    assert scores["fp32"]["accuracy"] == pytest.approx(record["before"])
    assert scores["int8"]["accuracy"] == pytest.approx(record["after"])
    assert abs(scores["int8"]["loss"] - scores["fp32"]["loss"]) > 1e-4


def vectors_of(folder: Path, out: Path, **how: Any) -> NDArray[np.float32]:
    told = embed(
        EmbedSettings(str(folder), text=tuple(TEXTS), out=str(out), how=EmbedderOptions(precision="int8", **how))
    )  # fmt: skip
    assert (told["engine"], told["precision"]) == ("openvino", "int8")
    return np.load(out)


@pytest.mark.usefixtures("_only_exports")
def test_embed_gives_the_vectors_of_the_exported_graph(in_int8: Folder, tmp_path: Path) -> None:
    folder = in_int8("embed")
    found = vectors_of(folder, tmp_path / "v.npy")
    np.testing.assert_allclose(found, computed(folder, TEXTS), atol=1e-4)
    plain = Embedder.open(folder, precision="fp32", engine="torch").embed(TEXTS)
    assert np.abs(found - plain).max() > 1e-4
    assert (found * plain).sum(1).min() > 0.95  # cosines


@pytest.mark.parametrize("how", [{"pooling": "cls"}, {"dimensions": 8}], ids=["pooling", "dimensions"])
def test_an_export_of_other_vectors_is_not_used(
    how: dict[str, Any], in_int8: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another pooling, or of more numbers: then a graph is made of the texts, here one that stays in fp32."""
    monkeypatch.setattr(quantizing, "quantize", lambda graph, some: Quantized(graph, None, None, [], 8))
    found = vectors_of(in_int8("embed"), tmp_path / "v.npy", **how)
    plain = Embedder.open(in_int8("embed"), precision="fp32", engine="torch", **how).embed(TEXTS)
    np.testing.assert_allclose(found, plain, atol=1e-4)


def changed(folder: Path) -> None:
    """Other weights, and the export as it was."""
    model = TaskModel.open(folder, engine="torch")
    with torch.no_grad():
        next(model.model.parameters()).mul_(1.01)
    model.save(folder)


def cut(folder: Path) -> None:
    path = folder / "openvino-int8.xml"
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (changed, "{folder}/openvino-int8.xml: was made of other weights than the model's; export it again"),
        (cut, "{folder}/openvino-int8.xml: is damaged ("),
        (lambda folder: (folder / "openvino-int8.json").unlink(), "{folder}/openvino-int8.json: cannot be read ("),
    ],
    ids=["weights", "graph", "record"],
)
def test_an_export_that_is_not_of_the_model_is_refused(
    damage: Callable[[Path], None], message: str, in_int8: Folder, tmp_path: Path, capfd: Capture
) -> None:
    folders = {task: Path(shutil.copytree(in_int8(task), tmp_path / task)) for task in ("classify", "embed")}
    for folder in folders.values():
        damage(folder)
    texts, data = ["--text", "the cat"], ["--data", str(data_of("classify", tmp_path))]
    for verb, task, words in (
        ("predict", "classify", texts),
        ("evaluate", "classify", data),
        ("embed", "embed", texts),
    ):
        capfd.readouterr()
        assert run([verb, "--model", str(folders[task]), *words, "--precision", "int8"]) == 2
        captured = capfd.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"bertsmith: error: {message.format(folder=folders[task])}")
        assert captured.err.count("\n") == 1
        assert run([verb, "--model", str(folders[task]), *words, "--precision", "fp32"]) == 0


def test_without_an_export_a_head_is_not_trusted(model_folder: Folder, capfd: Capture) -> None:
    """Nobody has scored it."""
    folder = model_folder("classify")
    assert run(["predict", "--model", str(folder), "--text", "a", "--precision", "int8"]) == 2
    assert f"{folder}: has no export in int8; make one, which is scored" in capfd.readouterr().err


def test_int8_is_not_for_torch(in_int8: Folder, capfd: Capture) -> None:
    words = ["predict", "--model", str(in_int8("classify")), "--text", "a", "--precision", "int8", "--engine", "torch"]
    assert run(words) == 2
    assert "--precision int8 is computed by OpenVINO on a CPU, not by torch" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("task", "metric", "limit"),
    [("classify", None, 0.02), ("classify", "loss", 0.02), ("answer", None, 2.0)],
)
def test_the_limit_is_in_hundredths_of_the_score(
    task: str, metric: str | None, limit: float, model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1 for most, of 100 for scores in percent; and the record has the scores as they are, where less is better."""
    limits = []

    def measured(graph: Any, sequences: Any, *, score: Callable[[Any], float], limit: float) -> Quantized:
        limits.append(limit)
        return Quantized(graph, score(graph), score(graph), [], 8)

    monkeypatch.setattr(stage, "quantize", measured)
    monkeypatch.setattr(stage, "_seconds", lambda *given: 1.0)
    data = data_of(task, tmp_path)
    settings = {"to": "openvino", "precision": "int8", "data": str(data), "out": str(tmp_path / "x"), "metric": metric}
    stage.export(stage.ExportSettings(str(model_folder(task)), limit=2, **settings))  # type: ignore[arg-type]
    assert limits == [pytest.approx(limit)]
    record = json.loads((tmp_path / "x" / "openvino-int8.json").read_text())
    scores = TaskModel.open(model_folder(task)).evaluate(data)
    assert record["before"] == pytest.approx(scores[record["metric"]], abs=1e-4)
    assert record["after"] == pytest.approx(record["before"])


def test_a_failed_save_of_the_model_leaves_no_graph(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is written last."""
    monkeypatch.setattr(stage, "_seconds", lambda *given: 1.0)
    monkeypatch.setattr(stage, "quantize", lambda graph, *given, **options: Quantized(graph, 0.0, 0.0, [], 8))

    def failing(model: TaskModel, folder: Path, **options: Any) -> None:
        raise CheckpointError("no")

    monkeypatch.setattr(TaskModel, "save", failing)
    settings = stage.ExportSettings(
        str(model_folder("classify")), "openvino", str(tmp_path / "x"), "int8", str(data_of("classify", tmp_path))
    )
    with pytest.raises(CheckpointError, match="no"):
        stage.export(settings)
    assert not (tmp_path / "x").exists()
