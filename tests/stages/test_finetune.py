"""finetune, end to end on a tiny encoder: what it leaves, against transformers and against itself.

The encoder is written by transformers. Data is a few made rows for each task, and the first rows of real files.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import bertsmith
from bertsmith.cli.app import run
from bertsmith.engine import TaskModel
from bertsmith.errors import SettingsError
from bertsmith.report.words import format_score, name_score
from bertsmith.settings import from_flat
from bertsmith.stages.finetune import finetune
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.prepared import Prepared, prepare
from bertsmith.text import Tokenizer

from ..tiny_models import TINY_SHAPE

CHECKPOINT = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
              "special_tokens_map.json", "bertsmith.json", "README.md")  # fmt: skip
OTHERS = ("metrics.json", "log.jsonl", "report.html", "tensorboard")
TASKS = ("classify", "regress", "choose", "tag", "answer")
SHORT = {"steps": 6, "batch_size": 4, "lr": 1e-3, "log_every": 2}

NOUNS = ("cat", "dog", "film")
PLACES = ("park", "mat", "day")
MOODS = {"good": "up", "fine": "up", "bad": "down", "sad": "down"}


@pytest.fixture(scope="session")
def encoder(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder without a head, for 128 tokens, as transformers writes it."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    tokenizer = Tokenizer.from_folder(model_folder("classify"))
    shape = BertConfig(
        vocab_size=tokenizer.vocab_size, max_position_embeddings=128, initializer_range=0.2, **TINY_SHAPE
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(shape).save_pretrained(folder)
    tokenizer.save(folder, max_length=128)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """A file to train on and one to evaluate on, for each task."""
    place = tmp_path_factory.mktemp("made")
    return {
        task: (write_rows(task, place / "train", range(20)), write_rows(task, place / "dev", range(20, 30)))
        for task in (*TASKS, "several")
    }


def write_rows(task: str, place: Path, seeds: range) -> Path:
    """A file of one made row a seed, in a usual format of the task."""
    place.mkdir(exist_ok=True)
    drawn = [random.Random(seed) for seed in seeds]
    rows = [(one.choice(NOUNS), one.choice(list(MOODS)), one.choice(PLACES)) for one in drawn]
    if task == "classify":
        lines = [f"the {noun} was {mood} in the {where}\t{MOODS[mood]}" for noun, mood, where in rows]
        return write(place / "classify.tsv", ["sentence\tlabel", *lines])
    if task == "several":
        made = [
            {"text": f"the {noun} was {mood} in the {where}", "labels": [noun, where]} for noun, mood, where in rows
        ]
        return write(place / "several.jsonl", map(json.dumps, made))
    if task == "regress":
        lines = [f"the {noun} sat\tthe {mood} {noun} ran\t{list(MOODS).index(mood) + 0.25}" for noun, mood, _ in rows]
        return write(place / "regress.tsv", ["sentence1\tsentence2\tscore", *lines])
    if task == "choose":
        made = [
            {"prompt": f"the {noun} was in the", "endings": ["it", where, mood], "label": seed % 3}
            for seed, (noun, mood, where) in zip(seeds, rows, strict=True)
        ]
        return write(place / "choose.jsonl", map(json.dumps, made))
    if task == "tag":
        lines = [f"the O\n{noun} B-PET\n{noun} I-PET\nsat O\nin O\n{where} B-LOC\n" for noun, _, where in rows]
        return write(place / "tag.conll", lines)
    made = []
    for noun, mood, where in rows:
        context = f"the {noun} was {mood} and it sat in the {where}"
        answers = [{"text": where, "answer_start": context.index(where)}]
        made.append({"question": f"where was the {noun}?", "context": context, "answers": answers})
    return write(place / "answer.jsonl", map(json.dumps, made))


def write(path: Path, lines: Any) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tune(train: Any, out: Path, encoder: Path, **options: Any) -> TaskModel:
    """A run without a word."""
    values = {"model": str(encoder), **SHORT, **options, "train": str(train), "out": str(out)}
    values = {name: value for name, value in values.items() if value is not None}
    return finetune(from_flat(FinetuneSettings, values), console=Console(quiet=True))


@pytest.fixture(scope="session")
def trained(
    made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, TaskModel]]:
    """``trained("tag")`` is the folder of a run on the made rows, and the model that it returned; "several" is a
    classifier of many labels."""
    place = tmp_path_factory.mktemp("runs")
    runs: dict[str, tuple[Path, TaskModel]] = {}

    def find(task: str) -> tuple[Path, TaskModel]:
        if task not in runs:
            train, dev = made[task]
            options = {"task": "classify", "multi_label": True} if task == "several" else {"task": task}
            runs[task] = (place / task, tune(train, place / task, encoder, eval=str(dev), **options))
        return runs[task]

    return find


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steps_of(folder: Path) -> list[int]:
    return [line["step"] for line in read_log(folder) if "eval" not in line]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def checkpoint_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CHECKPOINT}


# What a run leaves


@pytest.mark.parametrize("task", TASKS)
def test_a_run_leaves_its_files_and_nothing_else(task: str, trained: Callable[[str], tuple[Path, TaskModel]]) -> None:
    folder, model = trained(task)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*CHECKPOINT, *OTHERS])

    metrics = read_json(folder / "metrics.json")
    assert metrics["train_seconds"] > 0
    assert metrics["examples"] == 6 * 4
    assert metrics["examples_per_second"] == pytest.approx(24 / metrics["train_seconds"], rel=0.05)
    assert metrics["tokens_per_second"] > metrics["examples_per_second"]
    assert model.task.metric in metrics["eval"]
    assert all(isinstance(score, float) for score in metrics["eval"].values())

    log = read_log(folder)
    assert [line["step"] for line in log if "eval" not in line] == [2, 4, 6]
    assert all({"step", "loss", "lr", "tokens_per_second"} <= set(line) for line in log)
    assert log[-1]["eval"] == metrics["eval"]
    (events,) = (folder / "tensorboard").iterdir()
    assert events.stat().st_size > 0

    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert f"- {task}\n" in card


@pytest.mark.parametrize(
    ("task", "figures", "table"),
    [
        ("classify", {"Confusion matrix", "MCC of each batch", "Reliability diagram"}, "class precision recall F1"),
        ("several", {"Reliability diagram"}, "label precision recall F1"),
        ("regress", {"Predicted scores against gold scores"}, ""),
        ("choose", {"Reliability diagram"}, ""),
        ("tag", set(), "type precision recall F1"),
        ("answer", set(), "question word exact match F1"),
    ],
)
def test_the_report_tells_all_of_the_run(
    task: str,
    figures: set[str],
    table: str,
    trained: Callable[[str], tuple[Path, TaskModel]],
    made: dict[str, tuple[Path, Path]],
    encoder: Path,
) -> None:
    folder, model = trained(task)
    html = (folder / "report.html").read_text(encoding="utf-8")
    page = " ".join(unescape(re.sub("<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)).split())
    name = "classify" if task == "several" else task
    metrics = read_json(folder / "metrics.json")

    assert f"<h1>{name}: {task}</h1>" in html
    assert f"task: {name} · started from {encoder}" in page
    (lead,) = re.findall(r'<div class="card lead"><dt>(.*?)</dt><dd>(.*?)</dd>', html)
    assert lead == (name_score(model.task.metric), format_score(metrics["eval"][model.task.metric]))
    assert len(re.findall('<div class="card', html)) == len(metrics["eval"])
    train, dev = made[task]
    assert f"bertsmith finetune --train {train} --out {folder}" in page
    assert f"{model.max_length} tokens" in page  # the limit, which is far from these lengths
    for source, rows in ((train, 20), (dev, 10)):
        assert re.search(rf"{rows} [\d,]+ \d+ \d+ none {source}", page)
    found = [finding.message for finding in prepare_again(task, train, dev, encoder).findings]
    assert found if task in ("classify", "several") else True
    for message in found or ["Nothing to mention."]:
        assert message in page
    data = {"Histogram of sequence lengths"}
    assert set(re.findall(r'aria-label="([A-Z][^"]*)"', html)) - {"Sections"} == data | figures | {
        "Loss by step", "Scores by step", "Learning rate by step",
    }  # fmt: skip
    assert table in page
    examples, encoded = model.read(bertsmith.tables.read(dev), bertsmith.tasks.Columns())
    mistakes = model.task.insight(model.outputs(encoded), encoded, examples).mistakes
    shown = [unescape(one) for one in re.findall(r'<p class="text" dir="auto">(.*?)</p>', html)]
    assert shown == [one.text for one in mistakes]
    assert shown
    for fact in ("batch size 4", "steps 6 (6 steps", "examples per second", "tokens per second", "torch"):
        assert fact in page, fact


def prepare_again(task: str, train: Path, dev: Path, encoder: Path) -> Prepared:
    values = {"train": str(train), "eval": str(dev), "out": "x", "model": str(encoder), "task": task}
    values |= {"task": "classify", "multi_label": True} if task == "several" else {}
    return prepare(from_flat(FinetuneSettings, values))


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_are_as_open_as_the_umask_lets_them(mask: int, encoder: Path, tmp_path: Path) -> None:
    model = TaskModel.open(bertsmith_folder(encoder, tmp_path))
    before = os.umask(mask)
    try:
        model.save(tmp_path / "out")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)
    assert "model.safetensors" in modes


def bertsmith_folder(encoder: Path, place: Path) -> Path:
    """An untrained model of a task on the encoder."""
    from bertsmith.tasks import Classify

    model = TaskModel.start(str(encoder), Classify(labels=("down", "up")), seed=0)
    model.save(place / "fresh")
    return place / "fresh"


@pytest.mark.parametrize("task", TASKS)
def test_load_answers_and_scores_as_the_run_did(
    task: str, trained: Callable[[str], tuple[Path, TaskModel]], made: dict[str, tuple[Path, Path]]
) -> None:
    folder, model = trained(task)
    inputs: Any = {
        "classify": ["the cat was good", "the film was sad in the park"],
        "regress": [("a cat", "a dog"), ("the film", "the film")],
        "choose": [{"prompt": "the cat was", "endings": ["good", "bad", "in"]}],
        "tag": ["the cat sat in the park"],
        "answer": [("where was the dog?", "the dog was fine and it sat in the park")],
    }[task]
    loaded = bertsmith.load(folder, precision="auto")
    assert loaded.task == model.task
    assert loaded.predict(inputs) == model.predict(inputs)
    scores = read_json(folder / "metrics.json")["eval"]
    assert loaded.evaluate(made[task][1]) == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("classify", "AutoModelForSequenceClassification"),
        ("regress", "AutoModelForSequenceClassification"),
        ("choose", "AutoModelForMultipleChoice"),
        ("tag", "AutoModelForTokenClassification"),
        ("answer", "AutoModelForQuestionAnswering"),
    ],
)
def test_transformers_opens_it_with_the_same_logits(
    task: str, kind: str, trained: Callable[[str], tuple[Path, TaskModel]], made: dict[str, tuple[Path, Path]]
) -> None:
    import transformers

    folder, _ = trained(task)
    ours = bertsmith.load(folder)
    examples = ours.task.read(bertsmith.tables.read(made[task][1]), bertsmith.tasks.Columns())
    sequences = ours.task.encode(examples, ours.tokenizer, ours.max_length).sequences.take(np.arange(3))
    expected = ours.engine.outputs(sequences)

    peer, report = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    bounds = sequences.bounds
    for row, (low, high) in enumerate(pairwise(bounds)):
        ids = torch.from_numpy(sequences.ids[low:high].astype(np.int64))[None]
        segments = torch.from_numpy(sequences.segments[low:high].astype(np.int64))[None]
        if task == "choose":
            ids, segments = ids[None], segments[None]
        with torch.inference_mode():
            result = peer.eval()(input_ids=ids, token_type_ids=segments)
        if task == "answer":
            found = torch.stack([result.start_logits[0], result.end_logits[0]], -1).numpy()
        else:
            found = result.logits[0].numpy()
        whole = expected[low:high] if task in ("tag", "answer") else expected[row]
        np.testing.assert_allclose(found, whole, atol=1e-5)

    tokens = transformers.AutoTokenizer.from_pretrained(folder)("The cat sat, zzz!")["input_ids"]
    mine = ours.tokenizer.encode(["The cat sat, zzz!"], max_length=64)
    assert tokens == mine.ids.tolist()
    if ours.task.label_names:
        assert [peer.config.id2label[number] for number in range(peer.config.num_labels)] == list(ours.task.label_names)


def test_rows_in_memory_are_told_by_their_name(encoder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"a {mood} day", "label": label} for mood, label in MOODS.items()] * 3
    model = bertsmith.finetune(
        rows, tmp_path / "x", model=str(encoder), validation=0, class_weights="up=2", label_smoothing=0.1, **SHORT
    )
    for name in ("README.md", "bertsmith.json", "metrics.json", "report.html"):
        told = (tmp_path / "x" / name).read_text(encoding="utf-8")
        assert "Table(" not in told, name
        assert "train (rows in memory)" in told, name
    assert model.task.settings()["class_weights"] == {"up": 2.0}
    assert bertsmith.load(tmp_path / "x").task == model.task


def test_the_card_names_the_file_that_was_scored(trained: Callable[[str], tuple[Path, TaskModel]]) -> None:
    folder, _ = trained("regress")
    assert "\nOn regress.tsv (10 examples):\n" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_folder_one_stands_in_and_the_home_folder(
    made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(encoder.parent))
    tune(made["classify"][0], Path("."), Path("~") / encoder.name, steps=1)
    card = Path("README.md").read_text(encoding="utf-8")
    assert f"bertsmith.load({json.dumps(tmp_path.name)})" in card
    assert f"--out {tmp_path.name}" in card
    assert "On the held-out part of classify.tsv (2 examples):" in card
    assert "fine-tuned from" not in card


# Folders that transformers wrote


def test_a_classifier_of_transformers_answers_and_is_tuned_further(
    encoder: Path, made: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    names = {0: "down", 1: "up"}
    folder = tmp_path / "theirs"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        peer = AutoModelForSequenceClassification.from_pretrained(
            encoder, id2label=names, label2id={name: number for number, name in names.items()}
        ).eval()
    peer.save_pretrained(folder)
    Tokenizer.from_folder(encoder).save(folder, max_length=128)

    model = bertsmith.load(folder)
    (answer,) = model.predict("the cat was good")
    ids = torch.tensor([model.tokenizer.encode(["the cat was good"], max_length=64).ids.tolist()])
    with torch.inference_mode():
        expected = peer(ids).logits.softmax(-1)[0].tolist()
    assert list(answer["probabilities"]) == ["down", "up"]
    assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-6)

    untouched = tune(made["classify"][0], tmp_path / "further", folder, freeze="encoder", lr=1e-12, validation=0)
    assert untouched.news == []  # its head is the one that was there
    torch.testing.assert_close(tensors(tmp_path / "further"), tensors(folder), atol=1e-6, rtol=0)


def test_a_pickled_classifier_of_old_names_answers_and_is_tuned_further(
    trained: Callable[[str], tuple[Path, TaskModel]], made: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """As BERT was first published: one pytorch_model.bin, LayerNorms with gamma and beta, heads of pretraining."""
    source, model = trained("classify")
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.json", "vocab.txt"):
        (old / name).write_bytes((source / name).read_bytes())
    weights = tensors(source)
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in weights.items()
    }
    assert sum(name.endswith(("gamma", "beta")) for name in renamed) == 2 * 5
    torch.save({**renamed, "cls.seq_relationship.bias": torch.zeros(2)}, old / "pytorch_model.bin")

    inputs = ["the cat was good", "the film was sad in the park"]
    assert bertsmith.load(old, precision="auto").predict(inputs) == model.predict(inputs)
    tuned = tune(made["classify"][0], tmp_path / "further", old, freeze="encoder", lr=1e-12, validation=0)
    assert tuned.news == ["not used from the checkpoint: cls.seq_relationship.bias"]
    torch.testing.assert_close(tensors(tmp_path / "further"), weights, atol=1e-6, rtol=0)


# The same seed, the same bytes


def test_the_seed_decides_every_byte(made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path) -> None:
    train = made["classify"][0]
    for place, seed in (("one", 7), ("two", 7), ("other", 8)):
        tune(train, tmp_path / place / "x", encoder, seed=seed, steps=3)
    one, two, other = (checkpoint_bytes(tmp_path / place / "x") for place in ("one", "two", "other"))
    assert one == two
    assert one["model.safetensors"] != other["model.safetensors"]


# What is trained on, and what is evaluated on


def test_rows_are_held_out_by_label_and_seed(encoder: Path, tmp_path: Path) -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    train = write(tmp_path / "t.tsv", ["text\tlabel", *(f"row {place}\t{one}" for place, one in enumerate(labels))])

    def held_out(seed: int) -> list[str]:
        values = {"train": str(train), "out": "x", "model": str(encoder), "seed": seed, "validation": 0.2}
        splits = prepare(from_flat(FinetuneSettings, values)).splits
        assert Counter(splits.train.labels) == {"a": 48, "b": 24, "c": 8}
        assert Counter(splits.evaluation.labels) == {"a": 12, "b": 6, "c": 2}
        assert not set(splits.train.texts) & set(splits.evaluation.texts)
        texts: list[str] = splits.evaluation.texts
        return texts

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


def test_without_validation_nothing_is_scored(
    made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path
) -> None:
    tune(made["classify"][0], tmp_path / "x", encoder, validation=0, steps=None, epochs=1)
    metrics = read_json(tmp_path / "x" / "metrics.json")
    assert metrics["eval"] == {}
    assert metrics["examples"] == 20
    assert not any("eval" in line for line in read_log(tmp_path / "x"))


def test_refit_is_a_run_on_all_rows_for_the_best_number_of_epochs(
    made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path
) -> None:
    train, dev = made["classify"]
    tune(train, tmp_path / "x", encoder, eval=str(dev), refit=True, steps=None, epochs=2, seed=5, metric="loss")
    told = read_json(tmp_path / "x" / "metrics.json")
    best = told["best_step"]
    assert best in (5, 10)
    header, *rows = train.read_text().splitlines()
    both = write(tmp_path / "both.tsv", [header, *rows, *dev.read_text().splitlines()[1:]])
    tune(both, tmp_path / "y", encoder, validation=0, steps=None, epochs=best / 5, seed=5)
    assert (tmp_path / "x" / "model.safetensors").read_bytes() == (tmp_path / "y" / "model.safetensors").read_bytes()
    # The numbers of the tuning stay, and those of the model that is kept stand beside them.
    steps = read_json(tmp_path / "y" / "metrics.json")["steps"]
    assert (told["steps"], told["refit"]["steps"]) == (10, steps)
    assert read_json(tmp_path / "x" / "bertsmith.json")["steps"] == steps
    card, report = ((tmp_path / "x" / name).read_text(encoding="utf-8") for name in ("README.md", "report.html"))
    assert "Of a first model, on classify.tsv (10 examples), which it did not learn from." in card
    assert "It learnt from 30 examples." in card
    assert f"trained anew on train + eval for {steps} steps" in report


# When training ends, and with what


@pytest.fixture(scope="module")
def growing(made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps its best weights by loss, at a rate that spoils them: the last are not the best."""
    out = tmp_path_factory.mktemp("growing") / "x"
    options = {"eval": str(made["classify"][1]), "eval_every": 2, "steps": 16, "lr": 0.3, "warmup": 15, "seed": 3}
    tune(made["classify"][0], out, encoder, keep_best=True, metric="loss", **options)
    return out


