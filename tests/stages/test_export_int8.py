"""export in 8 bits: its score, its gate, and nothing half-written where it fails."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.cli.app import run
from bertsmith.engine import exported
from bertsmith.engine.choosing import choose_engine
from bertsmith.engine.torch_engine import TorchEngine
from bertsmith.errors import OutputError
from bertsmith.stages import export as stage

from ..tiny_models import WORDS
from .conftest import contents, random_lines, refused
from .test_export import INT8, opened

pytest.importorskip("nncf", reason="the extra 'fast' is not installed")
Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def moods(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with the labels that the classifier gives them, but for every eighth."""
    texts = random_lines(40)
    answers = opened(model_folder("classify")).predict(texts)
    labels = ["good" if row % 8 == 0 else answer["label"] for row, answer in enumerate(answers)]
    path = tmp_path_factory.mktemp("moods") / "dev.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{one}\t{label}\n" for one, label in zip(texts, labels, strict=True)))
    return path


def test_int8_is_scored_and_used_again(model_folder: Folder, moods: Path, tmp_path: Path, capfd: Capture) -> None:
    out = tmp_path / "x"
    words = ["export", "--model", str(model_folder("classify")), *INT8, "--data", str(moods), "--out", str(out)]
    assert run([*words, "--limit", "100"]) == 0
    told = capfd.readouterr()
    record = json.loads((out / "openvino-int8.json").read_text())
    assert record["before"] == pytest.approx(opened(out).evaluate(moods)["accuracy"])
    assert (record["metric"], record["data"], record["kept_in_higher_precision"]) == ("accuracy", "dev.tsv", [])
    lines = [
        f"accuracy: {record['before']:.3f} in fp32, {record['after']:.3f} in int8",
        "no product needed higher precision",
    ]
    assert told.err.splitlines()[:2] == lines

    model = opened(out)
    engine = choose_engine("auto", model.model, model.precision, int8=True, folder=out)
    sequences = model.tokenizer.encode(random_lines(40), max_length=64)
    found, expected = engine.outputs(sequences), TorchEngine(model.model, model.precision).outputs(sequences)
    assert 1e-4 < np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    rows = moods.read_text().splitlines()[1:]
    right = [model.task.label_names.index(row.split("\t")[1]) for row in rows]  # type: ignore[union-attr]
    assert record["after"] == pytest.approx(np.mean(found.argmax(1) == right))


@pytest.mark.slow
def test_the_gate_keeps_what_costs_too_much(
    model_folder: Folder, moods: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing may be lost and every product in int8 costs something, all stay as they are."""
    scores = stage._scores

    def costly(model: Any, engine: Any, *rest: Any) -> dict[str, float]:
        compiled = getattr(engine, "_compiled", None)
        ops = [] if compiled is None else compiled.get_runtime_model().get_ops()
        in_int8 = sum(one.get_rt_info()["runtimePrecision"].astype(str) in ("i8", "u8") for one in ops)
        return {**scores(model, engine, *rest), "accuracy": 1 - in_int8 / 100}

    monkeypatch.setattr(stage, "_scores", costly)
    out = tmp_path / "x"
    words = ["export", "--model", str(model_folder("classify")), *INT8, "--data", str(moods), "--out", str(out)]
    assert run([*words, "--limit", "0"]) == 0
    record = json.loads((out / "openvino-int8.json").read_text())
    assert record["before"] == record["after"]
    assert len(record["kept_in_higher_precision"]) == record["products"]
    assert "kept in higher precision: " in capfd.readouterr().err


def test_a_disk_that_cannot_hold_it_leaves_the_earlier_export(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    from bertsmith.engine.exchange import to_openvino
    from bertsmith.engine.quantizing import Quantized

    model = opened(model_folder("embed"))
    model.save(tmp_path / "x")
    graph = to_openvino(model.model)
    exported.save_int8(tmp_path / "x", Quantized(graph, None, None, [], 8), model.model, {})
    before = contents(tmp_path / "x")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(
            OutputError, match=rf"^{tmp_path}/x: cannot be written .*; what it held before is unchanged"
        ):
            exported.save_int8(tmp_path / "x", Quantized(graph, None, None, [], 8), model.model, {"more": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path / "x") == before
    assert isinstance(exported.load_int8(tmp_path / "x", model.model), openvino.Model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{place}/nowhere.tsv"], "{place}/nowhere.tsv: no such file"),
        (
            ["--data", "{moods}", "--metric", "acuracy"],
            "--metric 'acuracy' is no score of the task 'classify'; did you mean",
        ),
        (["--data", "{moods}", "--label", "mark"], "dev.tsv: --label names 'mark'"),
    ],
)
def test_what_cannot_be_scored_leaves_nothing(
    words: list[str], message: str, model_folder: Folder, moods: Path, tmp_path: Path, capfd: Capture
) -> None:
    known = {"place": tmp_path, "moods": moods}
    start = ["export", "--model", str(model_folder("classify")), *INT8, "--out", str(tmp_path / "x")]
    assert message.format(**known) in refused([*start, *(word.format(**known) for word in words)], capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_starter_in_int8_keeps_its_neighbours(starter_folder: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    pairs = [(chance.choice(WORDS), chance.choice(WORDS)) for _ in range(120)]
    rows = [f"{one} {other}\tthe {one}\t{len(one)}.5" for one, other in pairs]
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows) + "\n")
    words = ["export", "--model", "starter", *INT8, "--data", str(tmp_path / "pairs.tsv"), "--out", str(tmp_path / "x")]
    assert run(words) == 0
    record = json.loads((tmp_path / "x" / "openvino-int8.json").read_text())
    assert record["before"] - record["after"] <= 0.005
    model = opened(tmp_path / "x")
    engine = choose_engine("auto", model.model, model.precision, int8=True, folder=tmp_path / "x")
    sequences = model.tokenizer.encode([row.split("\t")[0] for row in rows], max_length=64)
    found, expected = engine.outputs(sequences), TorchEngine(model.model, model.precision).outputs(sequences)
    assert (found * expected).sum(1).min() > 0.97  # cosines
