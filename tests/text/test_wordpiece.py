"""The readable reference against `tokenizers`, step by step, and the bulk path against both."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.unicode_tables import (
    IDEOGRAPHS,
    LOWERED,
    MARKS,
    PUNCTUATION,
    REMOVED,
    SPACES,
    UNDECOMPOSED,
    Characters,
)
from bertsmith.text.wordpiece import WordPiece, split_pieces, split_words

CHARACTERS = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
SETTINGS = [
    (lowercase, strip_accents, chinese)
    for lowercase in (True, False)
    for strip_accents in (None, True, False)
    for chinese in (True, False)
]


def assert_same_tokens(tokens: list[str], texts: list[str], *options: bool | None) -> None:
    """Reference, `tokenizers` and the bulk path give the same ids for every text."""
    fast = Tokenizer.from_vocabulary(tokens, *options)
    reference = WordPiece({token: i for i, token in enumerate(tokens)}, *options)
    ids, bounds = fast.encode_pieces(texts)
    slow_ids, slow_bounds = TokenizersEncoder(fast.recipe.json()).encode(texts)
    for i, text in enumerate(texts):
        expected = slow_ids[slow_bounds[i] : slow_bounds[i + 1]].tolist()
        assert reference.encode(text) == expected, (text, options)
        assert ids[bounds[i] : bounds[i + 1]].tolist() == expected, (text, options)


def test_the_tutorials_example(published) -> None:
    text = "Our friends won't buy this analysis, let alone the next one we propose."
    expected = [2256, 2814, 2180, 1005, 1056, 4965, 2023, 4106, 1010, 2292, 2894, 1996, 2279, 2028, 2057, 16599, 1012]
    tokenizer = Tokenizer.from_vocabulary(published("uncased"))
    assert WordPiece({token: i for i, token in enumerate(tokenizer.vocabulary)}).encode(text) == expected
    assert tokenizer.encode([text]).ids.tolist() == [101, *expected, 102]


@pytest.mark.parametrize("options", SETTINGS)
def test_hostile_texts(options, vocabulary, hostile) -> None:
    assert_same_tokens(vocabulary, hostile, *options)


@pytest.mark.parametrize("options", [(True, None, True), (False, None, True), (True, False, False)])
def test_hostile_texts_in_an_alphabet(options, alphabet, hostile) -> None:
    assert_same_tokens(alphabet, hostile, *options)


@pytest.mark.parametrize(
    "planes",
    [
        pytest.param([0, 1, 2, 3, 14, 15, 16], id="assigned"),
        pytest.param(range(4, 14), id="unassigned", marks=pytest.mark.slow),  # 655,360 characters, all alike
    ],
)
def test_every_character_inside_a_word(planes, alphabet) -> None:
    words = [f"a{char}b" for char in CHARACTERS if ord(char) >> 16 in planes]
    assert len(words) == 0x10000 * len(planes) - (0x800 if 0 in planes else 0)
    assert_same_tokens(alphabet, [" ".join(words[start : start + 256]) for start in range(0, len(words), 256)])


@pytest.mark.slow
@pytest.mark.parametrize(("lowercase", "strip_accents"), [(False, False), (False, True), (True, False)])
def test_every_character_normalized(lowercase, strip_accents) -> None:
    text = "\n".join(CHARACTERS)
    ours = WordPiece({}, lowercase, strip_accents).normalize(text)
    theirs = BertNormalizer(True, True, strip_accents, lowercase).normalize_str(text)
    assert ours.split(" ") == theirs.split(" ")


@pytest.mark.slow
def test_words_of_every_character() -> None:
    for start in range(0, len(CHARACTERS), 4096):
        part = [char for char in CHARACTERS[start : start + 4096] if char not in REMOVED and char not in SPACES]
        text = "x".join(part)
        assert list(split_words(text)) == [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]


@cache
def tokenizers_of(options: tuple[bool | None, ...]) -> tuple[Tokenizer, WordPiece, TokenizersEncoder]:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x21, 0x250))]
    tokens += [f"##{token}" for token in tokens[5:]]
    fast = Tokenizer.from_vocabulary(tokens, *options)
    reference = WordPiece({token: i for i, token in enumerate(tokens)}, *options)
    return fast, reference, TokenizersEncoder(fast.recipe.json())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("aé \u0301[]MASK中Σ.")), max_size=60),
    st.sampled_from(SETTINGS),
)
def test_any_text(text: str, options: tuple[bool | None, ...]) -> None:
    fast, reference, slow = tokenizers_of(options)
    expected = slow.encode([text])[0].tolist()
    assert reference.encode(text) == expected
    assert fast.encode_pieces([text])[0].tolist() == expected


def test_words_of_100_and_101_characters() -> None:
    vocabulary = {"x": 0, "##x": 1, "é": 2, "##é": 3}
    assert split_pieces("x" * 100, vocabulary) == ["x"] + ["##x"] * 99
    assert split_pieces("x" * 101, vocabulary) == ["[UNK]"]
    assert len(split_pieces("é" * 100, vocabulary)) == 100  # characters count, not the 200 bytes
    assert split_pieces("xy", vocabulary) == ["[UNK]"]


def test_surrogates_are_removed(vocabulary) -> None:
    reference = WordPiece({token: i for i, token in enumerate(vocabulary)})
    assert reference.tokenize("walk\ud800ed \udfff") == ["walked"]


def test_special_tokens_that_start_together() -> None:
    words = {token: i for i, token in enumerate(["[UNK]", "[A]", "[A]x", "x", "y"])}
    assert WordPiece(words, special_tokens=("[A]", "[A]x")).tokenize("y[A]xy[A]y") == ["y", "[A]x", "y", "[A]", "y"]


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the counts are those of Python 3.11's Unicode 14")
def test_where_the_tables_differ_from_pythons() -> None:
    points = [*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000)]  # no other has any of these properties
    categories = {chr(point): unicodedata.category(chr(point)) for point in points}

    def differing(table: Characters, *kinds: str) -> tuple[int, str]:
        """How many of these categories are not in the table, and what else is."""
        absent = sum(kind in kinds and char not in table for char, kind in categories.items())
        return absent, "".join(char for char, kind in categories.items() if kind not in kinds and char in table)

    assert differing(REMOVED, "Cc", "Cf", "Co") == (13 + len("\t\n\r"), "\ufffd")
    assert differing(SPACES, "Zs", "Zl", "Zp") == (0, "\t\n\r")
    assert differing(MARKS, "Mn") == (384, "\u1734")
    symbols = "".join(char for char in map(chr, range(128)) if categories[char] in {"Sc", "Sk", "Sm", "So"})
    punctuation = ("Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps")
    assert differing(PUNCTUATION, *punctuation) == (104, symbols + "\u166d\U000111c9")
    unknown = [kind for char, kind in categories.items() if char in UNDECOMPOSED]
    assert (len(unknown), sum(kind != "Cn" for kind in unknown)) == (209, 99)
    assert len(LOWERED) == 55
    assert all(categories[char] == "Cn" and char.lower() == char for char in LOWERED)
    assert "\U0002b820" not in IDEOGRAPHS
    assert "\U0002b920" in IDEOGRAPHS
