"""Options of `vocab`, all in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from bertsmith.corpus.sources import Form
from bertsmith.errors import SettingsError

Kind = Literal["wordpiece", "bpe"]
MOST_MEGABYTES = 20_000  # the trainer counts pairs of pieces in 32 bits


@dataclass(frozen=True)
class VocabSettings:
    """Options of `vocab`."""

    input: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), metavar="FILE")]
    """Text to learn from: files, folders, patterns such as "text/*.gz"; or pydocs."""
    out: str
    """Folder for the vocabulary."""
    size: int = 30_522
    """Tokens, special and unused ones among them."""
    cased: bool = False
    """Keep capital letters and accents."""
    kind: Kind = "wordpiece"
    """wordpiece is what BERT and all verbs here read; bpe is for other programs, and transformers opens it."""
    compare: Annotated[tuple[str, ...], Parameter(negative=(), metavar="NAME")] = ()
    """Another vocabulary to count tokens with: vocab.txt, a folder, starter, a name on the hub; again for more."""
    unused: int = 99
    """[unused] tokens, for words to come; 99 puts [UNK] at 100 as published, 994 is bert-base-uncased's number."""
    coverage: float = 0.99995
    """Share of the characters of the text to have tokens for, the most frequent first; words with others are [UNK]."""
    min_frequency: int = 2
    """Pieces are joined if they meet at least so many times."""
    megabytes: float = 1000.0
    """Most text to learn from; of many files a mixture."""
    form: Form = "auto"
    """Form of the files, where it is not the one that their beginning shows."""
    text: str | None = None
    """Column or key of the text in Parquet and JSON, if it has no usual name."""
    overwrite: bool = False
    """Replace the vocabulary that is in --out."""

    def __post_init__(self) -> None:
        for flag, value, least in (
            ("--size", self.size, 1),
            ("--unused", self.unused, 0),
            ("--min-frequency", self.min_frequency, 1),
        ):
            if value < least:
                raise SettingsError(f"{flag} is {value}; it must be {least} or more")
        if not 0 < self.coverage <= 1:
            raise SettingsError(f"--coverage is {self.coverage:g}; it must be more than 0 and at most 1")
        if not 0 < self.megabytes <= MOST_MEGABYTES:
            raise SettingsError(
                f"--megabytes is {self.megabytes:g}; it must be more than 0 and at most {MOST_MEGABYTES:,}"
            )
