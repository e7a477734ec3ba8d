from __future__ import annotations

import re

import numpy as np
import pytest

from bertsmith.report.answer_figures import draw_batch_scores, draw_confusions, draw_reliability, draw_scatter
from bertsmith.report.classifier import count_confusions
from bertsmith.tasks.insight import Regression
from bertsmith.tasks.metrics import class_calibration

from .conftest import make_classes


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("num_classes", [2, 5, 12, 30])
def test_every_count_stands_in_the_matrix(num_classes: int) -> None:
    classes = make_classes(num_classes, 300)
    counts = count_confusions(classes)
    drawn = texts(draw_confusions(counts, classes.labels, counts.sum(axis=1)))
    numbers = [int(text) for text in drawn if text.isdigit()]
    assert sorted(number for number in numbers if number) == sorted(counts[counts > 0].tolist())


def test_shades_are_shares_of_the_whole_gold_class() -> None:
    svg = draw_confusions(np.array([[5, 0], [2, 8]]), ["a", "b"], np.array([10, 10]))  # 5 of "a" went elsewhere
    shades = [float(found) for found in re.findall(r"fill-opacity: ([\d.]+)", svg)]
    assert shades == pytest.approx([0.52, 0.04, 0.232, 0.808], abs=1e-3)


def test_a_class_without_examples_divides_by_nothing() -> None:
    svg = draw_confusions(np.array([[0, 0], [1, 2]]), ["a", "b"], np.array([0, 3]))
    assert "nan" not in svg


def test_batches_and_the_whole() -> None:
    drawn = texts(draw_batch_scores(np.array([0.5, -0.25, 0.75]), 32, 0.4321))
    assert "batch of 32 examples" in drawn
    assert "all together: 0.432" in drawn


def test_reliability_of_a_model_that_is_always_sure() -> None:
    classes = make_classes(2, 20)
    sure = class_calibration(np.eye(2)[classes.predicted], classes.gold)
    svg = draw_reliability(sure)
    assert "nan" not in svg
    assert "confidence" in texts(svg)


@pytest.mark.parametrize(("num_examples", "drawn"), [(1, 1), (2000, 2000), (2001, 1001), (9000, 1800)])
def test_points_of_a_scatter(num_examples: int, drawn: int) -> None:
    gold = np.linspace(0, 5, num_examples)
    svg = draw_scatter(Regression(gold, gold[::-1]))
    points = re.findall(r'<use [^>]*style="fill: var\(--blue, #0072b2\)', svg)
    assert len(points) == drawn
