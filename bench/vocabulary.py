"""How the choice of merges decides a vocabulary: tokens that each needs for the same held-out text.

    python bench/vocabulary.py [--data ../shared/data] [--size 8000] [--every 40]

From every 40th file of English Wikipedia and the same characters, four ways to the same number of tokens: the most
frequent pair (what `bertsmith vocab` does), put to use as WordPiece and as BPE; the pair that raises the likelihood of
the text most (WordPiece as Schuster & Nakajima 2012 describe it, with a unigram model); and the pair of the highest
count(ab) / (count(a) count(b)), which is often given for it. Ends with a table in Markdown; the last two learners are
the plain loop below, the first is the library's.
"""

from __future__ import annotations

import argparse
import bz2
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from bertsmith.text import Tokenizer
from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.learning import bpe_json, learn_vocabulary, reserved_tokens

MIN_FREQUENCY = 5
SHOWN = ("unbelievable", "reconstruction", "amphitheatre", "walking")

Floats = NDArray[np.float64]
Gain = Callable[[Floats, Floats, Floats, float], Floats]  # of a pair: its count, those of its pieces, that of all


def likelihood(pair: Floats, first: Floats, second: Floats, total: float) -> Floats:
    """What the log-likelihood of the text, pieces drawn independently, gains if every such pair becomes one piece."""

    def part(count: Floats | float) -> Floats:
        return count * np.log(np.maximum(count, 1))

    left, right = np.maximum(first - pair, 0), np.maximum(second - pair, 0)  # a pair "aa" may overlap with itself
    return part(pair) + part(left) + part(right) - part(first) - part(second) - part(total - pair) + part(total)


def association(pair: Floats, first: Floats, second: Floats, total: float) -> Floats:
    """How much more often the two meet than chance would have it."""
    return pair / (first * second)


def learn(counts: Counter[str], fixed: Sequence[str], size: int, gain: Gain) -> list[str]:
    """Join the pair of the highest gain until there are ``size`` tokens; ``counts`` are those of the words."""
    tokens = list(fixed)
    ids = {token: number for number, token in enumerate(tokens)}
    spelled = {word: [word[0], *("##" + char for char in word[1:])] for word in counts}
    known = [word for word in counts if all(piece in ids for piece in spelled[word])]
    words = [[ids[piece] for piece in spelled[word]] for word in known]
    times = [counts[word] for word in known]

    pieces = np.zeros(size)
    numbers: dict[tuple[int, int], int] = {}
    pairs, first, second = np.zeros(1 << 20), np.zeros(1 << 20, np.int64), np.zeros(1 << 20, np.int64)
    places: defaultdict[int, set[int]] = defaultdict(set)

    def note(word: int, sign: int) -> None:
        found = words[word]
        for piece in found:
            pieces[piece] += sign * times[word]
        for pair in pairwise(found):
            number = numbers.setdefault(pair, len(numbers))
            first[number], second[number] = pair
            pairs[number] += sign * times[word]
            places[number].add(word)

    for word in range(len(words)):
        note(word, 1)
    while len(tokens) < size:
        live = np.flatnonzero(pairs >= MIN_FREQUENCY)
        if not len(live):
            break
        gains = gain(pairs[live], pieces[first[live]], pieces[second[live]], float(pieces.sum()))
        best = int(live[np.argmax(gains)])
        a, b = int(first[best]), int(second[best])
        token = tokens[a] + tokens[b].removeprefix("##")
        number = ids.setdefault(token, len(tokens))
        tokens += [token] if number == len(tokens) else []
        for word in places.pop(best):
            note(word, -1)
            words[word] = joined(words[word], a, b, number)
            note(word, 1)
    return tokens


def joined(word: list[int], a: int, b: int, number: int) -> list[int]:
    """``word`` with every ``a b`` as ``number``."""
    pieces: list[int] = []
    for piece in word:
        if piece == b and pieces and pieces[-1] == a:
            pieces[-1] = number
        else:
            pieces.append(piece)
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--every", type=int, default=40)
    given = parser.parse_args()
    files = sorted((given.data / "enwiki").rglob("*.bz2"))
    texts, held_out = paragraphs(files[:: given.every]), paragraphs(files[7::97])

    began = time.perf_counter()
    learned = learn_vocabulary(texts, size=given.size, unused=0, coverage=0.9999, min_frequency=MIN_FREQUENCY)
    wordpiece = Tokenizer.from_vocabulary(learned.tokens)
    rows = [("frequency, longest pieces (WordPiece)", wordpiece, wordpiece.encode_pieces(held_out)[0])]
    encoder = TokenizersEncoder(bpe_json(wordpiece.recipe, learned.merges))
    rows.append(("frequency, merges in order (BPE)", wordpiece, encoder.encode(held_out)[0]))
    print(f"frequency: {time.perf_counter() - began:.0f} s", flush=True)

    counts = words_of(texts, wordpiece)
    characters = [token for token in learned.tokens if len(token.removeprefix("##")) == 1]
    for name, gain in (("likelihood", likelihood), ("count(ab) / (count(a) count(b))", association)):
        began = time.perf_counter()
        tokenizer = Tokenizer.from_vocabulary(learn(counts, [*reserved_tokens(0), *characters], given.size, gain))
        rows.append((f"{name}, longest pieces", tokenizer, tokenizer.encode_pieces(held_out)[0]))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)

    print(f"\n| choice, use | tokens | | {' | '.join(SHOWN)} |\n|---|---|---|{'---|' * len(SHOWN)}")
    for name, tokenizer, ids in rows:
        cut = [tokenizer.tokens(word) for word in SHOWN]
        if "BPE" in name:
            cut = [[tokenizer.vocabulary[i] for i in encoder.encode([word])[0]] for word in SHOWN]
        share = len(ids) / len(rows[0][2]) - 1
        print(f"| {name} | {len(ids):,} | {share:+.1%} | {' | '.join(' '.join(pieces) for pieces in cut)} |")


def words_of(texts: Sequence[str], tokenizer: Tokenizer) -> Counter[str]:
    """The words of the texts as the tokenizer splits them, those too long for it left out."""
    library = tokenizers.Tokenizer.from_str(tokenizer.recipe.json())
    words: Counter[str] = Counter()
    for text in texts:
        normalized = library.normalizer.normalize_str(text)
        words.update(word for word, _ in library.pre_tokenizer.pre_tokenize_str(normalized) if len(word) <= 100)
    return words


def paragraphs(files: Sequence[Path]) -> list[str]:
    """The lines of files of WikiExtractor that are text."""
    lines = (line for file in files for line in bz2.decompress(file.read_bytes()).decode("utf-8").split("\n"))
    return [line for line in lines if line and not line.startswith(("<doc", "</doc"))]


if __name__ == "__main__":
    main()
