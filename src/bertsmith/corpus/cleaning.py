"""Documents that say nothing new: too short, or the same as an earlier one, or nearly.

Enters: texts of documents. Leaves: keys, of which texts that say the same share one, and a memory of keys, of 8 bytes
for a document, or 48 when near duplicates are sought, whatever its length. Knows nothing of files or tokens.

Near duplicates are found by MinHash (Broder 1997, "On the resemblance and containment of documents") in bands
(Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4), its signatures made by one permutation (Li, Owen
and Zhang 2012, "One permutation hashing") and filled by rotation (Shrivastava and Li 2014).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.randomness import words
from bertsmith.errors import SettingsError

Keys = NDArray[np.uint64]

BANDS, ROWS = 6, 10  # finds 99 % of the documents that share 95 % of their runs, half at 80 %, 1 % at 50 %
RUN, CJK_RUN = 24, 8  # letters: about five words of English; about as much in Chinese
FIRST_CJK = 0x3040
RECENT = 1 << 16  # keys that wait to be sorted

Duplicates = Literal["keep", "exact", "near"]
NUM_KEYS: dict[Duplicates, int] = {"keep": 0, "exact": 1, "near": BANDS}

SHORT = "documents too short"
DUPLICATES = "documents that repeat an earlier one"
NEAR_DUPLICATES = "documents that nearly repeat an earlier one"

_BASE = np.uint64(0x9E3779B97F4A7C15)
_IS_LETTER = np.array([chr(point).isalnum() for point in range(FIRST_CJK)])


@dataclass(frozen=True)
class CleaningOptions:
    """What documents are left out of a corpus."""

    duplicates: Duplicates = "keep"
    """Documents that repeat an earlier one: keep, or drop those of exactly its text, or also of nearly its letters."""
    min_characters: int = 0
    """Drop documents of fewer characters."""

    def __post_init__(self) -> None:
        if self.duplicates not in NUM_KEYS:
            raise SettingsError(f"--duplicates {self.duplicates}: unknown; keep, exact or near")
        if self.min_characters < 0:
            raise SettingsError(f"--min-characters {self.min_characters}: negative; 0 keeps documents of any length")


class SeenKeys:
    """A set of 64-bit keys, 8 bytes each: sorted runs, each twice as long as the next or longer, and some unsorted."""

    def __init__(self, keys: Keys | None = None) -> None:
        self._runs: list[Keys] = [] if keys is None or not len(keys) else [np.sort(keys)]
        self._recent: set[int] = set()

    def has_any(self, keys: Keys) -> bool:
        """Whether any of the keys is in the set."""
        if not self._recent.isdisjoint(keys.tolist()):
            return True
        return any(bool((run[np.searchsorted(run[:-1], keys)] == keys).any()) for run in self._runs)

    def add(self, keys: Keys) -> None:
        """Put keys into the set."""
        self._recent.update(keys.tolist())
        if len(self._recent) < RECENT:
            return
        run = np.sort(np.fromiter(self._recent, np.uint64, len(self._recent)))
        self._recent.clear()
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate((self._runs.pop(), run))
            run.sort()
        self._runs.append(run)


def document_keys(text: str, duplicates: Duplicates) -> Keys:
    """(`NUM_KEYS`,) keys of the text of a document; one that repeats another shares one or more of them."""
    if duplicates == "keep":
        return np.empty(0, np.uint64)
    keys = exact_key(text) if duplicates == "exact" else band_keys(text)
    return np.broadcast_to(keys, NUM_KEYS[duplicates])


def exact_key(text: str) -> Keys:
    """(1,) A key of the text as it is."""
    return np.frombuffer(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), np.uint64)


def band_keys(text: str) -> Keys:
    """(BANDS,) keys of a text, of which two nearly equal texts share one or more; or its exact key, when it has too few
    letters for one run."""
    runs = run_hashes(text)
    if not len(runs):
        return exact_key(text)
    signature = min_hashes(runs, BANDS * ROWS).reshape(BANDS, ROWS)
    with np.errstate(over="ignore"):
        return words((signature * words(1, np.arange(ROWS))).sum(axis=1, dtype=np.uint64), np.arange(BANDS))


def run_hashes(text: str) -> Keys:
    """A hash of each run of `RUN` letters or digits of a text, case and all between them aside.

    >>> run_hashes("It rained, all day long in Oslo.") == run_hashes("it rained all day long in OSLO")
    array([ True])
    """
    points = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)
    low = points < FIRST_CJK
    kept: Keys = points[~low | _IS_LETTER[np.where(low, points, 0)]].astype(np.uint64)
    length = CJK_RUN if np.count_nonzero(~low) > len(kept) // 5 else RUN
    if len(kept) < length:
        return kept[:0]
    hashes: Keys = words(kept, 0)
    with np.errstate(over="ignore"):
        reach, factor = 1, _BASE  # hashes are of runs of `reach` letters; factor is the base to that power
        while reach < 8:
            hashes = hashes[:-reach] * factor + hashes[reach:]
            reach, factor = 2 * reach, factor * factor
        eights = hashes
        for start in range(8, length, 8):
            ahead = eights[start:]
            hashes = hashes[: len(ahead)] * factor + ahead
    return words(hashes, 0)


def min_hashes(hashes: Keys, size: int) -> Keys:
    """(size,) The least hash in each of ``size`` equal ranges; of an empty range, that of the next one that is not."""
    hashes = np.sort(hashes)
    width = np.uint64((1 << 64) // size)
    bins = np.minimum(hashes // width, np.uint64(size - 1))
    filled, first = np.unique(bins, return_index=True)
    following = np.searchsorted(filled, np.arange(size, dtype=np.uint64))
    distance = np.where(following < len(filled), 0, size).astype(np.int64)
    following %= len(filled)
    distance += filled[following].astype(np.int64) - np.arange(size)
    return words(hashes[first[following]], distance)
