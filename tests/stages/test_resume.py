"""--resume: a run killed anywhere and resumed ends in the same bytes as one that was not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .processes import KILLED, Processes, kill_often, read_metrics, same_outcome, story


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Rows to train on and to evaluate on. They use a part of the vocabulary: the rest of the embedding only decays."""
    place = tmp_path_factory.mktemp("rows")
    for name, seeds in (("train", range(24)), ("dev", range(24, 34))):
        drawn = [random.Random(seed) for seed in seeds]
        rows = [f"the {one.choice(['cat', 'dog'])} was {one.choice(['good', 'bad'])}" for one in drawn]
        lines = [f"{row}\t{'up' if row.endswith('good') else 'down'}\n" for row in rows]
        (place / f"{name}.tsv").write_text("text\tlabel\n" + "".join(lines))
    return place / "train.tsv", place / "dev.tsv"


# What is run. Each saves its state every step or two, and ends in some twelve steps.
SHORT: dict[str, Any] = {"batch-size": 4, "log-every": 1, "lr": 3e-3}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {"steps": 8, "validation": 0, "save-every": 1},
    "best": {"steps": 9, "eval-every": 3, "save-every": 2, "keep-best": True, "metric": "loss"},
    "refit": {"epochs": 1, "eval-every": 2, "save-every": 2, "keep-best": True, "refit": True},
    "patience": {"steps": 30, "eval-every": 1, "save-every": 1, "patience": 2, "lr": 1e-12},
    # These take less than the half minute after which a state is saved.
    "unsaved": {"steps": 3, "validation": 0},
    "clock": {"minutes": 0.005, "refit": True},
}


@pytest.fixture(scope="module")
def words(files: tuple[Path, Path], model_folder: Callable[[str], Path]) -> Callable[..., list[str]]:
    """``words("plain", out, lr=1e-4)`` is the command line of a run, with options other than its own."""
    train, dev = files

    def find(name: str, out: Path, **options: Any) -> list[str]:
        held_out = {} if "validation" in RUNS[name] else {"eval": dev}
        start = {"model": model_folder("regress"), "train": train, "out": out, **SHORT, **held_out}
        given = {flag.replace("_", "-"): value for flag, value in options.items()}
        return ["finetune", *command_line({**start, **RUNS[name], **given})]

    return find


def command_line(options: dict[str, Any]) -> list[str]:
    pairs = [[f"--{flag}"] if value is True else [f"--{flag}", str(value)] for flag, value in options.items()]
    return [word for pair in pairs for word in pair]


