from __future__ import annotations

import numpy as np
import pytest

from bertsmith.report.figures import choose_scores, draw_lengths, smooth
from bertsmith.report.record import Split


def test_smooth_keeps_a_constant_and_does_not_lag() -> None:
    assert smooth(np.full(50, 3.0)) == pytest.approx(np.full(50, 3.0))
    line = np.arange(100.0)
    assert smooth(line)[20:80] == pytest.approx(line[20:80])
    assert smooth(np.array([2.0])) == pytest.approx([2.0])


def test_smooth_is_quieter_than_what_it_smooths() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 400)
    assert smooth(noise).std() < 0.4 * noise.std()


def test_scores_that_share_an_axis() -> None:
    fractions = [(1, {"loss": 0.5, "accuracy": 0.7, "mcc": 0.3, "ece": 0.1})]
    assert choose_scores(fractions, "mcc") == ["mcc", "accuracy"]
    hundreds = [(1, {"exact_match": 3.0, "f1": 60.0, "has_answer": 0.5}), (2, {"exact_match": 50.0, "f1": 0.4})]
    assert choose_scores(hundreds, "f1") == ["f1", "exact_match"]
    assert choose_scores([(1, {"loss": 0.5})], "mcc") == []


def test_the_limit_is_drawn_where_it_lies_near_the_data() -> None:
    splits = [Split("train", 3, np.array([5, 20, 60]))]
    assert "limit 64" in draw_lengths(splits, 64)
    assert "limit 512" not in draw_lengths(splits, 512)


def test_every_length_is_in_the_histogram() -> None:
    from bertsmith.report import figures

    seen: list[int] = []
    original = np.histogram

    def count(values: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts, edges = original(values, bins=bins)
        seen.append(int(counts.sum()))
        return counts, edges

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures.np, "histogram", count)
        for longest in (1, 40, 41, 512):
            draw_lengths([Split("train", longest, np.arange(1, longest + 1))], None)
    assert seen == [1, 40, 41, 512]
