from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bertsmith.report.words import clean_text, clip_text, format_duration, format_number, format_score

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text)
def test_clean_text_can_be_shown(text: str) -> None:
    clean = clean_text(text)
    clean.encode("utf-8")
    assert all(sign.isprintable() or sign in "\u200c\u200d" for sign in clean)
    assert clean_text(clean) == clean


@given(any_text, st.integers(1, 20))
def test_clipped_text_is_short_and_says_so(text: str, limit: int) -> None:
    clipped = clip_text(text, limit)
    assert len(clipped) <= limit
    whole = " ".join(clean_text(text).split())
    assert clipped == whole or clipped.endswith("…")


def test_joiners_of_scripts_and_emoji_stay() -> None:
    assert clean_text("می\u200cخواهم 👩\u200d🔬") == "می\u200cخواهم 👩\u200d🔬"


def test_numbers_near_a_border() -> None:
    assert format_score(-0.12345) == "−0.123"
    assert format_score(-0.0001) == "0.000"
    assert format_score(10.0) == "10.00"
    assert format_number(999.96) == "1.0k"
    assert format_number(99_950) == "100k"
    assert format_number(999_960) == "1.0M"
    assert format_duration(59.7) == "1:00"