@pytest.fixture(scope="module")
def unbroken(
    processes: Processes, words: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """``unbroken("plain")`` is the folder of that run, which nothing disturbed."""
    place = tmp_path_factory.mktemp("unbroken")

    def find(name: str) -> Path:
        out = place / name / "x"
        if not out.exists():
            code, _ = processes.run(words(name, out))
            assert code == 0, processes.told.read_text()
        return out

    return find


@pytest.mark.parametrize(
    ("name", "kills", "most"),
    [("plain", 8, 80), ("best", 8, 60), ("refit", 5, 60)],
)
def test_kills_change_no_byte(
    name: str,
    kills: int,
    most: int,
    processes: Processes,
    words: Callable[..., list[str]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """most: a process is killed at one of its first so many operations on files."""
    out = tmp_path / "x"
    drawn = random.Random(name)
    killed = 0
    code: int | None = KILLED
    while code == KILLED:
        resume = {"resume": True} if killed else {}
        code, _ = processes.run(words(name, out, **resume), out, drawn.randint(1, most) if killed < kills else 0)
        killed += code == KILLED
    assert code == 0, processes.told.read_text()
    assert killed >= kills // 2  # a run may reach its end before
    same_outcome(out, unbroken(name))


@pytest.mark.parametrize("name", ["plain", "best", "refit", "patience"])
def test_a_kill_as_the_model_is_written_changes_no_byte(
    name: str, processes: Processes, words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    """Training has ended, and its last state is resumed: no further step is taken."""
    out = tmp_path / "x"
    code, _ = processes.run(words(name, out), f"{out}/.tmp-", 2)
    assert code == KILLED
    assert not (out / "model.safetensors").exists()
    code, _ = processes.run(words(name, out, resume=True))
    assert code == 0, processes.told.read_text()
    same_outcome(out, unbroken(name))


@pytest.mark.parametrize("last", ["report.html", "metrics.json"])
def test_a_kill_at_the_last_files_can_be_resumed(
    last: str, processes: Processes, words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    """Also where no state was saved: it is run again."""
    out = tmp_path / "x"
    code, _ = processes.run(words("unsaved", out), f"{out}/.{last}", 2)
    assert code == KILLED
    assert list(out.glob(".*.part")) != []
    code, _ = processes.run(words("unsaved", out, resume=True))
    assert code == 0, processes.told.read_text()
    same_outcome(out, unbroken("unsaved"))


def test_a_refit_is_resumed_for_the_tuning_it_began_with(
    processes: Processes, words: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The clock ended the tuning: once more, it might have ended at another step."""
    out = tmp_path / "x"
    code, _ = processes.run(words("clock", out), f"{out}/.tmp-", 2)
    assert code == KILLED
    tuned = story(out)
    code, _ = processes.run(words("clock", out, resume=True))
    assert code == 0, processes.told.read_text()
    assert f"resuming at step {tuned[-1]['step']:,}\n" in processes.told.read_text()
    assert story(out) == tuned
    metrics = read_metrics(out)
    assert metrics["steps"] == tuned[-1]["step"]
    assert metrics["refit"]["steps"] == round(metrics["best_step"] / 6 * 9)  # batches of 24 rows, and of 34


# What is refused


@pytest.fixture
def stopped(processes: Processes, words: Callable[..., list[str]], tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The folder of a run that is stopped in the middle of its third save, and its process, which lives."""
    out = tmp_path / "x"
    code, process = processes.run(words("best", out), f"{out}/state/.new", 9, "SIGSTOP")
    assert code is None
    yield out, process
    processes.end(process)


def test_a_folder_in_use_is_refused(
    stopped: tuple[Path, int],
    processes: Processes,
    words: Callable[..., list[str]],
    unbroken: Callable[[str], Path],
) -> None:
    out, process = stopped
    before = sorted(path.name for path in out.rglob("*"))
    for flag in ({}, {"resume": True}, {"overwrite": True}):
        code, _ = processes.run(words("best", out, **flag))
        assert code == 2
        assert processes.told.read_text() == (
            f"bertsmith: error: {out} is in use by process {process}; wait for it to end, or name another --out\n"
        )
    assert sorted(path.name for path in out.rglob("*")) == before


def test_a_killed_run_goes_on_only_as_it_began(
    files: tuple[Path, Path],
    processes: Processes,
    words: Callable[..., list[str]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "x"
    code, _ = processes.run(words("best", out), f"{out}/state/.new", 9)
    assert code == KILLED

    code, _ = processes.run(words("best", out))
    assert code == 2
    assert processes.told.read_text() == (
        f"bertsmith: error: {out}: holds a run already; give --resume to go on with it, --overwrite to replace it, or "
        f"another --out\n"
    )
    code, _ = processes.run(words("best", out, resume=True, lr=0.004))
    assert code == 2
    assert processes.message.startswith(f"bertsmith: error: {out}: --resume: lr was 0.003 when the run was stopped")
    assert processes.message.endswith("and is 0.004 now; give it as it was, or start anew with --overwrite")
    for flag, what, path in zip(("train", "eval"), ("training", "evaluation"), files, strict=True):
        changed = tmp_path / "changed.tsv"
        changed.write_text(path.read_text().replace("cat", "park"))
        code, _ = processes.run(words("best", out, resume=True, **{flag: changed}))
        assert code == 2
        assert f"the {what} data was " in processes.message

    code, _ = processes.run(words("best", out, resume=True, save_every=1))  # changes no weight
    assert code == 0, processes.told.read_text()
    assert story(out) == story(unbroken("best"))
    assert (out / "model.safetensors").read_bytes() == (unbroken("best") / "model.safetensors").read_bytes()


def test_a_run_that_ended_is_not_resumed_but_replaced(
    processes: Processes, words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    shutil.copytree(unbroken("best"), out)
    code, _ = processes.run(words("best", out, resume=True))
    assert code == 2
    ended = "this run has ended, there is nothing to resume; see its report.html"
    assert processes.told.read_text() == f"bertsmith: error: {out}: {ended}\n"
    same_outcome(out, unbroken("best"))

    code, _ = processes.run(words("plain", out, overwrite=True))
    assert code == 0, processes.told.read_text()
    same_outcome(out, unbroken("plain"))


def test_a_model_without_a_run_is_not_resumed(
    processes: Processes, words: Callable[..., list[str]], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    shutil.copytree(model_folder("classify"), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, _ = processes.run(words("plain", out, resume=True))
    assert code == 2
    assert processes.message.startswith(f"bertsmith: error: {out}: holds a model and no run that was stopped")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_mistaken_overwrite_leaves_the_earlier_run(
    processes: Processes, words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    shutil.copytree(unbroken("best"), out)
    code, _ = processes.run(words("best", out, overwrite=True, train=tmp_path / "nowhere.tsv"))
    assert code == 2
    same_outcome(out, unbroken("best"))


def test_resume_where_nothing_was_begun_starts(
    processes: Processes, words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    code, _ = processes.run(words("plain", tmp_path / "x", resume=True))
    assert code == 0
    assert "no state was saved yet: starting from step 0" in processes.told.read_text()
    same_outcome(tmp_path / "x", unbroken("plain"))


# The command itself, killed from outside


def refit(words: Callable[..., list[str]], out: Path) -> Callable[[bool], list[str]]:
    return lambda again: words("refit", out, **({"resume": True} if again else {}))


def test_the_command_can_be_killed_from_outside(
    words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    assert kill_often(refit(words, tmp_path / "x"), tmp_path / "x", 1, 0.5)[0] == 1
    same_outcome(tmp_path / "x", unbroken("refit"))


@pytest.mark.slow
def test_the_command_can_be_killed_twenty_times(
    words: Callable[..., list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    killed = 0
    for seed in range(20):
        out = tmp_path / str(seed) / "x"
        killed += kill_often(refit(words, out), out, 20 - killed, 2.0, seed)[0]
        same_outcome(out, unbroken("refit"))
        if killed == 20:
            break
    assert killed == 20
