"""tokenizer.json and vocab.txt in, the same tokenizer out again, here and in transformers."""

from __future__ import annotations

import json
import os
from itertools import chain

import pytest

from bertsmith.errors import OutputError, TokenizerError
from bertsmith.text.recipe import AddedToken, Recipe
from bertsmith.text.recipe_files import read_folder, read_tokenizer_json, write_folder
from bertsmith.text.tokenizer import Tokenizer

SETTINGS = [(True, None, True), (False, None, True), (True, False, True), (False, True, False)]


@pytest.fixture
def document(vocabulary) -> dict:
    """A sound ``tokenizer.json`` with the truncation and padding of whoever saved it."""
    value = json.loads(Recipe.of_vocabulary(vocabulary).json())
    value["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    value["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    return value


def write_json(folder, value) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("options", SETTINGS)
def test_a_saved_tokenizer_is_the_same_here_and_in_transformers(tmp_path, options, vocabulary, hostile) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.from_vocabulary(vocabulary, *options)
    tokenizer.save(tmp_path, max_length=77)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ragged = tokenizer.encode(hostile, hostile[::-1])
    expected = theirs(hostile, hostile[::-1])
    assert ragged.ids.tolist() == list(chain.from_iterable(expected["input_ids"]))
    assert ragged.segments.tolist() == list(chain.from_iterable(expected["token_type_ids"]))
    assert theirs.model_max_length == 77
    assert theirs.is_fast
    again = Tokenizer.from_folder(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.recipe == tokenizer.recipe
    (tmp_path / "tokenizer.json").unlink()
    assert Tokenizer.from_folder(tmp_path).recipe == tokenizer.recipe


def test_truncation_and_padding_in_the_file_are_off(tmp_path, document, tokenizer) -> None:
    document["post_processor"] = None
    write_json(tmp_path, document)
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    texts = ["a dog walked the dog", "a"]
    assert again.encode(texts).ids.tolist() == tokenizer.encode(texts).ids.tolist()
    assert again.encode_with_offsets(texts).ragged.ids.tolist() == tokenizer.encode(texts).ids.tolist()
    assert again.fingerprint == tokenizer.fingerprint


def test_the_starter(starter_folder, hostile) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.from_folder(starter_folder)
    expected = transformers.AutoTokenizer.from_pretrained(starter_folder)(hostile, truncation=False, padding=False)
    assert tokenizer.vocab_size == 30522
    assert tokenizer.encode(hostile).ids.tolist() == list(chain.from_iterable(expected["input_ids"]))


def test_added_tokens_past_the_vocabulary(tmp_path, document, vocabulary) -> None:
    size = len(vocabulary)
    document["added_tokens"].append({"id": size, "content": "<e1>", "special": True, "normalized": False})
    document["added_tokens"].append({"id": size + 1, "content": "a dog", "special": False, "normalized": True})
    write_json(tmp_path, document)
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.vocabulary[-2:] == ["<e1>", "a dog"]
    assert tokenizer.recipe.added[-1] == AddedToken(size + 1, "a dog", normalized=True, special=False)
    assert tokenizer.tokens("the<e1>cat A DOG") == ["the", "<e1>", "cat", "a dog"]
    assert tokenizer.pieces(["the<e1>cat A DOG"]).ids.tolist() == [
        *map(tokenizer.id_of, ["the", "<e1>", "cat", "a dog"])
    ]
    tokenizer.save(tmp_path / "again")
    assert read_folder(tmp_path / "again") == tokenizer.recipe
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(tmp_path / "again")
    for text in ("the<e1>cat A DOG", "a dogs", "a <E1> a\u0301 dog"):
        assert theirs(text)["input_ids"] == tokenizer.encode([text]).ids.tolist()


def test_special_tokens_not_listed_as_added_are_added(tmp_path, document, tokenizer) -> None:
    document["added_tokens"] = []
    write_json(tmp_path, document)
    assert read_folder(tmp_path) == tokenizer.recipe


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model",), {"type": "BPE", "vocab": {}, "merges": []}, "a BPE tokenizer; only BERT's WordPiece"),
        (("model",), {"vocab": {"a": 0}, "merges": []}, "a BPE tokenizer"),
        (("model",), {"type": "Unigram", "vocab": [["a", 0.0]]}, "a Unigram tokenizer"),
        (("model", "max_input_chars_per_word"), 50, "model.max_input_chars_per_word is 50, not 100"),
        (("model", "continuing_subword_prefix"), "@@", "model.continuing_subword_prefix is '@@'"),
        (("normalizer",), {"type": "Lowercase"}, "normalizer is 'Lowercase', not 'BertNormalizer'"),
        (("normalizer", "clean_text"), False, "normalizer.clean_text is False"),
        (("pre_tokenizer",), None, "pre_tokenizer is None"),
        (("model", "vocab", "dog"), 10_000, "ids must be 0, 1, 2"),
        (("added_tokens",), [{"id": 7}], r"not laid out as a tokenizer.json \(KeyError\('content'\)\)"),
        (("added_tokens",), [{"id": 7, "content": "[SEP]"}], r"'\[SEP\]' has id 7"),
        (("model", "vocab"), {"[PAD]": 0, "[UNK]": 1}, r"no \[CLS\], \[SEP\], \[MASK\]"),
    ],
)
def test_what_is_refused(tmp_path, document, place, value, message) -> None:
    target = document
    if place != ("added_tokens",) and place[-1] == "vocab":
        document["added_tokens"] = []
    for name in place[:-1]:
        target = target[name]
    target[place[-1]] = value
    write_json(tmp_path, document)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.from_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model":\n oops}', "line 2, column 2: not valid JSON"),
        (b"{}", "a WordPiece tokenizer|only BERT's WordPiece"),
        (b'{"model": []}', "only BERT's WordPiece"),
        (b'{"model": "x"}', "not laid out as a tokenizer.json"),
    ],
)
def test_broken_json(tmp_path, content, message) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        read_tokenizer_json(tmp_path / "tokenizer.json")


