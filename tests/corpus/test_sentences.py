from __future__ import annotations

import bz2
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.corpus.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith went to Washington, D.C. on Jan. 5.", "The U.S. Army won.", "Prices rose 3.5% (e.g. bread)."],
        ['"Yes!" she said.', 'He said "I will go."', "Then he left.", "What?!", "No way."],
        ["See Fig. 3 and No. 7.", "It was built c. 1850.", "Mt. Everest is high.", "Next one...", "And so on."],
        ["这是第一句。", "这是第二句！", "“他说。”", "好吗？", "真的吗？！", "当然……不是。", "价格是3.5元。"],
        ["早餐一般!", "房间小，下次不住了.", "服务员态度好？"],
        ["これは文です。", "次の文です。"],
    ],
)
def test_sentences_of_a_paragraph(sentences: list[str]) -> None:
    joint = "" if any("。" in sentence or "!" in sentence[-1] for sentence in sentences[:1]) else " "
    assert split_sentences([joint.join(sentences)]) == sentences


def test_numbers_of_a_list_stay_with_what_they_number() -> None:
    assert split_sentences(["1. First item. 2. Second item. (3)"]) == ["1. First item.", "2. Second item.", "(3)"]


def test_paragraphs_are_never_joined_and_empty_ones_give_nothing() -> None:
    assert split_sentences(["no end", "  ", "", "中文 no end"]) == ["no end", "中文 no end"]


def test_a_language_can_be_named() -> None:
    text = "Он родился в 1850 г. в Москве."
    assert split_sentences([text], "ru") == [text]


def test_sentences_of_wikipedia_are_what_was_in_its_paragraphs(shared_data: Callable[[str], Path]) -> None:
    with bz2.open(shared_data("enwiki/AA/wiki_07.bz2"), "rt", encoding="utf-8") as file:
        paragraphs = [line for line in file if not line.startswith("<")]
    sentences = split_sentences(paragraphs)
    assert "".join("".join(sentences).split()) == "".join("".join(paragraphs).split())
    words = sorted(len(sentence.split()) for sentence in sentences if len(sentence.split()) > 5)
    assert 18 <= words[len(words) // 2] <= 25  # the median of English prose
