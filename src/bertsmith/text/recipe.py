"""What makes one WordPiece tokenizer different from another.

Enters: a vocabulary and a few settings. Leaves: a `Recipe`, which can say itself as a ``tokenizer.json``. Knows nothing
of texts and files.

Published files hold much that is not the tokenizer's own: truncation and padding of whoever saved them, templates of
every shape. A recipe keeps what decides the tokens and nothing else, and every file and fast library is given the same
plain BERT tokenizer made from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from bertsmith.text.vocabulary import CLS, SEP, SPECIAL_TOKENS, UNK
from bertsmith.text.wordpiece import CONTINUED, LONGEST_WORD


@dataclass(frozen=True)
class AddedToken:
    """A token found in the text before anything else is done to it, as ``tokenizer.json`` describes it."""

    id: int
    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True


@dataclass(frozen=True)
class Recipe:
    """All that decides which tokens a text has.

    vocabulary:             tokens by id, those only added included
    num_pieces:             how many of them WordPiece may use; the ids from there on are added tokens alone
    lowercase:              True for an uncased vocabulary
    strip_accents:          ``None`` does as ``lowercase`` says
    tokenize_chinese_chars: whether every CJK ideograph is a word
    added:                  the special tokens, and others that are kept whole, by id
    """

    vocabulary: tuple[str, ...]
    num_pieces: int
    lowercase: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    added: tuple[AddedToken, ...]

    @staticmethod
    def of_vocabulary(
        tokens: list[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ) -> Recipe:
        """The plain BERT tokenizer of a checked vocabulary, the five special tokens added."""
        added = (AddedToken(tokens.index(token), token) for token in SPECIAL_TOKENS)
        return Recipe(
            vocabulary=tuple(tokens),
            num_pieces=len(tokens),
            lowercase=lowercase,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            added=tuple(sorted(added, key=lambda token: token.id)),
        )

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal; the same for two tokenizers exactly when their recipes are."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def json(self) -> str:
        """The recipe as a ``tokenizer.json``."""
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        first, last = special(CLS, 0), special(SEP, 0)
        template = {
            "type": "TemplateProcessing",
            "single": [first, sequence("A", 0), last],
            "pair": [first, sequence("A", 0), last, sequence("B", 1), special(SEP, 1)],
            "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (CLS, SEP)},
        }
        document = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [asdict(token) for token in self.added],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": self.tokenize_chinese_chars,
                "strip_accents": self.strip_accents,
                "lowercase": self.lowercase,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": template,
            "decoder": {"type": "WordPiece", "prefix": CONTINUED, "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": UNK,
                "continuing_subword_prefix": CONTINUED,
                "max_input_chars_per_word": LONGEST_WORD,
                "vocab": dict(list(ids.items())[: self.num_pieces]),
            },
        }
        return json.dumps(document, ensure_ascii=False)


def special(token: str, segment: int) -> dict[str, Any]:
    """A special token in a template of ``tokenizer.json``."""
    return {"SpecialToken": {"id": token, "type_id": segment}}


def sequence(name: str, segment: int) -> dict[str, Any]:
    """The place of a text in a template of ``tokenizer.json``."""
    return {"Sequence": {"id": name, "type_id": segment}}