def test_the_best_weights_are_kept(growing: Path, made: dict[str, tuple[Path, Path]]) -> None:
    losses = {line["step"]: line["eval"]["loss"] for line in read_log(growing) if "eval" in line}
    assert list(losses) == [2, 4, 6, 8, 10, 12, 14, 16]
    best = min(losses, key=lambda step: losses[step])
    assert best < 16
    metrics = read_json(growing / "metrics.json")
    assert metrics["metric"] == "loss"
    assert metrics["best_step"] == best
    assert metrics["eval"]["loss"] == pytest.approx(losses[best], rel=1e-6)
    assert f"weights of step {best}, the best in loss" in (growing / "report.html").read_text(encoding="utf-8")
    scores = bertsmith.load(growing, precision="auto").evaluate(made["classify"][1])
    assert scores["loss"] == pytest.approx(losses[best], rel=1e-5)


def test_patience_ends_a_run_that_gets_no_better(
    made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path
) -> None:
    """At a rate of nothing the accuracy of the first evaluation is never beaten."""
    options = {"eval": str(made["classify"][1]), "eval_every": 2, "steps": 40, "lr": 1e-12}
    tune(made["classify"][0], tmp_path / "x", encoder, patience=2, **options)
    assert [line["step"] for line in read_log(tmp_path / "x") if "eval" in line] == [2, 4, 6]
    assert read_json(tmp_path / "x" / "metrics.json")["steps"] == 6
    assert "no better score in 2 evaluations" in (tmp_path / "x" / "report.html").read_text(encoding="utf-8")


