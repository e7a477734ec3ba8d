"""Which lines of a text are prose, and where its paragraphs are.

Enters: lines. Leaves: paragraphs: lines joined where a file breaks them at a width, without heads of sections, and
without what WikiExtractor leaves of templates and tables. Knows nothing of files or documents.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import pairwise

# In English Wikipedia of 2015, a paragraph of up to seven words that ends with a full stop is a head more often than a
# sentence, and one of up to twelve words that ends like no sentence is a head, or what is left of a list or table.
MOST_HEAD_WORDS = 7
MOST_FRAGMENT_WORDS = 12

CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

WIDEST = 120  # columns; a longer line was not broken at a width

_ENDS = tuple(".!?…。！？．｡।॥۔؟։።။")  # Latin, Chinese, Japanese, Indic, Arabic, Armenian, Ethiopic, Burmese
_CLOSERS = "\"'”’»)]）」』】〉》 "
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_EMPTY = re.compile(r"\([\s,;:]*\)")
_OPENS_EMPTY = re.compile(r"\(\s*[,;]\s*")
_CLOSES_EMPTY = re.compile(r"\s*,\s*\)")
_COMMAS = re.compile(r"\s*,(?:\s*,)+|\s+,")


def ends_sentence(line: str) -> bool:
    """Whether a line ends as a sentence does, be it in quotes or brackets.

    >>> ends_sentence('He said "no."'), ends_sentence("His works include:"), ends_sentence("他走了。")
    (True, False, True)
    """
    return line.rstrip(_CLOSERS).endswith(_ENDS)


def num_words(line: str) -> float:
    """Words of a line; a Chinese or Japanese character counts as half of one.

    >>> num_words("Early life"), num_words("早年生活")
    (2, 2.0)
    """
    if line.isascii():
        return len(line.split())
    characters = len(CJK.findall(line))
    return len(CJK.sub(" ", line).split()) + characters / 2 if characters else len(line.split())


def is_head(line: str, *, dotted: bool) -> bool:
    """Whether a paragraph is a section's head, or a fragment of a list, rather than prose.

    dotted: heads may end with a full stop, which is how WikiExtractor writes them: "History."

    >>> is_head("History.", dotted=True), is_head("He left.", dotted=False), is_head("Ports, by size:", dotted=False)
    (True, False, True)
    """
    if len(line) > 150:  # for speed: twelve words are shorter
        return False
    words = num_words(line)
    if words > MOST_FRAGMENT_WORDS:
        return False
    return not ends_sentence(line) or (dotted and words <= MOST_HEAD_WORDS and line.endswith("."))


def tidy_wiki(line: str) -> str:
    """A line of WikiExtractor's output without its remains of markup; "" when it is nothing else.

    >>> tidy_wiki("Adelaide ( ; , ) is the capital , ,<br> in &lt;2&gt;.")
    'Adelaide is the capital, in <2>.'
    >>> tidy_wiki("|{{#ifeq:|.|A|a}}rchived")
    ''
    """
    if line.startswith("|") or "{{" in line or "}}" in line:
        return ""
    tidy = html.unescape(line) if "&" in line else line
    if "<" in tidy:
        tidy = _TAG.sub(" ", tidy)
    if "(" in tidy:
        tidy = _OPENS_EMPTY.sub("(", _EMPTY.sub("", tidy))
        if ", )" in tidy or ",)" in tidy:
            tidy = _CLOSES_EMPTY.sub(")", tidy)
    if " ," in tidy or ",," in tidy:
        tidy = _COMMAS.sub(",", tidy)
    return tidy.strip() if tidy is line else " ".join(tidy.split())


def are_wrapped(lines: Sequence[str]) -> bool:
    """Whether lines, empty ones among them, are broken at a width, as in a file of 72 columns: the first word of most
    lines would not have fitted on the line above, and most lines end within a sentence.

    >>> are_wrapped(["One two three four", "five six seven", "eight nine ten.", "", "A b c d e f g h i"])
    True
    >>> are_wrapped(["A whole paragraph.", "And one more, on one line.", "Short."])
    False
    """
    ends = [line.rstrip() for line in lines]  # indentation counts, as it does on the screen
    pairs = [(above, below) for above, below in pairwise(ends) if above and below]
    if not pairs:
        return False
    widths = sorted(_width(above) for above, _ in pairs)
    width = widths[len(widths) * 3 // 4]  # the widest quarter may stand out: addresses, tables
    full = sum(_width(above) + 1 + _width(_first_word(below)) > width for above, below in pairs)
    within = sum(not ends_sentence(above) for above, _ in pairs)
    return width <= WIDEST and full >= 0.7 * len(pairs) and within >= 0.5 * len(pairs)


def join_lines(above: str, below: str) -> str:
    """Two lines of a paragraph as one. There is no space between Chinese characters, or behind a hyphen.

    >>> join_lines("one", "two"), join_lines("well-", "known"), join_lines("他走", "了。")
    ('one two', 'well-known', '他走了。')
    """
    if above.endswith("-") or (CJK.match(above[-1:]) and CJK.match(below)):
        return above + below
    return f"{above} {below}"


def _first_word(line: str) -> str:
    word = line.split(maxsplit=1)[0]
    return word[0] if CJK.match(word) else word  # a line may end between any two Chinese characters


def _width(line: str) -> int:
    """Columns that a line takes on a screen, where Chinese and Japanese characters take two."""
    return len(line) if line.isascii() else len(line) + len(CJK.findall(line))
