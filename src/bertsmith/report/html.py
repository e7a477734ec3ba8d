"""``report.html``: a run as one page that needs nothing outside itself.

Enters: a `Report`. Leaves: an HTML file with its style and figures inside. Knows nothing of how the numbers came about.

Every text is escaped by the template and freed of signs that a page cannot hold, since texts and labels may hold
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from bertsmith.files import plain, write_text
from bertsmith.report.answer_figures import draw_batch_scores, draw_confusions, draw_reliability, draw_scatter
from bertsmith.report.classifier import count_confusions, score_batches, score_classes
from bertsmith.report.figures import choose_scores, draw_lengths, draw_losses, draw_rate, draw_scores
from bertsmith.report.metrics import versions
from bertsmith.report.record import Curves, Report, Split
from bertsmith.report.words import (
    MISSING,
    clean_text,
    clip_text,
    format_score,
    format_share,
    name_score,
    name_setting,
    show_value,
)
from bertsmith.tasks.insight import Classes, Mistake, Regression
from bertsmith.tasks.metrics import Calibration, mcc, number_scores

REPORT_NAME = "report.html"
MAX_TEXT = 400  # signs shown of one text
MAX_CLASSES = 30  # classes in the confusion matrix
MAX_LABELS = 40  # rows in the table of label counts


def write_report(report: Report, path: Path | str) -> None:
    """Write the page to ``path`` in one move. Raises `OutputError` when that is not possible."""
    write_text(path, render_report(report))


def render_report(report: Report) -> str:
    """The page as text."""
    figures: dict[str, Markup] = {}
    captions = dict.fromkeys(_FIGURES, "")
    insight = report.insight
    classes = insight.classes if insight.classes is not None and len(insight.classes.gold) else None
    regression = insight.regression if insight.regression is not None and len(insight.regression.gold) else None
    _draw_data(report, figures, captions)
    _draw_training(report, figures, captions)
    if classes is not None:
        _draw_classes(classes, figures, captions)
    if regression is not None:
        _draw_regression(regression, figures, captions)
    if insight.calibration is not None and insight.calibration.count.any():
        _draw_calibration(insight.calibration, figures, captions)
    has = {
        "data": bool(report.splits) or report.findings is not None,
        "training": any(name in figures for name in ("losses", "scores", "rate")),
        "answers": bool(insight.breakdowns) or any(name in figures for name in _OF_ANSWERS),
        "mistakes": bool(insight.mistakes),
        "settings": bool(report.settings or report.timing or report.environment),
    }
    titles = {
        "data": "Data",
        "training": "Training",
        "answers": "Answers on eval",
        "mistakes": "Worst mistakes",
        "settings": "How it was run",
    }
    captions["mistakes"] = (
        "Wrong answers that the model was most sure of."
        if any(one.confidence is not None for one in insight.mistakes)
        else "The answers farthest from the gold ones."
        if regression is not None
        else "The sentences with most that is wrong; of their spans, only those that were missed or found wrongly."
    )
    return (
        template("report.html.j2")
        .render(
            report=report,
            css=style(),
            version=versions()["bertsmith"],
            subtitle=_subtitle(report),
            command=report.command.split(" "),
            cards=[
                (name_score(name), format_score(value), name == report.metric)
                for name, value in report.headline.items()
            ],
            sections=[(name, titles[name]) for name, shown in has.items() if shown],
            has=has,
            figures=SimpleNamespace(**{name: figures.get(name) for name in _FIGURES}),
            captions=captions,
            splits=[_split_row(split) for split in report.splits],
            sources=any(split.source for split in report.splits),
            labels=_label_rows(report),
            classes=score_classes(classes) if classes is not None else [],
            breakdowns=insight.breakdowns,
            mistakes=[_shown(one) for one in insight.mistakes],
            settings=_rows(report.settings),
            timing=_rows(report.timing),
            environment=_rows(report.environment),
        )
        .strip()
        + "\n"
    )


_OF_ANSWERS = ("confusions", "batches", "reliability", "scatter")
_FIGURES = ("lengths", "losses", "scores", "rate", *_OF_ANSWERS)


def _draw_data(report: Report, figures: dict[str, Markup], captions: dict[str, str]) -> None:
    filled = [split for split in report.splits if len(split.lengths)]
    if not filled:
        return
    figures["lengths"] = Markup(draw_lengths(filled, report.max_length))
    longest = max(int(split.lengths.max()) for split in filled)
    if report.max_length is not None and report.max_length > 1.6 * longest:
        captions["lengths"] = f"The limit of {report.max_length} tokens is far to the right."


def _draw_training(report: Report, figures: dict[str, Markup], captions: dict[str, str]) -> None:
    curves = Curves(
        [one for one in report.curves.loss if np.isfinite(one[1])],
        [one for one in report.curves.rate if np.isfinite(one[1])],
        [(step, {k: v for k, v in scores.items() if np.isfinite(v)}) for step, scores in report.curves.scores],
    )
    if curves.loss or any("loss" in scores for _, scores in curves.scores):
        figures["losses"] = Markup(draw_losses(curves, report.best_step))
    if curves.loss:
        captions["losses"] = "Faint: each logged step. Strong: its running mean."
    if choose_scores(curves.scores, report.metric):
        figures["scores"] = Markup(draw_scores(curves, report.metric, report.best_step, report.baseline))
    if curves.rate:
        figures["rate"] = Markup(draw_rate(curves))


def _draw_classes(classes: Classes, figures: dict[str, Markup], captions: dict[str, str]) -> None:
    counts = count_confusions(classes)
    caption = "Numbers are examples; the shade is their share of the gold class."
    shown = np.arange(len(counts))
    if len(counts) > MAX_CLASSES:
        wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diagonal(counts)
        shown = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
        caption += f" Of {len(counts)} classes, the {MAX_CLASSES} that are confused most often."
    labels = [classes.labels[i] for i in shown.tolist()]
    figures["confusions"] = Markup(draw_confusions(counts[np.ix_(shown, shown)], labels, counts.sum(axis=1)[shown]))
    captions["confusions"] = caption
    scores, size = score_batches(classes)
    figures["batches"] = Markup(draw_batch_scores(scores, size, mcc(classes.gold, classes.predicted)))
    captions["batches"] = (
        f"Matthews correlation of each {size} examples in the order of the file: {len(scores)} batches, "
        f"from {format_score(float(scores.min()))} to {format_score(float(scores.max()))}."
    )


def _draw_calibration(calibration: Calibration, figures: dict[str, Markup], captions: dict[str, str]) -> None:
    figures["reliability"] = Markup(draw_reliability(calibration))
    captions["reliability"] = (
        f"Expected calibration error {format_score(calibration.error)}. Points under the dashed line: surer than "
        "right. The area of a point tells how many answers it stands for."
    )


def _draw_regression(regression: Regression, figures: dict[str, Markup], captions: dict[str, str]) -> None:
    figures["scatter"] = Markup(draw_scatter(regression))
    scores = number_scores(regression.predicted, regression.gold)
    captions["scatter"] = (
        ", ".join(f"{name_score(name)} {format_score(scores[name])}" for name in ("pearson", "spearman"))
        + f", {len(regression.gold):,} examples."
    )


def _subtitle(report: Report) -> str:
    parts = []
    if report.task:
        parts.append(f"task: {report.task}")
    if report.model:
        parts.append(f"started from {report.model}")
    if report.refit_steps is not None:
        parts.append(f"trained anew on train + eval for {report.refit_steps:,} steps; scored before that")
    elif report.best_step is not None:
        by = f", the best in {name_score(report.metric)}" if report.metric else ""
        parts.append(f"weights of step {report.best_step:,}{by}")
    return " · ".join(parts)


def _split_row(split: Split) -> dict[str, str]:
    some = len(split.lengths) > 0
    cut = f"{split.truncated:,} ({format_share(split.share_truncated)})" if split.truncated else "none"
    return {
        "name": split.name,
        "rows": f"{split.rows:,}",
        "tokens": f"{split.tokens:,}",
        "median": f"{np.median(split.lengths):,.0f}" if some else MISSING,
        "longest": f"{split.lengths.max():,}" if some else MISSING,
        "truncated": cut,
        "source": split.source,
    }


def _label_rows(report: Report) -> list[dict[str, Any]]:
    """Counts and shares of each label in each split, in the order of the first split that has it."""
    names = list(dict.fromkeys(name for split in report.splits for name in split.labels))
    totals = [max(1, sum(split.labels.values())) for split in report.splits]
    rows = [
        {
            "label": name,
            "counts": [
                (f"{split.labels.get(name, 0):,}", format_share(split.labels.get(name, 0) / total))
                for split, total in zip(report.splits, totals, strict=True)
            ],
        }
        for name in names[:MAX_LABELS]
    ]
    if len(names) > MAX_LABELS:
        rows.append({"label": f"and {len(names) - MAX_LABELS:,} more", "counts": [("", "")] * len(totals)})
    return rows


def _shown(mistake: Mistake) -> dict[str, str | None]:
    return {
        "text": clip_text(mistake.text, MAX_TEXT),
        "text_pair": None if mistake.text_pair is None else clip_text(mistake.text_pair, MAX_TEXT),
        "gold": clip_text(mistake.gold, 120) or "(nothing)",
        "predicted": clip_text(mistake.predicted, 120) or "(nothing)",
        "confidence": None if mistake.confidence is None else format_share(mistake.confidence),
    }


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name_setting(name), show_value(plain(value))) for name, value in values.items()]


def template(name: str) -> Template:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=_finalize
    )
    environment.filters["score"] = format_score
    environment.filters["score_name"] = name_score
    return environment.from_string(_resource(name))


def _finalize(value: Any) -> Any:
    """What the template puts on the page: no text comes there with signs that a page cannot hold."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return escape("\n".join(clean_text(line) for line in value.split("\n")))
    return value


def style() -> Markup:
    """The style sheet of every page."""
    return Markup(_resource("report.css"))


def _resource(name: str) -> str:
    return (files("bertsmith.report") / name).read_text(encoding="utf-8")
