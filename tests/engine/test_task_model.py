"""Folders to models that answer: ours, transformers', and those that are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.engine import TaskModel, TorchEngine
from bertsmith.errors import CheckpointError, DataError, SettingsError
from bertsmith.model import BertConfig, BertModel
from bertsmith.tasks import AnswerQuestions, Choose, Classify, Regress, Tag, Task
from bertsmith.text import Tokenizer
from bertsmith.training import choose_precision

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat", "ran", "who", "?", "."]
CASES: list[tuple[Task, list[Any]]] = [
    (Classify(labels=("bad", "good"), pairs=False), ["the cat sat", "a dog"]),
    (Classify(labels=("no", "yes"), pairs=True), [("the cat", "a dog")]),
    (Classify(labels=("cats", "dogs"), pairs=False, multi_label=True), ["the cat sat"]),
    (Regress(pairs=False), ["the cat sat", "a dog ran"]),
    (Choose(), [{"prompt": "the cat", "endings": ["sat", "ran", "a dog"]}]),
    (Tag(labels=("O", "B-PET", "I-PET")), ["the cat sat."]),
    (AnswerQuestions(max_question=8, stride=4), [("who sat?", "the cat sat. a dog ran.")]),
]
NAMES = ["classify", "pairs", "several", "regress", "choose", "tag", "answer"]


def new_model(task: Task, positions: int = 32) -> TaskModel:
    tokenizer = Tokenizer.from_vocabulary(VOCABULARY)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        initializer_range=0.5,
    )
    model = BertModel(config, task.head, task.num_outputs, torch.Generator().manual_seed(2))
    return TaskModel(model, tokenizer, task, positions, choose_precision("fp32", torch.device("cpu")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier that was saved."""
    new_model(CASES[0][0]).save(tmp_path / "x")
    return tmp_path / "x"


@pytest.mark.parametrize(("task", "inputs"), CASES, ids=NAMES)
def test_a_saved_model_opens_with_the_same_answers(task: Task, inputs: list[Any], tmp_path: Path) -> None:
    model = new_model(task)
    model.max_length = 24
    model.save(tmp_path / "x", record={"steps": 3}, files={"README.md": "card"})
    opened = TaskModel.open(tmp_path / "x")
    assert opened.task == task
    assert opened.max_length == 24
    assert opened.news == []
    assert opened.predict(inputs) == model.predict(inputs)
    assert opened.num_parameters == sum(one.numel() for one in load_file(tmp_path / "x" / "model.safetensors").values())
    assert json.loads((tmp_path / "x" / "bertsmith.json").read_text())["steps"] == 3
    assert (tmp_path / "x" / "README.md").read_text() == "card"


