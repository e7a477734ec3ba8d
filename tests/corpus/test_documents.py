from __future__ import annotations

from collections import Counter

from bertsmith.corpus.documents import CUTS, LONGEST_DOCUMENT, gather


def test_a_long_document_is_cut_between_texts_and_counted() -> None:
    text = "x" * (LONGEST_DOCUMENT // 10)
    counts: Counter[str] = Counter()
    documents = list(gather(((text, f"line {number}") for number in range(25)), False, counts))
    assert [len(document.texts) for document in documents] == [10, 10, 5]
    assert [document.where for document in documents] == ["line 0", "line 10", "line 20"]
    assert counts == {CUTS: 2}


def test_documents_without_texts_are_left_out() -> None:
    assert list(gather(iter([None, None]), True, Counter())) == []