def test_minutes_end_a_run(made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path) -> None:
    tune(made["classify"][0], tmp_path / "x", encoder, steps=None, minutes=0.004, validation=0)
    metrics = read_json(tmp_path / "x" / "metrics.json")
    assert metrics["train_seconds"] >= 0.24
    assert metrics["steps"] >= 1
    assert read_log(tmp_path / "x")[-1]["step"] == metrics["steps"]


# What learns, and how its loss is counted


def test_frozen_tensors_keep_their_bytes(made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path) -> None:
    tune(made["classify"][0], tmp_path / "x", encoder, freeze="embeddings,0", validation=0)
    before, after = tensors(encoder), tensors(tmp_path / "x")
    # An encoder alone is published without the prefix of a model with a head.
    same = {name for name in before if torch.equal(after[f"bert.{name}"], before[name])}
    frozen = {name for name in before if name.startswith(("embeddings.", "encoder.layer.0."))}
    assert len(frozen) == 5 + 16
    assert same == frozen


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    [
        ("classify", {"class_weights": "up=3"}, {"class_weights": {"up": 3.0}}),
        ("classify", {"focal_gamma": 2.0}, {"focal_gamma": 2.0}),
        ("classify", {"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ("classify", {"truncation": "head_tail"}, {"truncation": "head_tail"}),
        ("regress", {"truncation": "head_tail"}, {"truncation": "head_tail"}),
        ("choose", {"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ("tag", {"class_weights": "balanced", "focal_gamma": 1.0}, {"focal_gamma": 1.0}),
        ("answer", {"stride": 7, "max_answer": 4}, {"stride": 7, "max_answer": 4}),
    ],
)
def test_options_of_a_task_reach_its_loss_and_its_record(
    task: str,
    options: dict[str, Any],
    expected: dict[str, Any],
    made: dict[str, tuple[Path, Path]],
    encoder: Path,
) -> None:
    def prepared(**more: Any) -> Any:
        values = {"train": str(made[task][0]), "out": "x", "model": str(encoder), "task": task, "validation": 0}
        return prepare(from_flat(FinetuneSettings, {**values, **more}))

    plain, special = prepared(), prepared(**options)
    settings = special.model.task.settings()
    assert {name: settings[name] for name in expected} == expected
    if options.get("class_weights") == "balanced":
        weights = settings["class_weights"]
        assert weights["O"] < weights["B-LOC"]  # four of six words are outside
    if expected.keys() & {"class_weights", "focal_gamma", "label_smoothing"}:
        batch = plain.encoded.train.batch(np.arange(8))
        outputs = torch.from_numpy(np.random.default_rng(1).normal(size=(len(batch.ids), plain.model.task.num_outputs)))
        outputs = outputs if task == "tag" else outputs[: len(batch.lengths)]
        losses = [float(one.model.task.loss(outputs.float(), batch).mean) for one in (plain, special)]
        assert math.isfinite(losses[1])
        assert abs(losses[0] - losses[1]) > 1e-3


@pytest.mark.parametrize(
    ("task", "option"),
    [
        ("regress", {"label_smoothing": 0.1}),
        ("regress", {"class_weights": "balanced"}),
        ("choose", {"multi_label": True}),
        ("tag", {"stride": 8}),
        ("answer", {"focal_gamma": 2.0}),
        ("classify", {"allow_missing_answers": True}),
    ],
)
def test_an_option_of_another_task_is_refused(
    task: str, option: dict[str, Any], made: dict[str, tuple[Path, Path]], encoder: Path, tmp_path: Path
) -> None:
    name = next(iter(option)).replace("_", "-")
    with pytest.raises(SettingsError, match=f"^--{name} is no option of the task '{task}'"):
        tune(made[task][0], tmp_path / "x", encoder, task=task, **option)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("options", [{"refit": True}, {"keep_best": True}, {"patience": 2}, {"metric": "accuracy"}])
def test_what_looks_at_scores_needs_an_evaluation(options: dict[str, Any]) -> None:
    flag = next(iter(options)).replace("_", "-")
    values = {"train": "t.tsv", "out": "x", "validation": 0}
    with pytest.raises(SettingsError, match=f"^--{flag} needs scores to look at"):
        from_flat(FinetuneSettings, {**values, **options})
    from_flat(FinetuneSettings, {**values, **options, "eval": "dev.tsv"})


# The command line on the first rows of real files


def head(source: Path, place: Path, lines: int) -> Path:
    """The first lines of a file, under its name."""
    with source.open("rb") as file:
        place.joinpath(source.name).write_bytes(b"".join(line for line, _ in zip(file, range(lines), strict=False)))
    return place / source.name


def head_of_squad(source: Path, place: Path, questions: int) -> Path:
    def firsts() -> Iterator[dict[str, Any]]:
        for article in json.loads(source.read_text(encoding="utf-8"))["data"]:
            yield from article["paragraphs"]

    short = [one for one in firsts() if len(one["context"]) < 250][:questions]
    assert len(short) == questions
    path = place / source.name
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "head", "paragraphs": short}]}))
    return path


