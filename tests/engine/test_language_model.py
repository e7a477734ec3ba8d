"""A language model from folder to guesses and back, against transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertsmith.engine.language_model import LanguageModel
from bertsmith.errors import CheckpointError, DataError
from bertsmith.model import Batch, BertConfig
from bertsmith.model.heads import PretrainingKind
from bertsmith.text import Tokenizer

WORDS = ["the", "cat", "sat", "on", "mat", "a", "dog", "ran", "##s", "."]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
CONFIG = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
    initializer_range=0.3,
)


def started(kind: PretrainingKind = "pretraining") -> LanguageModel:
    return LanguageModel.start(CONFIG, Tokenizer.from_vocabulary(VOCABULARY), kind, seed=1, precision="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("language") / "model"
    started().save(place, record={"pretraining": {"steps": 3}})
    return place


def test_the_guesses_are_those_of_the_peers_pipeline(folder: Path) -> None:
    model = transformers.BertForPreTraining.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "the [MASK] sat on a [MASK]."
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        chances = model(**inputs).prediction_logits[0].softmax(-1)
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().squeeze(1)
    ours = LanguageModel.open(folder).fill(text, top=4)
    assert len(ours) == len(places) == 2
    for guesses, place in zip(ours, places, strict=True):
        values, ids = chances[place].topk(4)
        assert [guess.token for guess in guesses] == tokenizer.convert_ids_to_tokens(ids.tolist())
        assert [guess.probability for guess in guesses] == pytest.approx(values.tolist(), abs=1e-5)
    assert ours[0][0].text == text.replace("[MASK]", ours[0][0].token, 1)


@pytest.mark.parametrize(
    ("kind", "peer", "outputs"),
    [
        ("pretraining", "BertForPreTraining", ("prediction_logits", "seq_relationship_logits")),
        ("masked", "BertForMaskedLM", ("logits", None)),
        ("next_sentence", "BertForNextSentencePrediction", (None, "logits")),
        ("causal", "BertLMHeadModel", ("logits", None)),
    ],
)
def test_a_saved_folder_says_the_same_in_transformers(
    kind: PretrainingKind, peer: str, outputs: tuple[str | None, str | None], tmp_path: Path
) -> None:
    model = started(kind)
    model.save(tmp_path)
    theirs, told = getattr(transformers, peer).from_pretrained(tmp_path, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    ids = torch.tensor([[2, 5, 6, 4, 3, 7, 8, 3], [2, 9, 4, 11, 3, 12, 14, 3]])
    segments = torch.tensor([[0] * 5 + [1] * 3] * 2)
    batch = Batch(ids.reshape(-1), segments.reshape(-1), torch.tensor([8, 8]))
    with torch.inference_mode():
        ours = model.model(batch)
        expected = theirs.eval()(input_ids=ids, token_type_ids=segments)
    for found, name in zip((ours.tokens, ours.next_sentence), outputs, strict=True):
        assert (found is None) == (name is None)
        if name is not None:
            wanted = getattr(expected, name)
            torch.testing.assert_close(found.reshape(wanted.shape), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["pretraining", "masked"])
def test_what_the_peer_writes_opens_here(kind: PretrainingKind, tmp_path: Path) -> None:
    peer = getattr(transformers, "BertForPreTraining" if kind == "pretraining" else "BertForMaskedLM")
    config = transformers.BertConfig(**CONFIG.to_dict())
    peer(config).save_pretrained(tmp_path)
    Tokenizer.from_vocabulary(VOCABULARY).save(tmp_path)
    assert LanguageModel.open(tmp_path).model.head_kind == kind


def test_an_old_file_with_the_last_matrix_twice_opens_and_an_untied_one_does_not(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    words = weights["bert.embeddings.word_embeddings.weight"]
    old = {**weights, "cls.predictions.decoder.weight": words.clone()}
    old["cls.predictions.decoder.bias"] = old.pop("cls.predictions.bias")
    for name in ("config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save(old, tmp_path / "pytorch_model.bin")
    reopened = LanguageModel.open(tmp_path)
    assert reopened.fill("the [MASK]") == LanguageModel.open(folder).fill("the [MASK]")
    torch.save({**old, "cls.predictions.decoder.weight": words + 1}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"decoder\.weight is not bert\.embeddings"):
        LanguageModel.open(tmp_path)


def test_an_encoder_alone_goes_on_with_a_new_head(folder: Path, tmp_path: Path) -> None:
    started("masked").save(tmp_path / "masked")
    tokenizer = Tokenizer.from_folder(folder)
    both = LanguageModel.start(tmp_path / "masked", tokenizer, "pretraining", seed=5)
    assert both.news == ["new weights: bert.pooler.dense.weight, bert.pooler.dense.bias, "
                         "cls.seq_relationship.weight, cls.seq_relationship.bias"]  # fmt: skip
    other = Tokenizer.from_vocabulary([*VOCABULARY[:-1], "!"])
    with pytest.raises(CheckpointError, match="its tokenizer is not the one the corpus was prepared with"):
        LanguageModel.start(tmp_path / "masked", other, "pretraining", seed=5)


def test_a_causal_model_guesses_from_what_stands_before() -> None:
    model = started("causal")
    guesses = [model.fill(f"the [MASK] {behind}")[0] for behind in ("cat", "mat")]
    assert [guess.token for guess in guesses[0]] == [guess.token for guess in guesses[1]]
    ids = torch.from_numpy(model.tokenizer.encode(["the"]).ids[:-1].astype("int64"))  # without [SEP]
    batch = Batch(ids, torch.zeros_like(ids), torch.tensor([len(ids)]))
    with torch.inference_mode():
        logits = model.model(batch).tokens
    assert logits is not None
    assert guesses[0][0].token == model.tokenizer.vocabulary[int(logits[-1].argmax())]


def test_what_cannot_be_guessed(folder: Path, tmp_path: Path) -> None:
    model = LanguageModel.open(folder)
    with pytest.raises(DataError, match=r"no \[MASK\] in 'the cat'"):
        model.fill("the cat")
    with pytest.raises(DataError, match="the text has 22 tokens, and the model reads 16"):
        model.fill("the " * 19 + "[MASK]")
    started("next_sentence").save(tmp_path / "next")
    with pytest.raises(CheckpointError, match="has no head that guesses tokens"):
        LanguageModel.open(tmp_path / "next")