@pytest.mark.parametrize("kind", [{"norm_placement": "pre"}, {"use_relative_positions": True}], ids=["pre", "relative"])
def test_a_model_that_transformers_cannot_compute_is_not_opened_there(kind: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    model = new_model(CASES[0][0])
    config = dataclasses.replace(model.model.config, **kind)
    model.model = BertModel(config, "sequence", 2, torch.Generator().manual_seed(2)).eval()
    model.save(tmp_path)
    opened = TaskModel.open(tmp_path)
    assert (opened.news, opened.model.config) == ([], config)
    assert opened.predict("the cat sat") == model.predict("the cat sat")
    for auto in (transformers.AutoModel, transformers.AutoModelForSequenceClassification, transformers.AutoConfig):
        with pytest.raises(ValueError, match="model type `bertsmith`"):
            auto.from_pretrained(tmp_path)


def test_one_input_or_none() -> None:
    model = new_model(CASES[0][0])
    assert model.predict("the cat sat") == model.predict(["the cat sat"])
    assert model.predict({"text": "the cat sat"}) == model.predict(["the cat sat"])


@pytest.mark.parametrize(("task", "inputs"), CASES, ids=NAMES)
def test_nothing_is_answered_with_nothing(task: Task, inputs: list[Any]) -> None:
    assert new_model(task).predict([]) == []


def test_inputs_may_be_anything_to_iterate_over() -> None:
    model, texts = new_model(CASES[0][0]), ["the cat sat", "a dog"]
    expected = model.predict(texts)
    assert model.predict(text for text in texts) == expected
    assert model.predict(np.array(texts)) == expected
    assert model.predict(tuple(texts)) == expected  # two texts, not a pair
    polars = pytest.importorskip("polars")
    assert model.predict(polars.Series(texts)) == expected
    assert model.predict(polars.DataFrame({"text": texts})) == expected


def test_labelled_rows_may_come_in_any_form(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    model = new_model(CASES[0][0])
    rows = [{"text": "the cat sat", "label": "good"}, {"text": "a dog", "label": "bad"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = model.evaluate(str(tmp_path / "rows.jsonl"))
    for data in (tmp_path / "rows.jsonl", rows, tuple(rows), polars.DataFrame(rows)):
        assert model.evaluate(data) == expected
    renamed = [{"a": row["text"], "b": row["label"], "sentence": "x"} for row in rows]
    assert model.evaluate(renamed, text="a", label="b") == expected
    with pytest.raises(DataError, match=r"^data \(rows in memory\), row 2: no text in column 'text'; give a text"):
        model.evaluate([rows[0], {"text": float("nan"), "label": "bad"}])
    with pytest.raises(DataError, match=r"^data \(rows in memory\), row 1: 'the cat'; give a mapping of column names"):
        model.evaluate(["the cat"])
    with pytest.raises(DataError, match=r"row 1: label 'fine' was not seen in training"):
        model.evaluate([{"text": "a", "label": "fine"}])


def test_pass_tokens_bound_what_is_computed_at_once(folder: Path) -> None:
    model = TaskModel.start(folder, Regress(), seed=0, pass_tokens=7)
    assert isinstance(model.engine, TorchEngine)
    assert model.engine.pass_tokens == 7


def test_answers_do_not_depend_on_their_company() -> None:
    model = new_model(CASES[0][0])
    texts = ["the cat sat on a dog", "a", "", "the dog ran. " * 5]
    together = model.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = model.predict(text)
        assert alone["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "changes", "task"),
    [
        (
            "BertForSequenceClassification",
            {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}},
            Classify(labels=("bad", "good")),
        ),
        ("BertForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}, Regress()),
        ("BertForSequenceClassification", {"num_labels": 1}, Regress()),
        (
            "BertForSequenceClassification",
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            Classify(labels=("LABEL_0", "LABEL_1", "LABEL_2"), multi_label=True),
        ),
        (
            "BertForTokenClassification",
            {"id2label": {0: "O", 1: "B-PET"}, "label2id": {"O": 0, "B-PET": 1}},
            Tag(labels=("O", "B-PET")),
        ),
        ("BertForQuestionAnswering", {}, AnswerQuestions()),
        ("BertForMultipleChoice", {}, Choose()),
    ],
)
def test_the_task_of_a_folder_by_transformers(kind: str, changes: dict[str, Any], task: Task, tmp_path: Path) -> None:
    import transformers

    tokenizer = Tokenizer.from_vocabulary(VOCABULARY)
    shape = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        **changes,
    )
    getattr(transformers, kind)(shape).save_pretrained(tmp_path)
    tokenizer.save(tmp_path, max_length=512)
    model = TaskModel.open(tmp_path)
    assert model.news == []
    assert model.max_length == 512
    assert (model.task.name, model.task.label_names) == (task.name, task.label_names)
    assert getattr(model.task, "multi_label", False) == getattr(task, "multi_label", False)


# Lengths


def test_a_published_classifier_reads_all_that_transformers_reads(tmp_path: Path) -> None:
    import transformers

    tokenizer = Tokenizer.from_vocabulary(VOCABULARY)
    shape = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        peer = transformers.BertForSequenceClassification(shape).eval()
    peer.save_pretrained(tmp_path)
    tokenizer.save(tmp_path, max_length=512)
    text = "the cat sat. " * 70 + "a dog ran " * 40  # 402 tokens; what is behind the 256th matters
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path)(text, truncation=True, return_tensors="pt")
    assert tokens["input_ids"].shape == (1, 402)
    with torch.inference_mode():
        expected = peer(**tokens).logits.softmax(-1)[0].tolist()
    opened = TaskModel.open(tmp_path)
    assert list(opened.predict(text)[0]["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    shorter = TaskModel.open(tmp_path, max_length=256).predict
    with pytest.warns(UserWarning, match="^1 input cut to 256 tokens$"):
        assert list(shorter(text)[0]["probabilities"].values()) != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("named", "length"), [(20, 20), (512, 32), (10**30, 32), (1e30, 32), (None, 32), ("many", 32), (-1, 32)]
)
def test_the_length_of_a_published_model(named: Any, length: int, folder: Path) -> None:
    """That of its tokenizer, as far as the encoder has positions."""
    (folder / "bertsmith.json").unlink()
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": named}))
    assert TaskModel.open(folder).max_length == length
    path.unlink()
    assert TaskModel.open(folder).max_length == 32


def test_the_length_of_a_model_that_answers_can_be_another(folder: Path) -> None:
    assert TaskModel.open(folder, max_length=9).max_length == 9
    with pytest.raises(SettingsError, match=rf"^--max-length is 33, and {folder} has positions for 32 tokens; give 32"):
        TaskModel.open(folder, max_length=33)
    with pytest.raises(SettingsError, match=r"^--max-length is 2; it must be 3 or more"):
        TaskModel.open(folder, max_length=2)


def test_cut_rows_are_warned_of(folder: Path) -> None:
    model = TaskModel.open(folder, max_length=4)
    rows = [{"text": "the cat sat", "label": "good"}, {"text": "a", "label": "bad"}]
    for ask in (lambda: model.evaluate(rows), lambda: model.predict([row["text"] for row in rows])):
        with pytest.warns(UserWarning, match="^1 input cut to 4 tokens$") as told:
            ask()
        assert told[0].filename == __file__  # of the call, not of the package


def test_lengths_by_default_are_what_the_encoder_reads(folder: Path) -> None:
    assert TaskModel.start(folder, Regress(), seed=0).max_length == 32  # of the 256 of the task
    assert TaskModel.start(folder, Regress(), seed=0, max_length=9).max_length == 9
    with pytest.raises(SettingsError, match=rf"^--max-length is 33, and {folder} has positions for 32 tokens; give 32"):
        TaskModel.start(folder, Regress(), seed=0, max_length=33)


def test_a_length_that_cannot_be_is_told_before_the_model_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertsmith.tasks.task.BertModel", None)
    with pytest.raises(SettingsError, match="--max-length is 33"):
        TaskModel.start(folder, Regress(), seed=0, max_length=33)


def test_the_length_of_a_long_encoder_is_that_of_the_task(tmp_path: Path) -> None:
    new_model(Choose(), positions=512).save(tmp_path)
    assert TaskModel.start(tmp_path, Regress(), seed=0).max_length == 256
    assert TaskModel.start(tmp_path, AnswerQuestions(), seed=0).max_length == 384


# New heads


def test_a_new_head_is_told_and_seeded(folder: Path) -> None:
    heads = [
        TaskModel.start(folder, Classify(labels=("a", "b", "c")), seed=seed, precision="fp32").model.head.state_dict()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0]["classifier.weight"], heads[1]["classifier.weight"])
    assert not torch.equal(heads[0]["classifier.weight"], heads[2]["classifier.weight"])
    three = TaskModel.start(folder, Classify(labels=("a", "b", "c")), seed=1)
    shapes = "classifier.weight, classifier.bias"
    assert three.news == [f"new weights, of another shape than in the checkpoint: {shapes}"]
    spans = TaskModel.start(folder, AnswerQuestions(), seed=1)
    assert spans.news[0] == "new weights: qa_outputs.weight, qa_outputs.bias"
    assert spans.news[1].startswith("not used from the checkpoint: ")
    assert "classifier.weight" in spans.news[1]


def test_the_encoder_of_a_start_is_that_of_the_folder(folder: Path) -> None:
    started = TaskModel.start(folder, AnswerQuestions(), seed=1).model.encoder.state_dict()
    whole = TaskModel.open(folder).model.encoder.state_dict()
    torch.testing.assert_close(started, whole, rtol=0, atol=0)


# What is refused


def test_an_encoder_without_a_task_is_told_how_to_get_one(tmp_path: Path) -> None:
    import transformers

    shape = transformers.BertConfig(vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1,
                                    num_attention_heads=2, intermediate_size=32)  # fmt: skip
    transformers.BertModel(shape).save_pretrained(tmp_path)
    Tokenizer.from_vocabulary(VOCABULARY).save(tmp_path, max_length=512)
    with pytest.raises(CheckpointError, match=rf"{tmp_path}: an encoder without a task \(BertModel\); train one on it"):
        TaskModel.open(tmp_path)


def test_tensors_that_are_missing_or_misshapen_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = load_file(path)
    (folder / "bertsmith.json").unlink()  # as another program leaves it: no checksums
    layer = "bert.encoder.layer.1.output.dense.weight"
    save_file({name: tensor for name, tensor in whole.items() if name != layer}, path)
    for opened in (TaskModel.open, lambda place: TaskModel.start(place, Choose(), seed=0)):
        with pytest.raises(CheckpointError, match=f"tensor '{layer}' is missing"):
            opened(folder)
    save_file({**whole, layer: whole[layer][:, :-1].contiguous()}, path)
    with pytest.raises(CheckpointError, match=rf"tensor '{layer}' is \[16, 31\], the model expects \[16, 32\]"):
        TaskModel.start(folder, Choose(), seed=0)
    save_file({name: tensor for name, tensor in whole.items() if name != "classifier.bias"}, path)
    with pytest.raises(CheckpointError, match=r"tensor 'classifier\.bias' is missing"):
        TaskModel.open(folder)
    assert TaskModel.start(folder, Choose(), seed=0).news  # a new head needs none


def test_layers_that_the_configuration_does_not_count_are_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 1}))
    message = (
        rf"^{folder}: the weights have 'bert\.encoder\.layer\.1\..*' \(and 15 more\), the model of config\.json has "
        "not; they are not of one model"
    )
    for opened in (TaskModel.open, lambda place: TaskModel.start(place, Choose(), seed=0)):
        with pytest.raises(CheckpointError, match=message):
            opened(folder)


