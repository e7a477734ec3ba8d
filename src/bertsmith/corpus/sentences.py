"""Paragraphs to sentences.

Enters: paragraphs. Leaves: their sentences, in order. The rules and the abbreviations of each language are those of the
library `sentencex`; here each paragraph gets its language, and a list's numbers stay with what they number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import sentencex

from bertsmith.corpus.prose import CJK

AUTO = "auto"
CJK_SHARE = 0.2  # of the characters of a paragraph; Chinese text with formulas and names in Latin letters has more

_SAYS_SOMETHING = re.compile(rf"[^\W\d_]{{2}}|{CJK.pattern}")


def split_sentences(paragraphs: Iterable[str], language: str = AUTO) -> list[str]:
    """The sentences of the paragraphs, stripped, none empty.

    language: ISO 639 code (``en``, ``zh``, ``de``, ...); ``auto`` takes a paragraph for Chinese where `CJK_SHARE` of it
              are Chinese or Japanese characters, and for English elsewhere

    >>> split_sentences(["Dr. Smith met J. R. Jones in the U.S. Army. It rained.", "他走了。真的吗？"])
    ['Dr. Smith met J. R. Jones in the U.S. Army.', 'It rained.', '他走了。', '真的吗？']
    """
    sentences: list[str] = []
    for paragraph in paragraphs:
        begun = ""  # "1." and the like, which belong to what follows
        for piece in sentencex.segment(_language(paragraph) if language == AUTO else language, paragraph):
            begun += piece
            if len(piece) > 15 or _SAYS_SOMETHING.search(piece):
                sentences.append(begun.strip())
                begun = ""
        if begun := begun.strip():
            sentences.append(begun)
    return sentences


def _language(paragraph: str) -> str:
    if paragraph.isascii():
        return "en"
    return "zh" if len(CJK.findall(paragraph)) >= CJK_SHARE * len(paragraph) else "en"
