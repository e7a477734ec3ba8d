"""Blocks of documents to rows of tokens.

Enters: some documents. Leaves: their token ids, and what is needed to tell them from others and to set some apart.
Knows nothing of where documents come from and where tokens go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.cleaning import NUM_KEYS, SHORT, CleaningOptions, Keys, document_keys, exact_key
from bertsmith.corpus.documents import Document
from bertsmith.corpus.sentences import split_sentences
from bertsmith.corpus.shards import Shard, id_type
from bertsmith.text import Tokenizer
from bertsmith.text.ragged import bounds_of
from bertsmith.text.recipe import Recipe

TOKENLESS = "documents without a token"


@dataclass(frozen=True, eq=False)
class EncodedBlock:
    """The D documents of a block that are long enough and have tokens.

    shard:   their tokens
    sizes:   (D,) int64, UTF-8 bytes of their text
    chances: (D,) float64 in [0, 1), from the text of a document alone: the same text, the same chance
    keys:    (D, K) uint64; documents that share one say the same. K is 0 where that does not matter
    dropped: how many documents were left out, by plain words
    """

    shard: Shard
    sizes: NDArray[np.int64]
    chances: NDArray[np.float64]
    keys: Keys
    dropped: Counter[str]


class BlockEncoder:
    """Splits documents into sentences and tokenizes them.

    language: as `split_sentences` takes it
    """

    def __init__(self, recipe: Recipe, language: str, cleaning: CleaningOptions) -> None:
        self._tokenizer = Tokenizer(recipe)
        self._language = language
        self._cleaning = cleaning
        self._type: type[Any] = id_type(self._tokenizer.vocab_size)

    def encode(self, block: list[Document]) -> EncodedBlock:
        """The tokens of a block. Sentences without tokens are left out."""
        long = [one for one in block if sum(map(len, one.texts)) >= self._cleaning.min_characters]
        shard, kept = self._tokenize(long)
        texts = ["\n".join(document.texts) for document, has_tokens in zip(long, kept, strict=True) if has_tokens]
        duplicates = self._cleaning.duplicates
        keys = np.array([document_keys(text, duplicates) for text in texts], np.uint64)
        exact = np.array([exact_key(text)[0] for text in texts], np.uint64)
        return EncodedBlock(
            shard,
            np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], np.int64),
            (exact >> np.uint64(11)) / 2**53,
            keys.reshape(len(texts), NUM_KEYS[duplicates]),
            Counter({SHORT: len(block) - len(long), TOKENLESS: len(long) - len(texts)}),
        )

    def _tokenize(self, block: list[Document]) -> tuple[Shard, NDArray[np.bool_]]:
        """The documents that have tokens, and which ones they are."""
        sentences: list[str] = []
        counts = []  # sentences of a document
        for document in block:
            found = document.texts if document.split else split_sentences(document.texts, self._language)
            sentences += found
            counts.append(len(found))
        ids, bounds = self._tokenizer.encode_pieces(sentences)
        lengths = np.diff(bounds)
        # (D+1,), how many sentences with tokens lie before each document
        filled = bounds_of((lengths > 0).astype(np.int64))[bounds_of(counts)]
        kept = np.diff(filled) > 0
        documents = np.append(filled[:-1][kept], filled[-1])
        return Shard(ids.astype(self._type), bounds_of(lengths[lengths > 0]), documents), kept
