"""The command line as people and scripts meet it: words in; standard output, standard error and an exit code out."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.cli.app import run

POSITIVE = ["a lovely film", "what a joy", "simply wonderful", "great fun from start to end", "I loved it", "superb"]
NEGATIVE = ["a dull film", "what a bore", "simply awful", "a waste of time", "I hated it", "terrible"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.tsv"
    rows = [(text, "good") for text in POSITIVE] + [(text, "bad") for text in NEGATIVE]
    path.write_text("sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


@pytest.fixture(scope="module")
def trained(reviews: Path, starter_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps of the starter, by the command line with a file of options."""
    place = tmp_path_factory.mktemp("runs")
    config = place / "options.toml"
    config.write_text('task = "classify"\nlr = 2e-4\nbatch-size = 4\nmax_length = 32\nsteps = 50\nprecision = "fp32"\n')
    words = ["--model", "starter", "--train", str(reviews), "--eval", str(reviews), "--out", str(place / "x")]
    assert run(["finetune", *words, "--config", str(config), "--steps", "12"]) == 0
    return place / "x"


def test_finetune_obeys_file_and_flags(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["steps"] == 12  # the flag, not the 50 of the file
    assert metrics["examples"] == 12 * 4
    assert metrics["settings"]["lr"] == 2e-4
    assert {"mcc", "accuracy", "f1"} <= set(metrics["eval"])
    assert (trained / "report.html").is_file()


def test_evaluate_json_prints_one_object(trained: Path, reviews: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--model", str(trained), "--data", str(reviews), "--json"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    trained_scores = json.loads((trained / "metrics.json").read_text())["eval"]
    assert json.loads(out) == pytest.approx(trained_scores, abs=1e-5)


def test_predict_writes_json_lines(trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--model", str(trained), "--text", "a lovely film", "--text", "-- dull"]) == 0
    out = capfd.readouterr().out
    answers = [json.loads(line) for line in out.splitlines()]
    assert [set(answer["probabilities"]) for answer in answers] == [{"good", "bad"}] * 2

    (tmp_path / "in.txt").write_text("a lovely film\n-- dull\n")
    words = ["--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl")]
    assert run(["predict", "--model", str(trained), *words]) == 0
    assert (tmp_path / "out.jsonl").read_text() == out
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "2 answers in" in captured.err


def test_inspect_ends_with_the_totals(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--model", str(trained)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "105 tensors, 22,713,986 weights"
    assert any(line.split() == ["labels", "bad,", "good"] for line in lines)


def test_a_terminal_shows_bars(trained: Path) -> None:
    """On a terminal the answer is for reading; with --json it is not."""
    words = [sys.executable, "-m", "bertsmith", "predict", "--model", str(trained), "--text", "a lovely film"]
    shown = on_terminal(words)
    assert "a lovely film" in shown
    assert "━" in shown
    assert "%" in shown


def on_terminal(words: list[str]) -> str:
    """What a command prints on a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(words, stdout=slave, stderr=slave, stdin=slave, env={**os.environ, "COLUMNS": "100"})
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 1 << 16):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == 0, shown
    return shown.decode()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "--model", "./nowhere", "--text", "x"], "nowhere: there is no such folder"),
        (["predict", "--model", "m"], "nothing to answer"),
        (["predict", "--modle", "m", "--text", "x"], "--model"),
        (["predict", "--model", "m", "--txet", "x"], "unknown option \"--txet\"; did you mean '--text'?"),
        (["predict", "--model", "./nowhere", "--text", "-- dull"], "nowhere: there is no such folder"),
        (["embed", "--text", "--dull", "--input", "f", "--text", "x"], "with --input, --text names the column"),
        (["index", "--out", "o", "--inptu=x"], "unknown option \"--inptu\"; did you mean '--input'?"),
        (["finetune", "--train", "t.tsv", "--out", "o", "--lr", "fast"], "--lr"),
        (["finetune", "--train", "t.tsv", "--out", "o", "--lr", "-1"], "--lr is -1.0; it must be more than 0"),
        (["finetune", "--train", "t.tsv", "--out", "o", "--learning-rate", "-1"], "--lr is -1.0; it must be more"),
        (
            ["finetune", "--train", "t.tsv", "--out", "o", "--lr", "1", "--learning-rate", "1"],
            "--learning-rate is given twice",
        ),
        (["finetune", "--train", "t.tsv"], "--out"),
        (["finetune", "--out", "o"], "--train requires an argument"),
        (["finetune", "t.tsv", "--train", "x", "--out", "o"], "'t.tsv' follows no option"),
        (["finetune", "--train", "t.tsv", "--out", "o", "--schedule", "lineal"], "linear"),
        (["evaluate", "--model", "m", "--data", "d", "--bogus", "1"], "--bogus"),
        (["inspect", "--preset", "L4-H265"], "did you mean 'L4-H256'?"),
        (["evalute", "--model", "m"], "evaluate"),
    ],
)
def test_errors_are_one_line_and_exit_2(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bertsmith: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("epoch = 3\n", "options.toml: 'epoch' is no option of finetune; did you mean 'epochs'?"),
        ("[fit]\nlr = 1e-4\n", "options.toml: 'fit' is no option of finetune"),
        ("[lr]\nx = 1\n", "options.toml: [lr] is a section"),
        ("lr = \n", "options.toml: not TOML"),
        ('lr = "fast"\n', "lr"),
        ('config = "other.toml"\n', "'config' is no option of finetune"),
        ("lr = -1.0\n", "--lr is -1.0; it must be more than 0"),
        ("learning_rate = -1.0\n", "--lr is -1.0; it must be more than 0"),
        ("lr = 1e-4\nlearning-rate = 1e-4\n", "'lr' and 'learning-rate' are one option; give one of them"),
        ("batch_size = 4\nbatch-size = 8\n", "'batch_size' and 'batch-size' are one option; give one of them"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_wrong_files_of_options_are_named(
    toml: str | None, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "options.toml"
    if toml is not None:
        path.write_text(toml)
    assert run(["finetune", "--train", "t.tsv", "--out", "o", "--config", str(path)]) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_a_file_may_hold_every_option(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also those that must be given; texts as a list; switches off as well as on."""
    path = tmp_path / "options.toml"
    path.write_text('preset = "L2-H128"\njson = true\n')
    assert run(["inspect", "--config", str(path)]) == 0
    assert json.loads(capfd.readouterr().out)["config"]["hidden_size"] == 128
    assert run(["inspect", "--config", str(path), "--no-json"]) == 0
    assert capfd.readouterr().out.splitlines()[-1].endswith("weights")


@pytest.mark.parametrize("verb", ["quickstart", "vocab", "instances", "finetune", "evaluate", "predict", "inspect"])
def test_help_of_each_verb_has_an_example_and_no_clutter(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"    bertsmith {verb}" in shown
    assert "--config PATH" in shown
    for clutter in ("--no-", "[default: False]", "[default: None]", '""', ".path", "--empty-", "--learning-rate"):
        assert clutter not in shown.replace("--no-answer-threshold", ""), clutter
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100


@pytest.mark.parametrize(
    "words",
    [[], *([verb] for verb in ("quickstart", "vocab", "instances", "finetune", "evaluate", "predict", "inspect"))],
)
def test_examples_are_whole_lines_on_a_narrow_terminal(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    _, _, examples = capsys.readouterr().out.partition("Examples:\n\n")
    lines = examples.partition("\n\n")[0].splitlines()
    assert lines
    assert all(line.startswith("    bertsmith ") for line in lines)


def test_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"]):
        assert run(words) == 0
        shown = capsys.readouterr().out
        places = [shown.index(f"│ {verb} ") for verb in ("quickstart", "finetune", "evaluate", "predict", "inspect")]
        assert places == sorted(places)
        assert "Examples:" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from bertsmith import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"bertsmith {__version__}\n"


def test_help_and_the_package_import_no_machinery() -> None:
    code = (
        "import sys, bertsmith\nfrom bertsmith.cli.app import run\n"
        "assert run(['--help']) == 0\nheavy = {'torch', 'polars', 'numpy', 'tokenizers', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_an_interruption_of_finetune_names_resume(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertsmith.stages.finetune.finetune", interrupted)
    assert run(["finetune", "--train", "t", "--out", "o"]) == 130
    assert "--resume" in capfd.readouterr().err
    monkeypatch.setattr("bertsmith.stages.predict.predict", interrupted)
    assert run(["predict", "--model", "m", "--text", "t"]) == 130
    assert capfd.readouterr().err == "bertsmith: interrupted\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    """`bertsmith inspect ... | head -1`: no traceback, whatever the size of what is left unread."""
    command = f"{sys.executable} -m bertsmith inspect --preset large --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert len(done.stdout) == 10


def test_debug_shows_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.errors import SettingsError

    monkeypatch.setenv("BERTSMITH_DEBUG", "1")
    with pytest.raises(SettingsError):
        run(["predict", "--model", "m"])


def test_cola_in_its_raw_form(
    shared_data: Callable[[str], Path], starter_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A slice of the real thing: no header, so columns are named; the scores of the file are those of its answers."""
    columns = ["--columns", "source,label,note,sentence"]
    for name, count in [("in_domain_train.tsv", 96), ("out_of_domain_dev.tsv", 48)]:
        lines = (shared_data("cola/raw") / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:count]), encoding="utf-8")
    test, run_folder, answers = (tmp_path / name for name in ("out_of_domain_dev.tsv", "run", "answers.jsonl"))
    words = ["--model", "starter", "--train", str(tmp_path / "in_domain_train.tsv"), "--out", str(run_folder)]
    assert run(["finetune", *words, *columns, "--steps", "4", "--lr", "1e-4"]) == 0
    capfd.readouterr()
    words = ["--model", str(run_folder), "--data", str(test), *columns, "--json", "--predictions", str(answers)]
    assert run(["evaluate", *words]) == 0
    scores = json.loads(capfd.readouterr().out)
    found = [json.loads(line)["label"] for line in answers.read_text().splitlines()]
    gold = [line.split("\t")[1] for line in test.read_text(encoding="utf-8").splitlines()]
    assert scores["accuracy"] == pytest.approx(sum(map(str.__eq__, found, gold)) / len(gold))


@pytest.mark.slow
def test_control_c_ends_finetune_with_130(reviews: Path, starter_folder: Path, tmp_path: Path) -> None:
    words = ["--model", "starter", "--train", str(reviews), "--out", str(tmp_path / "x"), "--steps", "100000"]
    command = [sys.executable, "-m", "bertsmith", "finetune", *words, "--log-every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    log = tmp_path / "x" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("bertsmith: interrupted; the same command with --resume")
    assert "Traceback" not in told
