from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bertsmith.errors import OutputError
from bertsmith.report.html import MAX_TEXT, render_report, write_report
from bertsmith.report.record import Curves, Report, Split
from bertsmith.tasks.insight import Classes, Insight, Mistake

from .conftest import make_classes

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: elements by name, their attributes, texts; and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1:] == [tag]
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style" and data.strip():
            self.texts.append(data.strip())

    @property
    def headings(self) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in self.elements if tag == "h2"]

    @property
    def figures(self) -> set[str]:
        return {attrs["aria-label"] or "" for tag, attrs in self.elements if tag == "svg"}


@pytest.fixture(scope="module")
def full_html(full_report: Report) -> str:
    return render_report(full_report)


def test_page_needs_nothing_outside_itself(full_html: str) -> None:
    page = Page(full_html)
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "img", "iframe", "object")]
    for tag, attrs in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#"), (tag, attrs)
    assert not re.search(r"url\((?!#)|@import|https?://", full_html)


def test_ids_are_unique_and_references_resolve(full_html: str) -> None:
    page = Page(full_html)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {(attrs.get("href") or attrs.get("xlink:href") or "#")[1:] for _, attrs in page.elements} - {""}
    wanted |= {found[5:-1] for _, attrs in page.elements if (found := attrs.get("clip-path"))}
    assert wanted
    assert wanted <= set(ids)


def test_every_part_is_shown_when_given(full_html: str) -> None:
    page = Page(full_html)
    assert page.headings == ["data", "training", "answers", "mistakes", "settings"]
    assert page.figures == {
        "Histogram of sequence lengths",
        "Loss by step",
        "Scores by step",
        "Learning rate by step",
        "Confusion matrix",
        "MCC of each batch",
        "Reliability diagram",
        "Predicted scores against gold scores",
    }
    for text in (
        "0.346",
        "7 (2.3%)",
        "200",
        "66.7%",
        "3 texts of train occur more than once.",
        "LOC",
        "1,234",
        "98.7%",
    ):
        assert text in page.texts or any(text in one for one in page.texts), text
    command = " ".join(page.texts)
    assert all(word in command for word in ("--task", "'a", "b.tsv'", "runs/x"))


EMPTY_PARTS = [
    ({"splits": (), "findings": None}, "data", {"Histogram of sequence lengths"}),
    ({"curves": Curves()}, "training", {"Loss by step", "Scores by step", "Learning rate by step"}),
    (
        {"insight": Insight(mistakes=[Mistake("A wrong one.", "yes", "no")])},
        "answers",
        {"Confusion matrix", "MCC of each batch", "Reliability diagram", "Predicted scores against gold scores"},
    ),
    ({"settings": {}, "timing": {}, "environment": {}}, "settings", set()),
]


@pytest.mark.parametrize(("left_out", "section", "figures"), EMPTY_PARTS)
def test_parts_that_are_not_given_are_not_shown(
    full_report: Report, full_html: str, left_out: dict[str, object], section: str, figures: set[str]
) -> None:
    whole = Page(full_html)
    page = Page(render_report(replace(full_report, **left_out)))
    assert set(whole.headings) - set(page.headings) == {section}
    assert whole.figures - page.figures == figures


def test_no_mistakes_no_list_of_them(full_report: Report, full_html: str) -> None:
    page = Page(render_report(replace(full_report, insight=replace(full_report.insight, mistakes=()))))
    assert set(Page(full_html).headings) - set(page.headings) == {"mistakes"}


def test_of_a_refitted_model_the_weights_are_those_of_no_step(full_report: Report, full_html: str) -> None:
    assert any("weights of step 40, the best in MCC" in text for text in Page(full_html).texts)
    texts = Page(render_report(replace(full_report, refit_steps=75))).texts
    assert not any("weights of step" in text for text in texts)
    assert any(text.endswith("trained anew on train + eval for 75 steps; scored before that") for text in texts)


def test_title_alone_makes_a_page() -> None:
    page = Page(render_report(Report("Only a title")))
    assert page.headings == []
    assert page.figures == set()
    assert "Only a title" in page.texts


HOSTILE = '<script>alert("x")</script> & \x00 \ud800 \u202e reversed {{ 7*7 }} $x^2$ #0072b2 " onload="x'


def test_hostile_texts_stay_texts(full_report: Report, tmp_path: Path) -> None:
    classes = make_classes(3)
    hostile = replace(
        full_report,
        title=HOSTILE,
        command=HOSTILE,
        task=HOSTILE,
        model=HOSTILE,
        headline={HOSTILE: 0.5},
        settings={HOSTILE: HOSTILE},
        splits=[Split(HOSTILE, 2, np.array([3, 4]), 0, {HOSTILE: 2}, HOSTILE)],
        findings=[HOSTILE],
        curves=Curves((), (), [(1, {HOSTILE: 0.5}), (2, {HOSTILE: 0.6})]),
        insight=Insight(
            classes=Classes([HOSTILE, "", "日本語"], classes.gold, classes.predicted, classes.probabilities),
            mistakes=[Mistake(HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE)],
        ),
        environment={HOSTILE: HOSTILE},
    )
    write_report(hostile, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")  # strict: there is no surrogate in it
    page = Page(html)
    assert not [tag for tag, attrs in page.elements if tag == "script" or "onload" in attrs]
    assert "\x00" not in html
    assert "\u202e" not in html
    assert "{{ 7*7 }}" in html
    assert any("日本語" in text for text in page.texts)


def test_long_and_right_to_left_texts(full_report: Report) -> None:
    long = "word " * 100_000
    arabic = "شكرا جزيلا"
    mistakes = [Mistake(long, "yes", "no"), Mistake(arabic, "yes", "no")]
    html = render_report(replace(full_report, insight=Insight(mistakes=mistakes)))
    shown = [text for text in Page(html).texts if text.startswith("word word")]
    assert [len(text) for text in shown] == [MAX_TEXT]
    assert shown[0].endswith("…")
    assert f'dir="auto">{arabic}<' in html


@pytest.mark.parametrize("num_classes", [2, 12, 30, 45])
def test_confusion_matrix_of_many_sizes(num_classes: int) -> None:
    page = Page(render_report(Report("x", insight=Insight(make_classes(num_classes, 400)))))
    drawn = [text for text in page.texts if re.fullmatch(r"class \d+", text)]
    shown = min(30, num_classes)
    assert len(drawn) == num_classes + 2 * shown  # once in the table, twice beside the matrix


def test_numbers_that_are_not_finite_are_left_out() -> None:
    nan = float("nan")
    curves = Curves([(1, nan), (2, 1.0), (3, float("inf"))], [(1, nan)], [(2, {"mcc": nan, "loss": 0.5})])
    page = Page(render_report(Report("x", headline={"mcc": nan}, curves=curves)))
    assert page.figures == {"Loss by step"}
    assert "–" in page.texts


def test_same_report_same_bytes(full_report: Report, full_html: str) -> None:
    assert render_report(full_report) == full_html


def test_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^[^\n]*report\.html: cannot be written[^\n]*$"):
        write_report(Report("x"), tmp_path / "file" / "report.html")
