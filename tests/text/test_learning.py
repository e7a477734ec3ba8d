"""Vocabularies learnt from text, against a slow learner that anyone can read, and against the published files."""

from __future__ import annotations

import bz2
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from bertsmith.errors import DataError, SettingsError
from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.learning import Learned, bpe_json, learn_vocabulary, reserved_tokens
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import read_vocabulary
from bertsmith.text.wordpiece import WordPiece, split_words

TEXTS = [
    "The cat sat on the mat, the cats sat on the mats.",
    "Walking, walked, walks: a walker walks where walkers walked.",
    "Café naïve ΣΟΦΌΣ İstanbul straße STRASSE — don't!",
    "中文是中国的文字 日本語カタカナ 한국어 2015 10 3.14",
]


def slow_learner(texts: list[str], fixed: list[str], size: int, min_frequency: int) -> Learned:
    """Byte-pair encoding as Sennrich et al. 2016 (section 3.2) define it, on words whose pieces are numbered.

    Of the pairs that occur most often, the one whose first piece, then second piece, has the lowest id.
    """
    reference = WordPiece({token: i for i, token in enumerate(fixed)})
    counts = Counter(word for text in texts for word in split_words(reference.normalize(text)))
    words = {word: [word[0], *("##" + char for char in word[1:])] for word in counts}
    tokens, merges = list(fixed), []
    while len(tokens) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs or max(pairs.values()) < min_frequency:
            break
        first, second = min(pairs, key=lambda pair: (-pairs[pair], tokens.index(pair[0]), tokens.index(pair[1])))
        joined = first + second.removeprefix("##")
        merges.append((first, second))
        tokens += [joined] if joined not in tokens else []
        for pieces in words.values():
            join(pieces, first, second)
    return Learned(tokens, merges)


def join(pieces: list[str], first: str, second: str) -> None:
    """Make one piece of each ``first`` with ``second`` behind it, from left to right."""
    place = 0
    while place + 1 < len(pieces):
        if pieces[place : place + 2] == [first, second]:
            pieces[place : place + 2] = [first + second.removeprefix("##")]
        place += 1


def random_words(letters: str, number: int) -> str:
    """Words in which nearly every pair of pieces is as frequent as another."""
    rng = random.Random(5)
    return " ".join("".join(rng.choice(letters) for _ in range(rng.randint(1, 9))) for _ in range(number))


@pytest.mark.parametrize("min_frequency", [1, 2, 3])
@pytest.mark.parametrize("texts", [TEXTS, [random_words("abc", 150)]], ids=["prose", "ties"])
def test_the_slow_learner_chooses_the_same(texts: list[str], min_frequency: int) -> None:
    complete = learn_vocabulary(texts, size=5000, unused=3, coverage=1, min_frequency=min_frequency)
    alphabet = len(complete.tokens) - len(complete.merges)
    for size in (alphabet, alphabet + 1, alphabet + 30, 5000):
        found = learn_vocabulary(texts, size=size, unused=3, coverage=1, min_frequency=min_frequency)
        expected = slow_learner(texts, complete.tokens[:alphabet], size, min_frequency)
        assert found == expected
        assert len(found.tokens) == min(size, len(complete.tokens))


def test_the_same_texts_have_the_same_vocabulary() -> None:
    """`tokenizers` left alone numbers "##a", "##b", ... anew on each run, and ties go by number."""
    texts = [random_words("abcdef", 3000)]
    found = [learn_vocabulary(texts, size=600, unused=0) for _ in range(6)]
    assert all(one == found[0] for one in found)


def test_special_and_unused_tokens_are_where_the_published_files_have_them(published: Callable[[str], Path]) -> None:
    assert reserved_tokens(994) == read_vocabulary(published("uncased"))[:999]
    assert reserved_tokens(99)[100:] == ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert learn_vocabulary(TEXTS, size=1200, unused=994).tokens[:999] == reserved_tokens(994)


def test_characters() -> None:
    """As the tokenizer will see them; "##" only for those that can stand within a word; the rare ones left out."""
    uncased = learn_vocabulary(TEXTS, size=400, unused=0, coverage=1).tokens
    cased = learn_vocabulary(TEXTS, size=400, unused=0, coverage=1, lowercase=False).tokens
    assert {"c", "##e", "σ", "##σ", "ß", "##ß", "中", "カ", "##カ", ",", "—", "1", "##0"} <= set(uncased)
    assert not {"C", "é", "##é", "Σ", "##中", "##,", "##—", " ", "## "} & set(uncased)
    assert {"C", "##é", "Σ", "İ"} <= set(cased)
    assert set("aabbbc") & set(learn_vocabulary(["aaa bbb aab c"], size=20, unused=0, coverage=0.9).tokens) == {
        "a",
        "b",
    }
    for tokens, lowercase in ((uncased, True), (cased, False)):
        tokenizer = Tokenizer.from_vocabulary(tokens, lowercase)
        assert tokenizer.unk_id not in tokenizer.encode_pieces(TEXTS)[0]


