"""The task `embed`: what it learns from which columns, its losses on real batches, its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from bertsmith.errors import DataError, SettingsError
from bertsmith.model import BertConfig
from bertsmith.model.sentence import Pooling, SentenceModel
from bertsmith.tables import Table
from bertsmith.tasks import Columns, Embed
from bertsmith.tasks.groups import Groups
from bertsmith.tasks.losses import class_loss
from bertsmith.tasks.sentence_losses import contrastive_loss, cosent_loss, cosine_loss, triplet_loss
from bertsmith.text import Tokenizer

PAIRS = {"sentence1": ["the cat", "a dog", "john said", "new york"], "sentence2": ["cat", "the dog", "it was", "york"]}
SCORED = {**PAIRS, "score": [5.0, 3.2, 0.0, 4.1]}
TRIPLES = {"anchor": ["the cat", "a dog"], "positive": ["cat", "dog"], "negative": ["new york", "john"]}


def groups(columns: dict[str, list[Any]]) -> Groups:
    return Embed.read(Table("f", columns), Columns())


def model_of(task: Embed, tokenizer: Tokenizer, pooling: Pooling | None = None) -> SentenceModel:
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    return SentenceModel(config, pooling or Pooling(), len(task.labels), torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("columns", "objective"),
    [
        ({"text": ["a", "b"]}, "simcse"),
        (PAIRS, "contrastive"),
        (TRIPLES, "contrastive"),
        (SCORED, "cosent"),
        ({**PAIRS, "label": [0, 1, 2, 3]}, "softmax"),
        ({**PAIRS, "label": ["yes", "no", "yes", "no"]}, "softmax"),
        ({**PAIRS, "score": [0, 1, 2, 0.5]}, "cosent"),
    ],
)
def test_the_objective_that_columns_suggest(columns: dict[str, list[Any]], objective: str) -> None:
    task = Embed.learn(groups(columns))
    assert task.objective == objective


def test_options_are_kept() -> None:
    task = Embed.learn(groups(SCORED), loss="cosine", pooling="cls", matryoshka=(4, 8))
    assert task.objective == "cosine"
    assert task.pooling == Pooling("cls")
    assert task.matryoshka == (4, 8)
    assert task.scale == (0.0, 5.0)
    assert Embed(**task.settings()).matryoshka == (4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "cosin"}, "loss is 'cosin'; did you mean 'cosine'"),
        ({"temperature": 0.0}, "temperature is 0.0; give a number over 0"),
        ({"margin": -1.0}, "margin is -1.0; give a number from 0"),
        ({"stride": 3}, "task 'embed' has no option 'stride'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Embed.learn(groups(PAIRS), **options)


@pytest.mark.parametrize(
    ("columns", "loss", "message"),
    [
        (PAIRS, "cosine", "loss cosine needs a score for each pair"),
        (PAIRS, "cosent", "loss cosent needs a score for each pair"),
        ({**PAIRS, "label": ["yes", "no", "yes", "no"]}, "cosent", "loss cosent needs a score for each pair"),
        (PAIRS, "softmax", "loss softmax needs a label for each pair"),
        (PAIRS, "triplet", "loss triplet needs an anchor, a positive and a negative"),
        ({"text": ["a", "b"]}, "contrastive", "loss contrastive needs pairs"),
        ({**PAIRS, "label": [1, 1, 1, 1]}, "softmax", "every pair has the label '1'"),
        ({**PAIRS, "score": [2.5, 2.5, 2.5, 2.5]}, "cosine", "every score is 2.5"),
    ],
)
def test_data_that_an_objective_cannot_learn_from(columns: dict[str, list[Any]], loss: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Embed.learn(groups(columns), loss=loss)


def test_a_row_is_a_group_and_every_text_a_sequence(tokenizer: Tokenizer) -> None:
    encoded = Embed.learn(groups(TRIPLES)).encode(groups(TRIPLES), tokenizer, 16)
    assert len(encoded) == 2
    assert len(encoded.sequences) == 6
    batch = encoded.batch(np.array([1]))
    texts = [tokenizer.decode(ids.tolist()) for ids in batch.ids.split(batch.lengths.tolist())]
    assert texts == ["a dog", "dog", "john"]
    assert batch.targets["texts"].shape == (1, 3)


def test_equal_texts_have_equal_numbers(tokenizer: Tokenizer) -> None:
    same = groups({"sentence1": ["the cat", "a dog"], "sentence2": ["a dog", "the cat"]})
    assert Embed.learn(same).encode(same, tokenizer, 16).row_targets["texts"].tolist() == [[0, 1], [1, 0]]


def test_tokens_that_are_cut_are_counted_by_group(tokenizer: Tokenizer) -> None:
    long = groups({"sentence1": ["the cat sat on the mat", "a"], "sentence2": ["a dog ran in the park", "dog"]})
    encoded = Embed.learn(long).encode(long, tokenizer, 5)
    assert encoded.cut.tolist() == [6, 0]
    assert encoded.num_cut == 1


@pytest.mark.parametrize("objective", ["contrastive", "cosine", "cosent", "triplet", "softmax"])
def test_the_loss_is_that_of_the_models_vectors(objective: str, tokenizer: Tokenizer) -> None:
    columns = TRIPLES if objective == "triplet" else PAIRS if objective == "contrastive" else SCORED
    if objective == "softmax":
        columns = {**PAIRS, "label": ["yes", "no", "no", "yes"]}
    examples = groups(columns)
    task = Embed.learn(examples, loss=objective)
    encoded = task.encode(examples, tokenizer, 16)
    batch = encoded.batch(np.arange(len(encoded)))
    model = model_of(task, tokenizer).eval()
    vectors = model(batch).view(len(encoded), -1, 16)
    if objective == "softmax":
        first, second = model.pooled(batch).view(len(encoded), 2, 16).unbind(1)
        expected = class_loss(model.classify(first, second), torch.tensor([1, 0, 0, 1]))
    else:
        scores = torch.tensor(SCORED["score"])
        expected = {
            "contrastive": lambda: contrastive_loss(vectors, torch.arange(8).view(4, 2), temperature=0.05),
            "cosine": lambda: cosine_loss(vectors, scores / 5),
            "cosent": lambda: cosent_loss(vectors, scores, temperature=0.05),
            "triplet": lambda: triplet_loss(vectors, margin=1.0),
        }[objective]()
    found = task.training_loss(model, batch)
    assert float(found.mean) == pytest.approx(float(expected.mean), abs=1e-5)


def test_simcse_tells_a_text_from_others_under_another_mask(tokenizer: Tokenizer) -> None:
    examples = groups({"text": PAIRS["sentence1"]})
    task = Embed.learn(examples)
    batch = task.encode(examples, tokenizer, 16).batch(np.arange(4))
    model = model_of(task, tokenizer)
    model.eval()
    vectors = model(batch)
    without = float(task.training_loss(model, batch).mean)
    twin = contrastive_loss(torch.stack([vectors, vectors], 1), torch.arange(4)[:, None].repeat(1, 2), temperature=0.05)
    assert without == pytest.approx(float(twin.mean), abs=1e-4)
    model.train()
    model.encoder.noise.seed(7)
    assert float(task.training_loss(model, batch).mean) > without + 1e-3  # the twins differ by their masks


def test_matryoshka_adds_the_loss_of_the_first_numbers(tokenizer: Tokenizer) -> None:
    examples = groups(PAIRS)
    task = Embed.learn(examples, matryoshka=(4, 8, 16, 99))
    encoded = task.encode(examples, tokenizer, 16)
    batch = encoded.batch(np.arange(4))
    vectors = model_of(task, tokenizer).eval()(batch)
    plain = Embed.learn(examples)
    parts = [float(plain.loss(vectors[:, :width], batch).sum) for width in (16, 4, 8)]
    assert float(task.loss(vectors, batch).sum) == pytest.approx(sum(parts), abs=1e-4)


def test_scores_of_pairs_with_a_score(tokenizer: Tokenizer) -> None:
    examples = groups(SCORED)
    task = Embed.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    outputs = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    cosines = [
        float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) for one, other in outputs.reshape(4, 2, 5)
    ]
    scores = task.scores(outputs, encoded, examples)
    assert scores["spearman"] == pytest.approx(spearmanr(cosines, SCORED["score"]).statistic)
    assert task.metric_among(scores) == "spearman"
    assert task.answers(outputs, encoded, examples) == [{"similarity": pytest.approx(one)} for one in cosines]
    regression = task.insight(outputs, encoded, examples).regression
    assert regression is not None
    assert regression.gold.tolist() == pytest.approx([1, 0.64, 0, 0.82])


def test_scores_of_groups_without_labels(tokenizer: Tokenizer) -> None:
    examples = groups(TRIPLES)
    task = Embed.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    outputs = np.eye(6, dtype=np.float32)
    outputs[1] = outputs[0]  # the first positive is found, the second is not
    outputs[5] = outputs[3]
    scores = task.scores(outputs, encoded, examples)
    assert scores["triplet_accuracy"] == 0.5
    assert scores["recall@1"] == 0.5
    assert task.metric_among(scores) == "mrr@10"


def test_scores_of_single_texts(tokenizer: Tokenizer) -> None:
    examples = groups({"text": ["a", "b", "c"]})
    task = Embed.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    scores = task.scores(np.eye(3, dtype=np.float32), encoded, examples)
    assert scores == {"uniformity": pytest.approx(-4.0)}
    assert task.metric_among(scores) == "uniformity"
    assert task.answers(np.eye(3, dtype=np.float32), encoded, examples)[1] == {"vector": [0, 1, 0]}


def test_labels_that_are_words_score_nothing(tokenizer: Tokenizer) -> None:
    examples = groups({**PAIRS, "label": ["yes", "no", "no", "yes"]})
    task = Embed.learn(examples)
    encoded = task.encode(examples, tokenizer, 16)
    with pytest.raises(DataError, match="the label 'yes' is no number, and vectors are scored by numbers; give --eval"):
        task.scores(np.ones((8, 4), np.float32), encoded, examples)
