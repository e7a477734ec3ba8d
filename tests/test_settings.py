"""Options by flat name to nested dataclasses, and back to a command line that gives the same options."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from cyclopts import App, Parameter

from bertsmith.errors import SettingsError
from bertsmith.settings import also_named, by_field, from_flat, to_command, to_flat
from bertsmith.stages.finetune_settings import FinetuneSettings

Flat = Annotated[FinetuneSettings, Parameter(name="*")]


@dataclass(frozen=True)
class Inner:
    rate: Annotated[float, also_named("learning_rate", "peak_rate")] = 1e-4
    steps: int | None = None
    quiet: bool = True


@dataclass(frozen=True)
class Outer:
    train: str
    name: str = "x"
    keep_best: bool = False
    inner: Inner = field(default_factory=Inner)


def test_names_of_all_levels_lie_side_by_side() -> None:
    settings = from_flat(Outer, {"train": "a.tsv", "rate": 0.5, "keep_best": True})
    assert settings == Outer("a.tsv", keep_best=True, inner=Inner(rate=0.5))
    assert to_flat(settings) == {
        "train": "a.tsv",
        "name": "x",
        "keep_best": True,
        "rate": 0.5,
        "steps": None,
        "quiet": True,
    }
    assert from_flat(Outer, to_flat(settings)) == settings


def test_an_option_goes_by_all_of_its_names() -> None:
    for name in ("rate", "learning_rate", "peak_rate"):
        settings = from_flat(Outer, {"train": "a", name: 0.5})
        assert settings == Outer("a", inner=Inner(rate=0.5))
        assert by_field(Outer, {"name": "y", name: 0.5}) == {"name": "y", "rate": 0.5}
        assert to_flat(settings)["rate"] == 0.5
        assert to_command("train", settings) == "bertsmith train --train a --rate 0.5"
    with pytest.raises(SettingsError, match=r"^'rate' and 'peak_rate' are one option; give one of them$"):
        from_flat(Outer, {"train": "a", "rate": 0.5, "peak_rate": 0.5})
    with pytest.raises(SettingsError, match=r"did you mean 'learning_rate'\?$"):
        from_flat(Outer, {"train": "a", "lerning_rate": 0.5})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("learning_rate", "lr", 3e-4),
        ("warmup_steps", "warmup", 100.0),
        ("end_learning_rate", "end_lr", 1e-5),
        ("num_train_steps", "steps", 7),
        ("max_steps", "steps", 7),
        ("train_batch_size", "batch_size", 4),
    ],
)
def test_names_that_other_software_has_are_options_of_training(name: str, field: str, value: float) -> None:
    """In Python, and on the command line."""
    expected = from_flat(FinetuneSettings, {"train": "a", "out": "x", field: value})
    assert getattr(expected.fit, field) == value
    assert from_flat(FinetuneSettings, {"train": "a", "out": "x", name: value}) == expected
    assert read_words(["--train", "a", "--out", "x", f"--{name.replace('_', '-')}", f"{value:g}"]) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": "a", "keep_bset": True}, "there is no option 'keep_bset'; did you mean 'keep_best'?"),
        ({"train": "a", "inner": Inner()}, "there is no option 'inner'"),
        ({"rate": 1.0}, "'train' must be given"),
    ],
)
def test_wrong_names_are_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        from_flat(Outer, values)


def test_whole_numbers_are_numbers() -> None:
    settings = from_flat(Outer, {"train": "a", "rate": 1, "steps": 4.0})
    assert repr(settings.inner) == "Inner(rate=1.0, steps=4, quiet=True)"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": "1e-4"}, "rate is '1e-4'; give a number"),
        ({"rate": None}, "rate is None; give a number"),
        ({"rate": True}, "rate is True; give a number"),
        ({"steps": 4.5}, "steps is 4.5; give a whole number or None"),
        ({"steps": False}, "steps is False; give a whole number or None"),
        ({"keep_best": 1}, "keep_best is 1; give True or False"),
        ({"name": 5}, "name is 5; give a text"),
        ({"train": ["a"]}, r"train is \['a'\]; give a text"),
    ],
)
def test_a_value_of_another_type_is_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}$"):
        from_flat(Outer, {"train": "a", **values})


def test_a_word_that_is_none_of_the_choices_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"^schedule is 'linaer'; did you mean 'linear'\?$"):
        from_flat(FinetuneSettings, {"train": "a", "out": "x", "schedule": "linaer"})
    with pytest.raises(SettingsError, match=r"^truncation is 3; give 'longest_first' or .* or None$"):
        from_flat(FinetuneSettings, {"train": "a", "out": "x", "truncation": 3})


def test_a_command_names_what_differs_from_the_defaults() -> None:
    settings = Outer("my file.tsv", keep_best=True, inner=Inner(rate=2e-5, quiet=False))
    assert to_command("train", settings) == "bertsmith train --train 'my file.tsv' --keep-best --rate 2e-05 --no-quiet"
    assert to_command("train", Outer("a")) == "bertsmith train --train a"


def test_a_command_of_finetune_gives_the_same_settings() -> None:
    """The command line reads its own command again."""
    settings = from_flat(
        FinetuneSettings,
        {
            "train": "my data/train.tsv",
            "out": "runs/it's",
            "task": "answer",
            "lr": 3e-5,
            "epochs": 2.5,
            "keep_best": True,
            "multi_label": False,
            "columns": "source,label,_,sentence",
            "schedule": "cosine",
            "max_length": 384,
            "no_answer_threshold": -1.5,
        },
    )
    assert read_words(shlex.split(to_command("finetune", settings))[2:]) == settings


def read_words(words: list[str]) -> FinetuneSettings:
    """The settings that the words behind ``bertsmith finetune`` give."""
    found = []
    app = App()

    @app.default
    def finetune(*, settings: Flat) -> None:
        found.append(settings)

    app(words, result_action="return_value")
    return found[0]