@pytest.mark.parametrize(
    "record",
    [{"task": "sing", "settings": {}}, {"task": "classify", "settings": {"voices": 4}}, {"task": "classify"}],
)
def test_a_task_of_another_version_is_refused(record: dict[str, Any], folder: Path) -> None:
    (folder / "bertsmith.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"bertsmith\.json: not a task this version knows"):
        TaskModel.open(folder)


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    Tokenizer.from_vocabulary([*VOCABULARY, "zebra"]).save(tmp_path / "other", max_length=32)
    with pytest.raises(CheckpointError, match="the tokenizer has 15 tokens, the word embedding 14 rows"):
        TaskModel.open(tmp_path / "other")


@pytest.mark.parametrize(("rows", "told"), [(14 + 127, False), (14 + 128, True)])
def test_an_embedding_with_many_more_rows_than_tokens_is_told(rows: int, told: bool, tmp_path: Path) -> None:
    model = new_model(CASES[0][0])
    config = dataclasses.replace(model.model.config, vocab_size=rows)
    model.model = BertModel(config, "sequence", 2, torch.Generator().manual_seed(2))
    model.save(tmp_path)
    line = f"the tokenizer has 14 tokens, the word embedding {rows} rows: make sure that they are of one model"
    assert TaskModel.open(tmp_path).news == [line] * told
    assert TaskModel.start(tmp_path, CASES[0][0], seed=0).news == [line] * told


def test_a_new_pooler_leaves_the_rest_of_the_checkpoint(folder: Path) -> None:
    task = Classify(labels=("bad", "good"), pairs=False)
    plain = TaskModel.start(folder, task, seed=5, precision="fp32")
    fresh = TaskModel.start(folder, task, seed=5, precision="fp32", new_pooler=True)
    assert any("bert.pooler.dense.weight" in line for line in fresh.news)
    weights = plain.model.state_dict()
    differing = {name for name, one in fresh.model.state_dict().items() if not torch.equal(one, weights[name])}
    assert differing == {"head.pooler.weight"}  # biases start at 0, and these were never trained