def test_what_no_tokenizer_sees_is_not_learnt() -> None:
    """Lone surrogates, controls, and marks that stand alone."""
    texts = ["\ud800 the\x00 cat\ufeff \u0301\u0302", "the cat\ude00"]
    assert (
        learn_vocabulary(texts, size=40, unused=0).tokens == learn_vocabulary(["the cat"] * 2, size=40, unused=0).tokens
    )


def test_texts_may_be_read_from_files_but_twice() -> None:
    class Lines:
        def __iter__(self) -> Iterator[str]:
            yield from TEXTS

    assert learn_vocabulary(Lines(), size=400) == learn_vocabulary(TEXTS, size=400)
    with pytest.raises(TypeError, match="read twice"):
        learn_vocabulary(iter(TEXTS), size=400)


@pytest.mark.parametrize("texts", [[], ["", " \n"], ["\x00\u200b"]])
def test_nothing_to_learn_from(texts: list[str]) -> None:
    with pytest.raises(DataError, match="no words"):
        learn_vocabulary(texts)


def test_a_size_that_cannot_hold_the_characters() -> None:
    with pytest.raises(SettingsError, match="need 108; give more") as caught:
        learn_vocabulary(["ab"], size=107)
    assert "\n" not in str(caught.value)
    assert learn_vocabulary(["ab"], size=108).tokens[-4:] == ["a", "b", "##a", "##b"]


def test_bpe_merges_in_the_order_learnt() -> None:
    """The library, given the merges, against making them one after another; and special tokens as ever."""
    words = random_words("abcd", 400).split()
    learned = learn_vocabulary([" ".join(words)], size=150, unused=0)
    plain = Tokenizer.from_vocabulary(learned.tokens)
    json = bpe_json(plain.recipe, learned.merges)
    ids, bounds = TokenizersEncoder(json).encode(words)
    longest, _ = plain.encode_pieces(words)
    for row, word in enumerate(words):
        pieces = [word[0], *("##" + char for char in word[1:])]
        for first, second in learned.merges:
            join(pieces, first, second)
        assert [learned.tokens[i] for i in ids[bounds[row] : bounds[row + 1]]] == pieces
    assert not np.array_equal(ids, longest)
    pair = tokenizers.Tokenizer.from_str(json).encode("ABBA [MASK]", "z")
    assert [pair.tokens[0], *pair.tokens[-4:]] == ["[CLS]", "[MASK]", "[SEP]", "[UNK]", "[SEP]"]
    assert pair.type_ids[-3:] == [0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lowercase", "unused"), [("uncased", True, 994), ("cased", False, 101)])
def test_no_more_tokens_than_the_published_vocabulary(
    name: str, lowercase: bool, unused: int, shared_data: Callable[[str], Path], published: Callable[[str], Path]
) -> None:
    """Of the same size, with as many unused tokens, on the same kind of text; and hardly more unknown words."""
    files = sorted(shared_data("enwiki").rglob("*.bz2"))
    held_out = paragraphs(files[7::97])
    theirs = Tokenizer.from_vocabulary(published(name), lowercase)
    learned = learn_vocabulary(paragraphs(files[::10]), size=theirs.vocab_size, lowercase=lowercase, unused=unused)
    ours = Tokenizer.from_vocabulary(learned.tokens, lowercase)
    assert ours.vocab_size == theirs.vocab_size
    found, _ = ours.encode_pieces(held_out)
    expected, _ = theirs.encode_pieces(held_out)
    assert len(found) <= len(expected)
    assert np.mean(found == ours.unk_id) < 0.0002 + np.mean(expected == theirs.unk_id)


def paragraphs(files: list[Path]) -> list[str]:
    """The lines of files of WikiExtractor that are text."""
    lines = (line for file in files for line in bz2.decompress(file.read_bytes()).decode("utf-8").split("\n"))
    return [line for line in lines if line and not line.startswith(("<doc", "</doc"))]
