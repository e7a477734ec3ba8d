from __future__ import annotations

import textwrap

import pytest

from bertsmith.corpus.prose import are_wrapped, is_head, tidy_wiki

PARAGRAPHS = [
    "The harbour lies in the north of the island, where the wind comes in from the sea for most of the year. Ships "
    "have stopped there since the fourteenth century, when the first of the walls was built against the winter storms.",
    "In the south there is little water. Farmers keep goats, and sell what cheese they make to towns along the coast.",
]


@pytest.mark.parametrize("width", [50, 72, 100])
def test_text_broken_at_a_width_is_told(width: int) -> None:
    lines = [line for one in PARAGRAPHS for line in [*textwrap.wrap(one, width), ""]]
    assert are_wrapped(lines)
    assert are_wrapped(["    " + line if line else "" for line in lines])


def test_chinese_text_broken_at_a_width_is_told() -> None:
    text = "这座岛的北部有一个港口，一年中大部分时间都有海风吹来。" * 6
    assert are_wrapped([text[start : start + 40] for start in range(0, len(text), 40)])


@pytest.mark.parametrize(
    "lines",
    [
        PARAGRAPHS,
        ["A sentence on a line.", "One more, rather longer than the first.", "And the last of them."],
        ["今天天气很好。", "我们去公园散步，看到了很多花。", "然后回家。"],
        ["one", "", "two", ""],
        [],
    ],
)
def test_a_paragraph_or_sentence_a_line_is_not_taken_as_broken(lines: list[str]) -> None:
    assert not are_wrapped(lines)


@pytest.mark.parametrize(
    ("line", "head"),
    [
        ("History.", True),
        ("Early life and education (1920–1943).", True),
        ("Water ports of Alabama, listed from north to south:", True),
        ("历史.", True),
        ("早年生活", True),
        ("He was elected president of the society in 1920, and again in 1924.", False),
        ("What is it?", False),
        ("他在一九二〇年当选为会长，并于一九二四年再次当选。", False),
    ],
)
def test_heads_of_wiki_pages(line: str, head: bool) -> None:
    assert is_head(line, dotted=True) is head


def test_a_short_sentence_is_no_head_where_heads_have_no_full_stop() -> None:
    assert not is_head("He left.", dotted=False)
    assert is_head("Early life", dotted=False)


@pytest.mark.parametrize(
    ("line", "tidy"),
    [
        (
            "Brahui () is a language , , and (; German: X) a people, ) .",
            "Brahui is a language, and (German: X) a people) .",
        ),
        ('from Asia.<ref name="A/B"></ref> It &amp; that, 1 < 2 and 3 > 2', "from Asia. It & that, 1 < 2 and 3 > 2"),
        ("&lt;onlyinclude&gt;", ""),
        ("| 2=", ""),
    ],
)
def test_remains_of_markup_go(line: str, tidy: str) -> None:
    assert tidy_wiki(line) == tidy
