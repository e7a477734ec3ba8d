"""The clients that people have, against the server: `openai` and `huggingface_hub`, and their answers against ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertsmith.engine import TaskModel
from bertsmith.engine.embedder import Embedder
from bertsmith.engine.language_model import LanguageModel

from .running import Running

TEXTS = ["the cat sat on the mat", "a good day", "it was a sad film , the dog ran"]


@pytest.fixture
def vectors(model_folder: Callable[[str], Path]) -> np.ndarray:
    embedder = Embedder.open(model_folder("embed"), precision="fp32", engine="torch", device="cpu")
    return embedder.embed(TEXTS)


def test_openai_embeds(server: Running, vectors: np.ndarray) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
    for form in ("float", "base64"):
        given = client.embeddings.create(model="embed", input=TEXTS, encoding_format=form)
        rows = [one.embedding for one in given.data]
        if form == "base64":
            import base64

            rows = [np.frombuffer(base64.b64decode(row), dtype="<f4") for row in rows]  # type: ignore[misc]
        np.testing.assert_allclose(np.array(rows), vectors, atol=1e-6)
        assert [one.index for one in given.data] == [0, 1, 2]
        tokens = server.post("/tokenize", {"inputs": TEXTS})
        assert given.usage.prompt_tokens == sum(map(len, tokens)) == given.usage.total_tokens
    plain = client.embeddings.create(model="embed", input=TEXTS[0])  # the client asks for base64 and decodes it
    np.testing.assert_allclose(plain.data[0].embedding, vectors[0], atol=1e-6)
    short = client.embeddings.create(model="embed", input=TEXTS, dimensions=8)
    cut = vectors[:, :8] / np.linalg.norm(vectors[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose([one.embedding for one in short.data], cut, atol=1e-6)


def test_openai_embeds_ids_of_tokens(server: Running, vectors: np.ndarray) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
    for special in (True, False):
        tokens = server.post("/tokenize", {"inputs": TEXTS, "add_special_tokens": special})
        ids = [[one["id"] for one in row] for row in tokens]
        given = client.embeddings.create(model="embed", input=ids)
        np.testing.assert_allclose([one.embedding for one in given.data], vectors, atol=1e-6)
        given = client.embeddings.create(model="embed", input=ids[1])
        np.testing.assert_allclose(given.data[0].embedding, vectors[1], atol=1e-6)


def test_openai_lists_models_and_is_told_what_is_wrong(server: Running) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)
    assert [one.id for one in client.models.list()] == list(server.service.models)
    assert client.models.retrieve("embed").owned_by == "bertsmith"
    with pytest.raises(openai.NotFoundError, match="no model 'nix'; served are: classify"):
        client.embeddings.create(model="nix", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="/v1/embeddings is for the task embed, and tag is"):
        client.embeddings.create(model="tag", input="a")
    with pytest.raises(openai.APIStatusError, match="the text has 102 tokens, more than the 64") as caught:
        client.embeddings.create(model="embed", input="cat " * 100)
    assert caught.value.status_code == 413
    cut = client.embeddings.create(model="embed", input="cat " * 100, extra_body={"truncate": True})
    assert cut.usage.prompt_tokens == 64


def test_huggingface_hub_asks_every_task(server: Running, model_folder: Callable[[str], Path]) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def client(name: str) -> object:
        return hub.InferenceClient(model=f"{server.url}/models/{name}")

    def held(name: str) -> TaskModel:
        return TaskModel.open(model_folder(name), device="cpu", engine="torch")

    embedder = Embedder.open(model_folder("embed"), precision="fp32", engine="torch", device="cpu")
    vectors = embedder.embed(TEXTS)
    np.testing.assert_allclose(client("embed").feature_extraction(TEXTS[0])[0], vectors[0], atol=1e-6)
    likeness = client("embed").sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    np.testing.assert_allclose(likeness, vectors[1:] @ vectors[0], atol=1e-6)

    labels = client("classify").text_classification(TEXTS[0])
    (expected,) = held("classify").predict([TEXTS[0]])
    assert {one.label: one.score for one in labels} == pytest.approx(expected["probabilities"])
    assert labels[0].label == expected["label"]
    assert len(client("classify").text_classification(TEXTS[0], top_k=2)) == 2

    entities = client("tag").token_classification(TEXTS[2])
    (expected,) = held("tag").predict([TEXTS[2]])
    assert [(one.entity_group, one.word, one.start, one.end) for one in entities] == [
        (span["type"], span["text"], span["start"], span["end"]) for span in expected["spans"]
    ]

    found = client("answer").question_answering(question="who sat", context=TEXTS[0])
    (expected,) = held("answer").predict([("who sat", TEXTS[0])])
    assert (found.answer, found.start, found.end) == (expected["answer"], expected["start"], expected["end"])
    assert math.isclose(found.score, expected["probability"], rel_tol=1e-5)

    words = client("fill").fill_mask("the [MASK] sat on the mat", top_k=3)
    language = LanguageModel.open(model_folder("fill"), device="cpu")
    (guesses,) = language.fill("the [MASK] sat on the mat", top=3)
    assert [(one.token_str, one.sequence) for one in words] == [(one.token, one.text) for one in guesses]
    assert [one.score for one in words] == pytest.approx([one.probability for one in guesses])


def test_huggingface_hub_is_told_what_is_wrong(server: Running) -> None:
    hub = pytest.importorskip("huggingface_hub")
    with pytest.raises(hub.errors.HfHubHTTPError) as caught:
        hub.InferenceClient(model=f"{server.url}/models/nix").feature_extraction("a")
    assert caught.value.response.status_code == 404
