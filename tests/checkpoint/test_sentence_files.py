"""Folders of sentence models: there and back, and against sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertsmith.checkpoint.sentence_files import SentenceFiles, read_sentence_files, write_sentence_files
from bertsmith.engine import TaskModel
from bertsmith.errors import CheckpointError
from bertsmith.model import BertConfig
from bertsmith.model.sentence import Pooling, SentenceModel
from bertsmith.tasks import Embed
from bertsmith.text import Tokenizer
from bertsmith.training import choose_precision

TEXTS = ["the cat sat", "a dog ran. the dog sat?", "cat"]
POOLINGS = [
    Pooling(),
    Pooling("cls"),
    Pooling("max", normalize=False),
    Pooling("mean-sqrt", normalize=False),
    Pooling("first-last"),
    Pooling("mean", dense=4),
    Pooling("cls", dense=4, activation="tanh", normalize=False),
    Pooling("mean", dimensions=5),
    Pooling("mean", dense=6, dimensions=5),
]


def named(pooling: Pooling) -> str:
    return "-".join(str(value) for value in vars(pooling).values())


def saved(folder: Path, pooling: Pooling, **options: Any) -> NDArray[np.float32]:
    """A folder with a random model, and its vectors of `TEXTS`."""
    tokenizer = Tokenizer.from_vocabulary(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat", "ran", ".", "?"]
    )
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    model = SentenceModel(config, pooling, generator=torch.Generator().manual_seed(3)).eval()
    task = Embed(pooling=pooling, **options)
    whole = TaskModel(model, tokenizer, task, 24, choose_precision("fp32", torch.device("cpu")))
    whole.save(folder)
    return vectors_of(whole)


def vectors_of(model: TaskModel) -> NDArray[np.float32]:
    return np.array([answer["vector"] for answer in model.predict(TEXTS)], dtype=np.float32)


@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_a_saved_model_gives_the_same_vectors(pooling: Pooling, tmp_path: Path) -> None:
    expected = saved(tmp_path, pooling)
    opened = TaskModel.open(tmp_path)
    assert opened.news == []
    assert opened.max_length == 24
    np.testing.assert_allclose(vectors_of(opened), expected, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_sentence_transformers_opens_it_with_the_same_vectors(pooling: Pooling, tmp_path: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    expected = saved(tmp_path, pooling)
    model = peer.SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=2e-6)
    assert model.max_seq_length == 24


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_folder_by_sentence_transformers_opens(pooling: str, tmp_path: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    saved(tmp_path / "ours", Pooling(pooling, dense=4, activation="tanh"))  # type: ignore[arg-type]
    model = peer.SentenceTransformer(str(tmp_path / "ours"), device="cpu", prompts={"query": "cat "})
    model.save(str(tmp_path / "theirs"))
    opened = TaskModel.open(tmp_path / "theirs")
    np.testing.assert_allclose(vectors_of(opened), model.encode(TEXTS), atol=2e-6)
    assert opened.max_length == 24
    assert isinstance(opened.task, Embed)
    assert opened.task.prompts == {"query": "cat "}


def test_the_starter_gives_the_vectors_of_sentence_transformers(starter_folder: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    texts = ["A man is playing a guitar.", "no", "The cat sat on the mat. " * 60]
    expected = peer.SentenceTransformer(str(starter_folder), device="cpu").encode(texts)
    found = [answer["vector"] for answer in TaskModel.open("starter").predict(texts)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_prompts_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, Pooling(), prompts={"query": "the "}, default_prompt="query")
    opened = TaskModel.open(tmp_path).task
    assert isinstance(opened, Embed)
    assert opened.prompts == {"query": "the "}
    assert opened.prompted(["cat"]) == ["the cat"]


def test_an_encoder_alone_says_nothing_of_sentences(tmp_path: Path) -> None:
    assert read_sentence_files(tmp_path) is None


def modules(folder: Path, *kinds: str, **configs: dict[str, Any]) -> Path:
    listed = [{"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"x.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(listed))
    for i, kind in enumerate(kinds):
        (folder / f"{i}_{kind}").mkdir()
        (folder / f"{i}_{kind}" / "config.json").write_text(json.dumps(configs.get(kind, {})))
    return folder


@pytest.mark.parametrize(
    ("kinds", "configs", "message"),
    [
        (("Transformer", "LSTM"), {}, "LSTM a module unknown here"),
        (("Transformer",), {}, "names no Pooling; give a model that has one"),
        (("Transformer", "Pooling"), {"Pooling": {"pooling_mode": "lasttoken"}}, "Pooling of lasttoken"),
        (("Transformer", "Pooling"), {"Pooling": {"pooling_mode": ["mean", "max"]}}, "Pooling of"),
        (
            ("Transformer", "Pooling", "Normalize", "Dense"),
            {"Pooling": {"pooling_mode": "mean"}},
            "Dense behind the last one that is read here",
        ),
        (
            ("Transformer", "Pooling", "Dense"),
            {"Pooling": {"pooling_mode": "mean"}, "Dense": {"activation_function": "torch.nn.ReLU"}},
            "Dense with torch.nn.ReLU",
        ),
    ],
)
def test_modules_that_are_not_computed_here(
    kinds: tuple[str, ...], configs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_sentence_files(modules(tmp_path, *kinds, **configs))


def test_a_damaged_linear_map_is_named(tmp_path: Path) -> None:
    saved(tmp_path, Pooling(dense=4))
    path = tmp_path / "2_Dense" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"dense\.linear\.\w+' is damaged"):
        TaskModel.open(tmp_path)


def test_what_is_cut_becomes_a_linear_map() -> None:
    settled = SentenceFiles(Pooling(dimensions=2)).settled(4)
    assert settled.pooling == Pooling(dense=2)
    assert settled.weights["dense.linear.weight"].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_the_files_alone_survive_the_round_trip(tmp_path: Path) -> None:
    files = SentenceFiles(Pooling("max", normalize=False), max_length=7, prompts={"q": "x "}, default_prompt="q")
    write_sentence_files(tmp_path, files, width=8, num_layers=2)
    assert read_sentence_files(tmp_path) == files
