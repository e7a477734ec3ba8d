from __future__ import annotations

import random

import numpy as np
import pytest

from bertsmith.corpus.cleaning import (
    BANDS,
    NUM_KEYS,
    RECENT,
    ROWS,
    RUN,
    CleaningOptions,
    Duplicates,
    SeenKeys,
    band_keys,
    document_keys,
    run_hashes,
)
from bertsmith.errors import SettingsError

WORDS = [
    f"{first}{second}{third}" for first in "bdfglm" for second in ("an", "ost", "eri") for third in ("", "ko", "le")
]


def text(seed: int, length: int = 400) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def kept(duplicates: Duplicates, texts: list[str]) -> list[bool]:
    """Which of the texts repeat none before."""
    seen, found = SeenKeys(), []
    for one in texts:
        keys = document_keys(one, duplicates)
        assert keys.shape == (NUM_KEYS[duplicates],)
        found.append(not seen.has_any(keys))
        if found[-1]:
            seen.add(keys)
    return found


def test_exact_duplicates_are_found() -> None:
    texts = ["One.", "Two.", "One.", "one."]
    assert kept("exact", texts) == [True, True, False, True]
    assert kept("keep", texts) == [True] * 4


def test_near_duplicates_are_found() -> None:
    first = text(0)
    near = first.replace(WORDS[0], WORDS[0], 1).upper().replace(" ", ", ", 50) + " one more word"
    found = kept("near", [first, near, text(1), "One.", "One.", "Two."])
    assert found == [True, False, True, True, False, True]


def test_near_duplicates_in_chinese() -> None:
    first = "".join(random.Random(0).choices("天地人你我他这那有无大小来去上下左右东西", k=200))
    assert kept("near", [first, first[:-5], first[::-1]]) == [True, False, True]


def test_hashes_are_of_the_runs_of_letters() -> None:
    one = "It rained -- all day LONG, in the 2 towns."
    letters = "itrainedalldaylonginthe2towns"
    runs = [letters[start : start + RUN] for start in range(len(letters) - RUN + 1)]
    assert run_hashes(one).tolist() == [int(run_hashes(run)[0]) for run in runs]
    assert len(run_hashes(letters[: RUN - 1])) == 0


def test_bands_find_near_texts_as_often_as_they_should() -> None:
    """Against the share of runs that two texts have in common, and the formula for bands of rows (Leskovec et al.,
    3.4.2)."""
    generator = random.Random(0)
    for num_changed, low, high in ((2, 0.95, 1.0), (6, 0.3, 0.75), (60, 0.0, 0.05)):
        found, expected = [], []
        for seed in range(100):
            words = text(seed).split()
            for place in generator.sample(range(len(words)), num_changed):
                words[place] = f"changed{place}"
            one, two = text(seed), " ".join(words)
            runs, others = (set(run_hashes(each).tolist()) for each in (one, two))
            share = len(runs & others) / len(runs | others)
            expected.append(1 - (1 - share**ROWS) ** BANDS)
            found.append(bool(np.isin(band_keys(one), band_keys(two)).any()))
        assert low <= np.mean(found) <= high
        assert abs(np.mean(found) - np.mean(expected)) < 0.12  # three standard deviations of a hundred texts


def test_seen_keys_are_a_set_of_8_bytes_a_key() -> None:
    generator = np.random.default_rng(0)
    keys = generator.integers(0, 1 << 64, 4 * RECENT + 100, dtype=np.uint64)
    seen = SeenKeys()
    for start in range(0, len(keys), 60):
        chunk = keys[start : start + 60]
        assert not seen.has_any(chunk)
        seen.add(chunk)
    assert all(seen.has_any(keys[place : place + 1]) for place in range(0, len(keys), 97))
    assert not seen.has_any(keys + np.uint64(1))
    again = SeenKeys(keys)
    assert all(again.has_any(keys[place : place + 1]) for place in range(0, len(keys), 97))
    assert not again.has_any(keys + np.uint64(1))
    assert sum(run.nbytes for run in seen._runs) <= 8 * len(keys)
    assert len(seen._runs) < 4


def test_wrong_options_are_refused() -> None:
    with pytest.raises(SettingsError, match="--duplicates all: unknown; keep, exact or near"):
        CleaningOptions(duplicates="all")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="--min-characters -1: negative"):
        CleaningOptions(min_characters=-1)
