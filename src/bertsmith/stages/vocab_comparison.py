"""Vocabularies side by side: what each makes of the same text.

Enters: texts, and their tokens by each vocabulary. Leaves: tables for the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from bertsmith.text import Tokenizer
from bertsmith.text.vocabulary import UNK
from bertsmith.text.wordpiece import CONTINUED

EXAMPLES = 5  # words shown that are not cut alike


@dataclass(frozen=True)
class Cut:
    """Texts as one vocabulary cuts them.

    name:      of the vocabulary
    tokenizer: which has its tokens
    ids:       (N,) of all texts end to end
    """

    name: str
    tokenizer: Tokenizer
    ids: NDArray[np.int32]

    @property
    def words(self) -> Counter[tuple[str, ...]]:
        """How often each word occurs, as its pieces."""
        words: Counter[tuple[str, ...]] = Counter()
        word: list[str] = []
        for number in [*self.ids.tolist(), self.tokenizer.sep_id]:
            piece = self.tokenizer.vocabulary[number]
            if word and not piece.startswith(CONTINUED):
                words[tuple(word)] += 1
                word = []
            word.append(piece)
        return words


def tabulate_cuts(cuts: Sequence[Cut], texts: Sequence[str]) -> Iterator[Table]:
    """How many tokens each vocabulary needs for the texts; then the most frequent words that are not cut alike."""
    characters = sum(len(text) for text in texts)
    table = _table(f"{characters:,} characters held out")
    for name in ("size", "tokens", "characters a token", UNK):
        table.add_column(name, justify="right")
    for cut in cuts:
        table.add_row(
            Text(cut.name),
            f"{cut.tokenizer.vocab_size:,}",
            f"{len(cut.ids):,}",
            f"{characters / max(len(cut.ids), 1):.3f}",
            f"{np.count_nonzero(cut.ids == cut.tokenizer.unk_id):,}",
        )
    yield table

    frequency = {_spelling(pieces): number for pieces, number in cuts[0].words.items()}
    found = [{_spelling(pieces): pieces for pieces in cut.words} for cut in cuts]
    known = [word for word in frequency if all(word in pieces for pieces in found)]
    differing = [word for word in known if len({pieces[word] for pieces in found}) > 1]
    if differing:
        table = _table(*(cut.name for cut in cuts))
        for word in sorted(differing, key=lambda word: (-frequency[word], word))[:EXAMPLES]:
            table.add_row(*(Text(" ".join(pieces[word])) for pieces in found))
        yield table


def _spelling(pieces: tuple[str, ...]) -> str:
    return "".join(piece.removeprefix(CONTINUED) for piece in pieces)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    return table
