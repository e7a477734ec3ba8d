"""Blocks: the tokens of every sentence, and a chance for every document."""

from __future__ import annotations

import string

import numpy as np

from bertsmith.corpus.blocks import TOKENLESS, BlockEncoder
from bertsmith.corpus.cleaning import BANDS, SHORT, CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.text import Tokenizer

TOKENIZER = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "."])


def documents(*rows: list[str]) -> list[Document]:
    """Documents of sentences."""
    return [Document(texts, True, f"line {number}") for number, texts in enumerate(rows)]


def test_sentences_and_documents_without_tokens_are_left_out() -> None:
    block = documents(["a b", "\u200b", "c"], ["\u200b", "\u00ad"], ["d e f"], [])
    encoded = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions()).encode(block)
    words = [TOKENIZER.vocabulary[one] for one in encoded.shard.ids]
    assert words == list("abcdef")
    assert encoded.shard.sentences.tolist() == [0, 2, 3, 6]
    assert encoded.shard.documents.tolist() == [0, 2, 3]
    assert encoded.shard.ids.dtype == np.uint16
    assert encoded.sizes.tolist() == [len("a b\n\u200b\nc".encode()), len("d e f")]
    assert encoded.dropped == {TOKENLESS: 2, SHORT: 0}
    assert (encoded.chances.shape, encoded.keys.shape) == ((2,), (2, 0))


def test_a_block_without_documents_has_none() -> None:
    encoded = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions(duplicates="near")).encode([])
    assert (len(encoded.shard), len(encoded.shard.ids), len(encoded.sizes)) == (0, 0, 0)
    assert encoded.keys.shape == (0, BANDS)


def test_short_documents_are_left_out() -> None:
    block = documents(["a b", "c"], ["abc d"], ["\u200b" * 9])
    encoded = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions(min_characters=5)).encode(block)
    assert encoded.sizes.tolist() == [5]
    assert encoded.dropped == {TOKENLESS: 1, SHORT: 1}


def test_keys_are_of_the_documents_that_are_left() -> None:
    text = "It was the best of times, it was the worst of times, it was the age of wisdom."
    block = documents(["a"], ["\u200b"], [text], [text.upper()], ["a"])
    exact = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions(duplicates="exact")).encode(block).keys
    near = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions(duplicates="near")).encode(block).keys
    assert (exact.shape, near.shape) == ((4, 1), (4, BANDS))
    assert len(np.unique(exact)) == 3
    assert near[1].tolist() == near[2].tolist()
    assert set(near[0]) == set(near[3]) == set(exact[0])  # too short for a run of letters


def test_the_chance_of_a_document_is_its_texts_alone() -> None:
    texts = [[f"{one} {other}"] for one in string.ascii_lowercase for other in string.ascii_lowercase]
    encoder = BlockEncoder(TOKENIZER.recipe, "auto", CleaningOptions())
    chances = encoder.encode(documents(*texts)).chances
    assert encoder.encode(documents(*texts[::-1])).chances.tolist() == chances[::-1].tolist()
    assert abs(np.mean(chances < 0.25) - 0.25) < 0.06  # of 676: four standard deviations
    assert len(set(chances)) == len(texts)
