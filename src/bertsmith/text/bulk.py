"""Token ids of many texts at once, by the fastest library there is.

Enters: texts and a ``tokenizer.json`` as a string. Leaves: one flat array of ids and the bounds of its rows, without
special tokens. Knows nothing of pairs, truncation or offsets.

`nanotoken` (extra `fast`) is used where it is installed. It is young, so the tests hold it to `tokenizers` character by
character, and everything works without it.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray

from bertsmith.text.ragged import bounds_of

nanotoken: Any
try:
    import nanotoken

    nanotoken.set_cache_entries(1 << 16)  # for each thread 20 MB; its own 1 << 20 take 150, and are no faster
except ImportError:  # the extra `fast` is not installed
    nanotoken = None

CHUNK = 4096  # texts whose token objects are alive at once: `tokenizers` takes some 150 bytes a token for them


class BulkEncoder(Protocol):
    """Gives the ids of many texts, without special tokens around them."""

    def encode(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids (N,) of all texts end to end, and the bounds (S+1,) of each text's ids."""


class NanotokenEncoder:
    """The bulk encoder on top of `nanotoken`."""

    def __init__(self, json: str) -> None:
        self._tokenizer = nanotoken.Tokenizer.from_json(json)

    def encode(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See `BulkEncoder`."""
        rows = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return rows.ids.view(np.int32), rows.offsets


class TokenizersEncoder:
    """The bulk encoder on top of `tokenizers`."""

    def __init__(self, json: str) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_str(json)

    def encode(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See `BulkEncoder`."""
        ids, lengths = [np.empty(0, np.int32)], []
        for start in range(0, len(texts), CHUNK):
            rows = self._tokenizer.encode_batch_fast(texts[start : start + CHUNK], add_special_tokens=False)
            lengths += [len(row) for row in rows]
            ids.append(np.fromiter(chain.from_iterable(row.ids for row in rows), np.int32))
        return np.concatenate(ids), bounds_of(lengths)


def fastest_encoder(json: str) -> BulkEncoder:
    """The fastest bulk encoder installed, of this ``tokenizer.json``."""
    if nanotoken is not None:
        try:
            return NanotokenEncoder(json)
        except nanotoken.UnsupportedTokenizerError:  # such as added tokens of a kind it does not know
            pass
    return TokenizersEncoder(json)
