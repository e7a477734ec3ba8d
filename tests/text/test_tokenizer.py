"""The tokenizer as its users call it, against transformers."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest

from bertsmith.errors import TokenizerError
from bertsmith.text import bulk
from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.wordpiece import WordPiece


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    """transformers' tokenizer of the same files."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_the_names_and_ids_of_special_tokens(tokenizer, vocabulary) -> None:
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert ids == (0, 2, 3, 4, 5)
    assert tokenizer.vocabulary == vocabulary
    assert tokenizer.vocab_size == len(vocabulary)
    assert tokenizer.lowercase
    assert tokenizer.id_of("dog") == vocabulary.index("dog")
    with pytest.raises(TokenizerError, match="'zebra'"):
        tokenizer.id_of("zebra")


def test_encode_is_the_same_with_and_without_the_extra_fast(tokenizer, vocabulary, hostile, monkeypatch) -> None:
    monkeypatch.setattr(bulk, "nanotoken", None)
    plain = Tokenizer.from_vocabulary(vocabulary)
    assert isinstance(plain._bulk, TokenizersEncoder)
    for options in ({}, {"max_length": 9}, {"max_length": 12, "truncation": "head_tail"}):
        expected = plain.encode(hostile, **options)
        found = tokenizer.encode(hostile, **options)
        for name in ("ids", "segments", "bounds", "cut"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_many_texts_in_chunks(vocabulary, monkeypatch) -> None:
    texts = [f"a dog {i} runs" for i in range(100)]
    whole = Tokenizer.from_vocabulary(vocabulary).pieces(texts)
    monkeypatch.setattr("bertsmith.text.tokenizer.CHUNK", 7)
    monkeypatch.setattr(bulk, "CHUNK", 7)
    monkeypatch.setattr(bulk, "nanotoken", None)
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    parts = tokenizer.pieces(texts)
    for name in ("ids", "bounds", "offsets", "words"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))
    ids, bounds = tokenizer.encode_pieces(texts)
    assert np.array_equal(ids, whole.ids)
    assert np.array_equal(bounds, whole.bounds)


@pytest.mark.parametrize("max_length", [None, 6, 12])
def test_offsets_and_words(max_length, tokenizer, theirs, hostile) -> None:
    texts, pairs = hostile[:200], hostile[200:400]
    found = tokenizer.encode_with_offsets(texts, pairs, max_length=max_length)
    expected = theirs(
        texts, pairs, truncation=max_length is not None, max_length=max_length, return_offsets_mapping=True
    )
    assert found.ragged.ids.tolist() == list(chain.from_iterable(expected["input_ids"]))
    special = np.concatenate([expected.encodings[i].special_tokens_mask for i in range(len(texts))]).astype(bool)
    # A [SEP] written in a text is not one of ours: it has characters.
    offsets = np.concatenate([np.array(row).reshape(-1, 2) for row in expected["offset_mapping"]])
    own = np.concatenate([[word is None for word in expected.word_ids(i)] for i in range(len(texts))])
    assert np.array_equal(found.offsets[:, 0] == -1, own)
    assert special[own].all()
    assert np.array_equal(found.offsets[~own], offsets[~own])
    assert (found.offsets[own] == -1).all()
    words = [-1 if word is None else word for i in range(len(texts)) for word in expected.word_ids(i)]
    assert found.words.tolist() == words


def test_offsets_are_of_the_text_as_given(tokenizer) -> None:
    text = "\u200bThe  CAFE\u0301 walked,中国\ud800!"
    pieces = tokenizer.pieces([text])
    tokens = [tokenizer.vocabulary[i] for i in pieces.ids]
    covered = [text[start:end] for start, end in pieces.offsets]
    assert list(zip(tokens, covered, strict=True)) == [
        ("the", "The"),
        ("c", "C"),
        ("##a", "A"),
        ("##f", "F"),
        ("##e", "E"),
        ("walked", "walked"),
        (",", ","),
        ("中", "中"),
        ("国", "国"),
        ("!", "!"),
    ]
    assert pieces.words.tolist() == [0, 1, 1, 1, 1, 2, 3, 4, 5, 6]


def test_pieces_of_words(tokenizer, vocabulary) -> None:
    rows = [["Walked", "un-able", "\u200b", ""], [], ["friendship", "[MASK]", " ", "runs\ud800ing"]]
    reference = WordPiece({token: i for i, token in enumerate(vocabulary)})
    ids, bounds = tokenizer.pieces_of_words(rows)
    expected = [reference.encode(word) or [tokenizer.unk_id] for row in rows for word in row]
    assert [ids[start:end].tolist() for start, end in pairwise(bounds)] == expected
    ids, bounds = tokenizer.pieces_of_words([[], []])
    assert (ids.tolist(), bounds.tolist()) == ([], [0])


def test_tokens_and_decoding(tokenizer, theirs, hostile) -> None:
    assert tokenizer.tokens("The [MASK] walked, unable") == ["the", "[MASK]", "walked", ",", "un", "##able"]
    ragged = tokenizer.encode(hostile[:100])
    for start, end in pairwise(ragged.bounds):
        ids = ragged.ids[start:end]
        assert tokenizer.decode(ids) == theirs._tokenizer.decode(ids.tolist())
        assert tokenizer.decode(ids, skip_special=False) == theirs._tokenizer.decode(
            ids.tolist(), skip_special_tokens=False
        )
    assert tokenizer.decode(tokenizer.encode(["A dog won't run, unable!"]).ids) == "a dog won ' t run, unable!"


def test_surrogates_count_as_the_replacement_character(tokenizer) -> None:
    broken, mended = ["a\ud800 dog", "\udc00", "the cat"], ["a\ufffd dog", "\ufffd", "the cat"]
    assert tokenizer.encode(broken, broken).ids.tolist() == tokenizer.encode(mended, mended).ids.tolist()
    assert tokenizer.pieces(broken).offsets.tolist() == tokenizer.pieces(mended).offsets.tolist()


@pytest.mark.parametrize("wrong", [None, 3.5, ("a", "b"), b"a", ["a"]])
def test_what_is_not_text_is_refused(wrong, tokenizer) -> None:
    for method in (tokenizer.encode, tokenizer.pieces, tokenizer.encode_with_offsets):
        with pytest.raises(TokenizerError, match=f"row 1: {type(wrong).__name__} where a text is expected"):
            method(["a", wrong])


def test_one_string_is_not_a_list_of_texts(tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"write \[text\]"):
        tokenizer.encode("a dog")


def test_strings_of_other_classes_are_texts(tokenizer) -> None:
    texts = np.array(["a dog", "the cat"])
    assert tokenizer.encode(texts).ids.tolist() == tokenizer.encode(["a dog", "the cat"]).ids.tolist()


def test_no_texts_at_all(tokenizer) -> None:
    assert len(tokenizer.encode([])) == 0
    assert len(tokenizer.encode([], [])) == 0
    assert len(tokenizer.encode_with_offsets([], max_length=8).ragged) == 0
