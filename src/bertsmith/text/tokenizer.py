"""The tokenizer: texts and pairs of texts into ragged sequences of ids, and back.

Enters: strings, a vocabulary. Leaves: `Ragged` ids, character offsets, word indices. Knows nothing of tasks and models.

Two fast libraries do the work: `bertsmith.text.bulk` gives ids alone, and `tokenizers` gives offsets too. Both are held
to the readable `bertsmith.text.wordpiece` by the tests. Everything after the ids is numpy over the whole batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import tokenizers
from numpy.typing import NDArray

from bertsmith.errors import TokenizerError
from bertsmith.text.bulk import CHUNK, BulkEncoder, fastest_encoder
from bertsmith.text.join import Truncation, arrange
from bertsmith.text.pieces import Pieces, TokenizedText
from bertsmith.text.ragged import Ragged, bounds_of
from bertsmith.text.recipe import Recipe
from bertsmith.text.recipe_files import read_folder, read_tokenizer_json, write_folder
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP, UNK, check_vocabulary, read_vocabulary

Result = TypeVar("Result")
SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """BERT's WordPiece tokenizer, cased or uncased.

    vocabulary:  tokens by id; ``vocab_size`` their number
    lowercase:   True for an uncased vocabulary
    cls_id, sep_id, pad_id, unk_id, mask_id: ids of the special tokens

    Text is taken as it comes: a lone surrogate (the trace of broken input) counts as U+FFFD, which BERT's cleaning
    removes. Special tokens written in a text, such as ``[MASK]``, are those tokens.
    """

    def __init__(self, recipe: Recipe) -> None:
        json = recipe.json()
        self.recipe = recipe
        self.vocabulary: list[str] = list(recipe.vocabulary)
        self.vocab_size = len(self.vocabulary)
        self.lowercase = recipe.lowercase
        self._ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self._ids[token] for token in (PAD, UNK, CLS, SEP, MASK)
        )
        self._tokenizer = tokenizers.Tokenizer.from_str(json)
        self._bulk: BulkEncoder = fastest_encoder(json)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that determines the tokens; the same fingerprint, the same output."""
        return self.recipe.fingerprint()

    @classmethod
    def from_folder(cls, path: str | Path) -> Tokenizer:
        """The tokenizer of a folder: ``tokenizer.json``, else ``vocab.txt`` and what stands beside it."""
        return cls(read_folder(path))

    @classmethod
    def from_file(cls, path: str | Path) -> Tokenizer:
        """The tokenizer of a ``tokenizer.json``; truncation and padding written there are not applied."""
        return cls(read_tokenizer_json(path))

    @classmethod
    def from_vocabulary(
        cls,
        vocabulary: str | Path | Sequence[str],
        lowercase: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ) -> Tokenizer:
        """The tokenizer of a ``vocab.txt`` or of a list of tokens by id."""
        if isinstance(vocabulary, str | Path):
            tokens = read_vocabulary(vocabulary)
        else:
            tokens = check_vocabulary(vocabulary)
        return cls(
            Recipe.of_vocabulary(
                tokens,
                lowercase=lowercase,
                strip_accents=strip_accents,
                tokenize_chinese_chars=tokenize_chinese_chars,
            )
        )

    def save(self, folder: str | Path, *, max_length: int = 512) -> None:
        """Write the tokenizer's files as transformers reads them; ``max_length`` is its ``model_max_length``."""
        write_folder(self.recipe, folder, max_length=max_length)

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> Ragged:
        """``[CLS] text [SEP]``, or ``[CLS] text [SEP] pair [SEP]``, for every text.

        At most ``max_length`` tokens each, special tokens included, cut as `bertsmith.text.join.arrange` says;
        `Ragged.cut` counts what was cut.
        """
        first = self.encode_pieces(texts)
        second = (None, None) if pairs is None else self.encode_pieces(pairs)
        return self.build(*first, *second, max_length=max_length, truncation=truncation)

    def build(
        self,
        ids_a: NDArray[np.int32],
        bounds_a: NDArray[np.int64],
        ids_b: NDArray[np.int32] | None = None,
        bounds_b: NDArray[np.int64] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> Ragged:
        """Sequences from pieces already made: flat ids (N,) and bounds (S+1,) of the first and the second texts."""
        layout = arrange(bounds_a, bounds_b, max_length=max_length, truncation=truncation)
        return layout.ragged(ids_a, ids_b, self.cls_id, self.sep_id)

    def encode_pieces(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids (N,) of all texts end to end, without special tokens and whole, and the bounds (S+1,) of each text."""
        return on_plain_strings(self._bulk.encode, texts)

    def pieces_of_words(self, rows: Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids (N,) of the pieces of all words of all rows, and the bounds (W+1,) of each word's pieces.

        Every word is tokenized as a text of its own. One that cleans to nothing is [UNK], so that every word has a
        piece.
        """
        ids, bounds = self.encode_pieces(list(chain.from_iterable(rows)))
        lengths = np.diff(bounds)
        ids = np.insert(ids, bounds[:-1][lengths == 0], self.unk_id)
        return ids, bounds_of(np.maximum(lengths, 1))

    def pieces(self, texts: Sequence[str]) -> Pieces:
        """The pieces of every text with their offsets and words, for tasks that build their own sequences."""
        return on_plain_strings(self._pieces, texts)

    def _pieces(self, texts: list[str]) -> Pieces:
        ids, offsets, words, lengths = [], [], [], []
        for start in range(0, len(texts), CHUNK):
            rows = self._tokenizer.encode_batch(texts[start : start + CHUNK], add_special_tokens=False)
            lengths += [len(row) for row in rows]
            ids.append(np.fromiter(chain.from_iterable(row.ids for row in rows), np.int32))
            ends = chain.from_iterable(chain.from_iterable(row.offsets for row in rows))
            offsets.append(np.fromiter(ends, np.int32).reshape(-1, 2))
            words.append(np.fromiter(chain.from_iterable(row.word_ids for row in rows), np.int32))
        if not texts:
            return Pieces(np.empty(0, np.int32), bounds_of([]), np.empty((0, 2), np.int32), np.empty(0, np.int32))
        return Pieces(np.concatenate(ids), bounds_of(lengths), np.concatenate(offsets), np.concatenate(words))

    def encode_with_offsets(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> TokenizedText:
        """As `encode`, with the characters and the word of every token.

        >>> tokenizer.encode_with_offsets(["unable"]).offsets.tolist()                  # doctest: +SKIP
        [[-1, -1], [0, 2], [2, 6], [-1, -1]]
        """
        first = self.pieces(texts)
        second = None if pairs is None else self.pieces(pairs)
        layout = arrange(
            first.bounds,
            None if second is None else second.bounds,
            max_length=max_length,
            truncation=truncation,
        )
        ids, offsets, words = (None, None, None) if second is None else (second.ids, second.offsets, second.words)
        return TokenizedText(
            ragged=layout.ragged(first.ids, ids, self.cls_id, self.sep_id),
            offsets=layout.pour(first.offsets, offsets, -1),
            words=layout.pour(first.words, words, -1),
        )

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text, without [CLS] and [SEP]."""
        ids, _ = self.encode_pieces([text])
        return [self.vocabulary[i] for i in ids]

    def decode(self, ids: Sequence[int] | NDArray[np.integer], *, skip_special: bool = True) -> str:
        """Text of ids: pieces joined, spaces before punctuation taken out, as the `tokenizers` library does.

        Case, accents and the original spacing are lost for good.
        """
        text: str = self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=skip_special)
        return text

    def id_of(self, token: str) -> int:
        """The id of a token; `TokenizerError` if the vocabulary does not have it."""
        try:
            return self._ids[token]
        except KeyError:
            raise TokenizerError(f"the token {token!r} is not among the vocabulary's {self.vocab_size}") from None


def on_plain_strings(run: Callable[[list[str]], Result], texts: Sequence[str]) -> Result:
    """``run`` on ``texts`` as plain strings that UTF-8 can hold.

    Lone surrogates become U+FFFD, one character for one, so that offsets hold. Looking for them in every text costs
    more than tokenizing it, so they are looked for only after the library refused the texts. Raises `TokenizerError`
    for anything that is not a string.
    """
    if isinstance(texts, str):
        raise TokenizerError("one string where a list of texts is expected; write [text]")
    if set(map(type, texts)) - {str}:
        texts = [plain_string(text, row) for row, text in enumerate(texts)]
    texts = list(texts)
    try:
        return run(texts)
    except (UnicodeEncodeError, TypeError):
        return run([SURROGATES.sub("\ufffd", text) for text in texts])


def plain_string(text: object, row: int) -> str:
    """``text`` as a plain ``str``, from a subclass of it too."""
    if not isinstance(text, str):
        raise TokenizerError(f"row {row}: {type(text).__name__} where a text is expected ({text!r:.40})")
    return str(text)