@pytest.mark.parametrize(
    ("task", "name", "lines", "words"),
    [
        ("classify", "cola/raw/in_domain_train.tsv", 40, ["--columns", "source,label,note,sentence"]),
        ("regress", "stsb/sts-train.csv", 40, ["--columns", "genre,file,year,id,score,sentence1,sentence2,..."]),
        ("choose", "codah/fold_0/dev.tsv", 30,
         ["--columns", "category,prompt,ending0,ending1,ending2,ending3,label"]),
        ("tag", "conll2003/eng.train", 300, []),
        ("answer", "squad/train-subset.json", 8, []),
    ],
)  # fmt: skip
def test_real_files_by_the_command_line(
    task: str,
    name: str,
    lines: int,
    words: list[str],
    shared_data: Callable[[str], Path],
    encoder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = shared_data(name)
    train = (head_of_squad if task == "answer" else head)(source, tmp_path, lines)
    out = tmp_path / "runs" / "x"
    words = ["finetune", "--task", task, "--model", str(encoder), "--train", str(train), "--out", str(out), *words]
    short = ["--steps", "4", "--batch-size", "4", "--validation", "0.25", "--log-every", "1"]
    assert run([*words, *short]) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "model, metrics and report are in" in captured.err
    assert sorted(path.name for path in out.iterdir()) == sorted([*CHECKPOINT, *OTHERS])
    assert steps_of(out) == [1, 2, 3, 4]
    metrics = read_json(out / "metrics.json")
    assert metrics["steps"] == 4
    assert metrics["eval"]
    assert bertsmith.load(out).task.name == task
