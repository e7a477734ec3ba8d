"""A small tokenizer that every test here shares: letters, digits, punctuation and a few whole words."""

from __future__ import annotations

import string

import pytest

from bertsmith.text import Tokenizer

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "a",
    "dog",
    "ran",
    "in",
    "park",
    "good",
    "bad",
    "john",
    "smith",
    "lives",
    "new",
    "york",
    "said",
    "it",
    "is",
    "was",
    "of",
    "to",
    "and",
]
CHARACTERS = [*string.ascii_lowercase, *string.digits]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *CHARACTERS])]
    vocabulary += ["##" + char for char in CHARACTERS] + list(string.punctuation)
    return Tokenizer.from_vocabulary(vocabulary)
