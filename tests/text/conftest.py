"""A small vocabulary, hostile texts, and the real vocabularies where they are."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from bertsmith.text.tokenizer import Tokenizer

WORDS = """
the a this is our friends won buy analysis let alone next one we propose run runs walk walked dog cat un able
affable new york café naive σοφός İstanbul straße it s t and of in to be or not 中 国 人 日本 語 한국 ﬁ ff 2015 10 3.14
##s ##ing ##ed ##able ##aff ##ly ##er ##est ##tion ##friend ##ship ##国 ##ς ##σ ##i ##̇
"""

HOSTILE = [
    "",
    " ",
    "\x00\ufffd\x01",
    "\u200b\u200d\ufeff",
    "e\u0301 é E\u0301 É ẹ́ e\u0323\u0301 e\u0301\u0323",  # accents composed, decomposed, in either order
    "\u0301\u0302 a\u0489b",  # marks of nothing, an enclosing mark
    "한국어 \u1112\u1161\u11ab \uac00\u11a8 ᄒ",  # Hangul as syllables and as letters
    "İstanbul I ı i̇ İİ",  # Turkish dotted and dotless
    "STRASSE ẞ ß SS",
    "ΣΟΦΌΣ Σ ΑΣ. ΑΣ σς",  # final sigma
    "ﬁ ﬀ ﬄ ĳ Ǆ ǅ ǆ Ⅷ ⓐ ½ ²",  # ligatures, title case, compatibility characters
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 #️⃣ 🇩🇪",
    "שָׁלוֹם مرحبا بِكُمْ \u202eabc\u202c \u2067x\u2069",
    "\ue000\U000f0000 a\ue000b",  # private use
    "\u0378\U000e0fff\U0010ffff a\u0378b",  # unassigned, non-character
    "\U000e0041\U000e007f a\U000e0041b",  # tags
    "a\u0085b a\u2028b a\u2029b a\x0bb a\x0cb a\x1cb a\tb\r\nc",
    "a\u00a0b a\u3000b a\u1680b a\u180eb a\u202fb a\u00adb",
    "中文abc中 日本語カタカナ ㍿ 﨑 \U00020000\U0002b820\U0002b91f\U0002b920 〇々",
    "don't!?…—«x»“y” ¿q? a_b^c`d|e~f $5 <tag> ٪؟ ।॥ ‿ ・",
    "\u0890 \U00013430 \u1734 \u166d \U000111c9 \u061d \u2e52 \U00011938 \U000105c9",  # newer than the tables
    "\ua7cb \ua7cc \ua7dc \u1c89 \U00010d50 \U00016ea0",  # capital letters of Unicode 15 to 17
    "x" * 100,
    "x" * 101,
    "é" * 100,
    "e\u0301" * 100,  # 100 characters once stripped, 200 while not
    "é" * 101,
    "İ" * 51,
    "中" * 101,
    "\u200b".join("x" * 100),
    "[MASK] [SEP][CLS] a[MASK]b [mask] [ MASK ] [MASK [UNK] [PAD]] ##s [MA\u0301SK] [MASK\x00]",
    "[[MASK]] [CLS][CLS] \u200b[SEP]\u200b",
    "Our friends won't buy this analysis, let alone the next one we propose.",
]


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    """Five special tokens, ASCII, and some words and pieces; enough to see every step."""
    ascii_characters = [chr(point) for point in range(0x21, 0x7F)]
    pieces = [f"##{char}" for char in ascii_characters if char.isalnum()]
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ascii_characters, *pieces, *WORDS.split()]
    return list(dict.fromkeys(tokens))


@pytest.fixture(scope="session")
def alphabet() -> list[str]:
    """A vocabulary in which nearly every character but the ideographs is a piece, so that no change goes unseen."""
    points = chain(range(0x21, 0x3400), range(0xA000, 0xAC00), range(0xD7B0, 0xD800), range(0xF900, 0x1F000))
    characters = [chr(point) for point in points if not unicodedata.category(chr(point)).startswith(("Z", "C"))]
    newest = [chr(point) for point in chain(range(0x10D70, 0x10D86), range(0x16EBB, 0x16ED4), (0x1C8A, 0xA7CD, 0xA7DB))]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*characters, *newest])]
    return [*tokens, *(f"##{token}" for token in tokens[5:])]


@pytest.fixture(scope="session")
def tokenizer(vocabulary: list[str]) -> Tokenizer:
    """The small vocabulary, uncased."""
    return Tokenizer.from_vocabulary(vocabulary)


@pytest.fixture(scope="session")
def hostile() -> list[str]:
    """Texts made to go wrong: those above, and random ones of the characters that text cleaning looks at."""
    rng = random.Random(20)
    special = [
        chr(point)
        for point in range(0x30000)
        if unicodedata.category(chr(point)) in {"Mn", "Mc", "Me", "Cf", "Cc", "Zs", "Zl", "Zp", "Lt", "Pc", "Po"}
        or unicodedata.decomposition(chr(point))
    ]
    plain = [*"abAB .,'", "[MASK]", "中", "Σ", "İ"]
    random_texts = [
        "".join(rng.choice(special if rng.random() < 0.6 else plain) for _ in range(rng.randint(1, 30)))
        for _ in range(1000)
    ]
    return HOSTILE + random_texts


@pytest.fixture(scope="session")
def published(shared_data: Callable[[str], Path]) -> Callable[[str], Path]:
    """``published("uncased")`` is that published ``vocab.txt``."""
    return lambda name: shared_data(f"vocab/bert-base-{name}.txt")