def test_a_folder_without_a_tokenizer(tmp_path) -> None:
    with pytest.raises(TokenizerError, match=r"neither tokenizer\.json nor vocab\.txt"):
        read_folder(tmp_path)


def test_settings_beside_a_vocabulary(tmp_path, vocabulary) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    assert read_folder(tmp_path) == Recipe.of_vocabulary(vocabulary)
    settings = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    expected = Recipe.of_vocabulary(vocabulary, lowercase=False, strip_accents=True, tokenize_chinese_chars=False)
    assert read_folder(tmp_path) == expected


ADDED = {"<e1>": 0, "a dog": 1}  # by place after the vocabulary
LISTED = [{"content": "<e1>", "special": True, "normalized": False}, {"content": "a dog", "normalized": True}]


@pytest.mark.parametrize("listed", [False, True])
def test_tokens_added_to_a_vocabulary_are_as_in_transformers(tmp_path, vocabulary, listed) -> None:
    """``added_tokens.json`` holds them in old folders, ``tokenizer_config.json`` in newer ones, which counts first."""
    size = len(vocabulary)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    added = {"<e2>": size} if listed else {token: size + place for token, place in ADDED.items()}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    if listed:
        decoder = {str(size + place): token for place, token in enumerate(LISTED)}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.vocabulary == [*vocabulary, *ADDED]
    assert tokenizer.tokens("the<e1>cat A DOG") == ["the", "<e1>", "cat", "a dog"]
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(tmp_path)
    for text in ("the<e1>cat A DOG", "a dogs <e2>", "a <E1> a\u0301 dog"):
        assert theirs(text)["input_ids"] == tokenizer.encode([text]).ids.tolist()


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"<e1>": 10_000}, r"added_tokens\.json: the added token '<e1>' has id 10000"),
        ({"<e1>": "x"}, r"added_tokens\.json: not laid out as added tokens"),
        ({"<e1>": None}, r"added_tokens\.json: not laid out as added tokens"),
    ],
)
def test_added_tokens_that_have_no_place_are_refused(tmp_path, vocabulary, added, message) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(TokenizerError, match=message):
        read_folder(tmp_path)


def test_a_failed_write_leaves_the_earlier_file_whole(tmp_path, vocabulary, monkeypatch) -> None:
    write_folder(Recipe.of_vocabulary(vocabulary), tmp_path, max_length=512)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_folder(Recipe.of_vocabulary([*vocabulary, "more"]), tmp_path, max_length=512)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made(tmp_path, tokenizer) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"model/tokenizer\.json: cannot be written"):
        tokenizer.save(tmp_path / "taken" / "model")


def test_every_setting_changes_the_fingerprint(vocabulary) -> None:
    prints = {Tokenizer.from_vocabulary(vocabulary, *options).fingerprint for options in SETTINGS}
    prints.add(Tokenizer.from_vocabulary([*vocabulary, "more"]).fingerprint)
    assert len(prints) == len(SETTINGS) + 1
    assert all(len(one) == 64 for one in prints)
