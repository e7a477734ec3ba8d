"""Learning a vocabulary: texts to the tokens of a WordPiece tokenizer, or the merges of a BPE one.

Enters: texts, twice, and a size. Leaves: `Learned`, tokens by id and merges in the order in which they were chosen.
Knows nothing of files. ``docs/vocabulary.md`` tells how pieces are chosen and what else could be done.

The `tokenizers` library counts the words and chooses the merges. Its WordPiece trainer is its BPE trainer with "##"
before pieces that continue a word, so one run gives both. What it leaves to the order of a hash table, which differs
from run to run, is settled before it starts: it is handed every character, and its continuing form, with an id.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers.trainers import BpeTrainer

from bertsmith.errors import DataError, SettingsError
from bertsmith.text.recipe import Recipe
from bertsmith.text.tokenizer import SURROGATES
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK
from bertsmith.text.wordpiece import CONTINUED

PUBLISHED_UNUSED = 99  # [unused] tokens before [UNK] in every published vocabulary: they put it at id 100
BLOCK = 1 << 20  # characters counted at a time
CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Learned:
    """A vocabulary and how it came about.

    tokens: by id: special and unused ones, characters, characters that continue a word ("##a"), then longer pieces,
            those chosen first first
    merges: the pairs of pieces that were made one, in order; what a BPE tokenizer goes by
    """

    tokens: list[str]
    merges: list[tuple[str, str]]


def learn_vocabulary(
    texts: Iterable[str],
    *,
    size: int = 30_522,
    lowercase: bool = True,
    unused: int = PUBLISHED_UNUSED,
    coverage: float = 0.99995,
    min_frequency: int = 2,
) -> Learned:
    """A vocabulary of ``size`` tokens, or of fewer where the texts have no more pieces; the same for the same texts.

    texts:         read twice, first for their characters, then for their words; one after another, so they may be many
    unused:        [unused] tokens, for words to be added later; the first 99 stand before [UNK], as published
    coverage:      share of the characters of the texts that the vocabulary covers, the most frequent first; a word with
                   another character is [UNK]. Rare ones would take two tokens each from the words.
    min_frequency: pieces are joined if that happens at least so many times in the texts

    Raises `DataError` for texts without words, `SettingsError` for a size that cannot hold their characters.
    """
    if iter(texts) is texts:
        raise TypeError("texts are read twice; pass a list, or an object whose __iter__ begins anew")
    plain = Recipe.of_vocabulary(list(SPECIAL_TOKENS), lowercase=lowercase)
    learner = tokenizers.Tokenizer.from_str(bpe_json(plain, []))
    characters = choose_characters(count_characters(texts, learner), coverage)
    fixed = [*reserved_tokens(unused), *characters, *continuing(characters, learner)]
    if size < len(fixed):
        raise SettingsError(
            f"--size is {size:,}; the {len(characters):,} characters of the text, special and unused tokens need "
            f"{len(fixed):,}; give more, a lower --coverage than {coverage:g}, or fewer --unused than {unused:,}"
        )
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=fixed,
        initial_alphabet=characters,
        limit_alphabet=len(characters),  # it then keeps these and no others
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    learner.train_from_iterator((encodable(text) for text in texts), trainer)
    model = json.loads(learner.to_str())["model"]
    return Learned(
        tokens=sorted(model["vocab"], key=model["vocab"].__getitem__),
        merges=[(first, second) for first, second in model["merges"]],
    )


def bpe_json(recipe: Recipe, merges: list[tuple[str, str]]) -> str:
    """The ``tokenizer.json`` that cuts the words of ``recipe`` by ``merges`` and not into the longest pieces."""
    document = json.loads(recipe.json())
    document["model"] = {
        "type": "BPE",
        "unk_token": UNK,
        "continuing_subword_prefix": CONTINUED,
        "vocab": document["model"]["vocab"],
        "merges": merges,
    }
    return json.dumps(document, ensure_ascii=False)


def reserved_tokens(unused: int) -> list[str]:
    """The tokens that stand for no text, by id; the special ones where the published vocabularies have them.

    >>> tokens = reserved_tokens(994)
    >>> [tokens.index(token) for token in ("[PAD]", "[unused98]", "[UNK]", "[MASK]", "[unused99]", "[unused993]")]
    [0, 99, 100, 103, 104, 998]
    >>> reserved_tokens(0)
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    """
    slots = [f"[unused{number}]" for number in range(unused)]
    return [PAD, *slots[:PUBLISHED_UNUSED], UNK, CLS, SEP, MASK, *slots[PUBLISHED_UNUSED:]]


def count_characters(texts: Iterable[str], learner: tokenizers.Tokenizer) -> Counter[str]:
    """How often each character is in the texts as ``learner`` normalises them; white space is left out.

    Normalising looks at one character at a time (marks may change places, but none comes or goes for it), so what is
    normalised is each character of the texts once, and not the texts.
    """
    counts: NDArray[np.int64] = np.zeros(CODE_POINTS, np.int64)
    for block in blocks(texts):
        points = np.frombuffer(block.encode("utf-32-le"), np.uint32)
        found = np.bincount(points)
        counts[: len(found)] += found
    characters: Counter[str] = Counter()
    for point in np.flatnonzero(counts).tolist():
        for character in learner.normalizer.normalize_str(chr(point)):
            if not character.isspace():
                characters[character] += int(counts[point])
    return characters


def blocks(texts: Iterable[str]) -> Iterator[str]:
    """The texts end to end, in blocks of `BLOCK` characters or a little more."""
    block: list[str] = []
    length = 0
    for text in texts:
        block.append(encodable(text))
        length += len(text)
        if length >= BLOCK:
            yield "".join(block)
            block, length = [], 0
    yield "".join(block)


def encodable(text: str) -> str:
    """``text`` with U+FFFD, which BERT's cleaning removes, for lone surrogates, which no encoding can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATES.sub("\ufffd", text)
    return text


def choose_characters(counts: Counter[str], coverage: float) -> list[str]:
    """The most frequent characters that together make up ``coverage`` of all, by code point.

    Raises `DataError` if there are none.

    >>> choose_characters(Counter("bananas"), 0.7)
    ['a', 'n']
    """
    wanted = coverage * counts.total()
    chosen: list[str] = []
    for character in sorted(counts, key=lambda one: (-counts[one], one)):
        if wanted <= 0:
            break
        chosen.append(character)
        wanted -= counts[character]
    if not chosen:
        raise DataError("the texts hold no words to learn from; name others")
    return sorted(chosen)


def continuing(characters: list[str], learner: tokenizers.Tokenizer) -> list[str]:
    """``##x`` for each character that can stand behind another in a word: no punctuation, no CJK ideograph."""
    cut, normalize = learner.pre_tokenizer.pre_tokenize_str, learner.normalizer.normalize_str
    return [CONTINUED + one for one in characters if len(cut(normalize("a" + one))) == 1]
