"""The three tokenizers on all the real text: differences (there must be none) and speed.

    python bench/tokenization.py [--data ../shared/data] [--reference-share 0.05]

The readable reference, the `tokenizers` library and the bulk path take the same paragraphs of Wikipedia (English
vocabularies) and the same Chinese reviews (Chinese vocabulary). The library and the bulk path read every paragraph; the
reference, which is slow, every n-th. Ends with a table in Markdown; the exit code is 1 if there was a difference.
"""

from __future__ import annotations

import argparse
import bz2
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.wordpiece import WordPiece

Result = TypeVar("Result")


@dataclass
class Tally:
    """What was read with one vocabulary, and how long each tokenizer took for it."""

    texts: int = 0
    reference_texts: int = 0
    tokens: int = 0
    differences: int = 0
    megabytes: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, function: Callable[[list[str]], Result], texts: list[str]) -> Result:
        started = time.perf_counter()
        result = function(texts)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6
        self.megabytes[name] = self.megabytes.get(name, 0.0) + size
        return result

    def speed(self, name: str) -> float:
        return self.megabytes[name] / self.seconds[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--reference-share", type=float, default=0.05)
    given = parser.parse_args()
    vocabularies = {
        "uncased": (True, wikipedia),
        "cased": (False, wikipedia),
        "chinese": (True, reviews),
    }
    rows = []
    for name, (lowercase, source) in vocabularies.items():
        tokenizer = Tokenizer.from_vocabulary(given.data / "vocab" / f"bert-base-{name}.txt", lowercase=lowercase)
        tally = Tally()
        for texts in source(given.data):
            compare(tokenizer, texts, round(1 / given.reference_share), tally)
        speeds = " | ".join(f"{tally.speed(one):,.1f}" for one in ("reference", "tokenizers", "bulk"))
        rows.append(
            f"| {name} | {tally.texts:,} | {tally.tokens:,} | {tally.reference_texts:,} | {tally.differences:,} "
            f"| {speeds} |"
        )
        print(rows[-1], flush=True)
    print(
        "\n| vocabulary | texts | tokens | texts of the reference | differences | reference MB/s | tokenizers MB/s "
        "| bulk MB/s |\n|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    sys.exit(any(row.split("|")[5].strip() != "0" for row in rows))


def compare(tokenizer: Tokenizer, texts: list[str], every: int, tally: Tally) -> None:
    """Count the texts that are not tokenized alike."""
    reference = WordPiece({token: i for i, token in enumerate(tokenizer.vocabulary)}, lowercase=tokenizer.lowercase)
    ids, bounds = tally.time("bulk", tokenizer.encode_pieces, texts)
    library = TokenizersEncoder(tokenizer.recipe.json())
    library_ids, library_bounds = tally.time("tokenizers", library.encode, texts)
    readable = tally.time("reference", lambda some: [reference.encode(text) for text in some], texts[::every])
    tally.texts += len(texts)
    tally.tokens += len(ids)
    tally.reference_texts += len(readable)
    if not (np.array_equal(ids, library_ids) and np.array_equal(bounds, library_bounds)):
        tally.differences += sum(
            not np.array_equal(ids[slice(*bounds[i : i + 2])], library_ids[slice(*library_bounds[i : i + 2])])
            for i in range(len(texts))
        )
    for place, expected in enumerate(readable):
        found: Sequence[int] = ids[bounds[place * every] : bounds[place * every + 1]].tolist()
        tally.differences += expected != found


def wikipedia(data: Path) -> Iterator[list[str]]:
    """The paragraphs of each file."""
    for path in sorted((data / "enwiki").rglob("*.bz2")):
        lines = bz2.decompress(path.read_bytes()).decode("utf-8").split("\n")
        yield [line for line in lines if line and not line.startswith(("<doc", "</doc"))]


def reviews(data: Path) -> Iterator[list[str]]:
    """The lines of each file."""
    for path in sorted((data / "chnsenticorp").iterdir()):
        yield path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
