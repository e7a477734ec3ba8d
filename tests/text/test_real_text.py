"""Reference, `tokenizers` and the bulk path on real text: not one difference."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest

from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.wordpiece import WordPiece


def assert_no_difference(vocabulary: Path, texts: list[str], *, lowercase: bool, reference_texts: int) -> None:
    """The fast paths on all ``texts``, the reference on as many of them, evenly spread."""
    fast = Tokenizer.from_vocabulary(vocabulary, lowercase=lowercase)
    reference = WordPiece({token: i for i, token in enumerate(fast.vocabulary)}, lowercase=lowercase)
    ids, bounds = fast.encode_pieces(texts)
    slow_ids, slow_bounds = TokenizersEncoder(fast.recipe.json()).encode(texts)
    assert np.array_equal(bounds, slow_bounds)
    assert np.array_equal(ids, slow_ids)
    for i in range(0, len(texts), -(-len(texts) // reference_texts)):
        assert reference.encode(texts[i]) == ids[bounds[i] : bounds[i + 1]].tolist(), texts[i]


@pytest.mark.parametrize(("name", "lowercase"), [("uncased", True), ("cased", False)])
def test_wikipedia(name, lowercase, shared_data, published) -> None:
    file = sorted(shared_data("enwiki").rglob("*.bz2"))[7]
    lines = bz2.decompress(file.read_bytes()).decode("utf-8").split("\n")
    paragraphs = [line for line in lines if line and not line.startswith(("<doc", "</doc"))]
    assert len(paragraphs) > 1000
    assert_no_difference(published(name), paragraphs, lowercase=lowercase, reference_texts=400)


@pytest.mark.parametrize(("name", "lowercase"), [("chinese", True), ("cased", False)])
def test_chinese(name, lowercase, shared_data, published) -> None:
    files = sorted(path for path in shared_data("chnsenticorp").iterdir() if path.suffix in {".tsv", ".csv", ".txt"})
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 12_000
    assert_no_difference(published(name), lines, lowercase=lowercase, reference_texts=400)


@pytest.mark.parametrize(("name", "lowercase"), [("uncased", True), ("cased", False)])
def test_cola(name, lowercase, shared_data, published) -> None:
    files = sorted(shared_data("cola/raw").glob("*.tsv"))
    sentences = [line.split("\t")[3] for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(sentences) == 8551 + 527 + 516
    assert_no_difference(published(name), sentences, lowercase=lowercase, reference_texts=len(sentences))
