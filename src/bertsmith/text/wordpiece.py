"""WordPiece, written to be read: the reference that the fast libraries are held to.

Enters: a text and a vocabulary. Leaves: its tokens. Knows nothing of files, pairs, [CLS] or batches.

The steps are those of Devlin et al. 2018, "BERT" (the published ``tokenization.py``), in the exact form that the
`tokenizers` library gave them: clean, set ideographs apart, strip accents, lower case, split at white space and
punctuation, then cut every word greedily into the longest pieces that the vocabulary has. Slow on purpose; `Tokenizer`
is the one to use.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bertsmith.text.unicode_tables import (
    IDEOGRAPHS,
    LOWERED,
    MARKS,
    PUNCTUATION,
    REMOVED,
    SPACES,
    UNDECOMPOSED,
)
from bertsmith.text.vocabulary import SPECIAL_TOKENS, UNK

CONTINUED = "##"  # stands before every piece of a word but its first
LONGEST_WORD = 100  # characters; a longer word is [UNK]


@dataclass(frozen=True)
class WordPiece:
    """The reference tokenizer.

    vocabulary:             token to id
    lowercase:              True for an uncased vocabulary
    strip_accents:          ``None`` does as ``lowercase`` says
    tokenize_chinese_chars: whether every CJK ideograph is a word
    special_tokens:         kept whole where the text holds them, exactly as written
    """

    vocabulary: Mapping[str, int]
    lowercase: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS

    def encode(self, text: str) -> list[int]:
        """Ids of the tokens of ``text``."""
        return [self.vocabulary[token] for token in self.tokenize(text)]

    def tokenize(self, text: str) -> list[str]:
        """Tokens of ``text``, without [CLS] and [SEP] around them.

        >>> words = {"[UNK]": 0, "un": 1, "##aff": 2, "##able": 3, "!": 4}
        >>> WordPiece(words).tokenize("Unaffable! Café")
        ['un', '##aff', '##able', '!', '[UNK]']
        """
        tokens = []
        for part in split_special(text, self.special_tokens):
            if part in self.special_tokens:
                tokens.append(part)
                continue
            for word in split_words(self.normalize(part)):
                tokens += split_pieces(word, self.vocabulary)
        return tokens

    def normalize(self, text: str) -> str:
        """``text`` cleaned, with ideographs set apart, accents stripped and in lower case, as this tokenizer does."""
        text = clean(text)
        if self.tokenize_chinese_chars:
            text = space_ideographs(text)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            text = strip_marks(text)
        if self.lowercase:
            text = lower(text)
        return text


def split_special(text: str, special_tokens: tuple[str, ...]) -> list[str]:
    """``text`` in parts that are either a special token or hold none; the longest of two that start together wins.

    >>> split_special("a [MASK]b", ("[MASK]",))
    ['a ', '[MASK]', 'b']
    """
    longest_first = sorted(special_tokens, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return [part for part in re.split(f"({pattern})", text) if part] if pattern else [text]


def clean(text: str) -> str:
    """Without control, format and private-use characters and surrogates; all white space as plain spaces.

    Tab, line feed and carriage return are white space; the other controls vanish, U+000B, U+000C and U+0085 among them,
    and join the words on either side.
    """
    kept = (char for char in text if char not in REMOVED and not "\ud800" <= char <= "\udfff")
    return "".join(" " if char in SPACES else char for char in kept)


def space_ideographs(text: str) -> str:
    """With a space on either side of every CJK ideograph. Kana and Hangul are spelled in words and stay as they are."""
    return "".join(f" {char} " if char in IDEOGRAPHS else char for char in text)


def strip_marks(text: str) -> str:
    """Decomposed, without its combining marks: ``é`` is ``e``, a Hangul syllable its two or three letters."""
    return "".join(char for char in decompose(text) if char not in MARKS)


def decompose(text: str) -> str:
    """Canonical decomposition (NFD), with characters newer than the fast library's tables left as they are.

    Such a character has no place in the ordering of marks there either: marks do not move across it.
    """
    decomposed = ""
    start = 0
    for end, char in enumerate(text):
        if char in UNDECOMPOSED:
            decomposed += unicodedata.normalize("NFD", text[start:end]) + char
            start = end + 1
    return decomposed + unicodedata.normalize("NFD", text[start:])


def lower(text: str) -> str:
    """Lower case, character by character: a final sigma is a sigma as any other, unlike in ``str.lower``."""
    return "".join(LOWERED.get(char) or char.lower() for char in text)


def split_words(text: str) -> Iterator[str]:
    """The words of a normalized text: split at spaces, every punctuation character a word of its own."""
    word = ""
    for char in text:
        if char == " " or char in PUNCTUATION:
            if word:
                yield word
            word = ""
            if char != " ":
                yield char
        else:
            word += char
    if word:
        yield word


def split_pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """A word cut into pieces of the vocabulary, each the longest that fits where the one before it ended.

    A word that cannot be cut so to its end, or is longer than 100 characters, is [UNK] as a whole.
    """
    if len(word) > LONGEST_WORD:
        return [UNK]
    pieces = []
    start = 0
    while start < len(word):
        prefix = CONTINUED if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in vocabulary:
                break
        else:
            return [UNK]
        pieces.append(piece)
        start = end
    return pieces
