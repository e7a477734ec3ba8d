"""The command ``bertsmith``: its verbs, and what becomes of errors.

Enters: the words of the command line. Leaves: exit code 0, 2 for what the user can put right (one line on standard
error), 130 for an interruption. Imports none of the machinery itself, so that help appears at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise

from cyclopts import App, CycloptsError, Group, Parameter, RepeatArgumentError, UnusedCliTokensError

from bertsmith.cli.config_file import fill_from_file
from bertsmith.cli.help import formatter, show_default
from bertsmith.errors import BertsmithError, SettingsError, nearest

DEBUG = "BERTSMITH_DEBUG"  # set to 1, it shows tracebacks

_SUMMARY = "A workshop for BERT encoders: fine-tune one on your own text, and have it answer."

# Each verb: its group, what it does in a line and more, and an example or two, whole on a line of 80 signs.
_VERBS: dict[str, tuple[str, str, list[str]]] = {
    "quickstart": (
        "Train",
        "Train on text that every machine has, and answer three questions.\n\n"
        "Takes the docstrings of this Python installation, fine-tunes the starter encoder to tell their topics apart, "
        "scores it on a held-out part, and leaves a checkpoint and a report. A few minutes on two cores.",
        ["bertsmith quickstart", "bertsmith quickstart --out runs/first --epochs 3"],
    ),
    "vocab": (
        "Train",
        "Learn a vocabulary from raw text.\n\n"
        "Leaves a WordPiece tokenizer in --out that all verbs here and transformers open, and prints how many tokens "
        "it needs for text that it has not seen. The text is read twice.",
        [
            "bertsmith vocab --input text/ --out vocab/",
            "bertsmith vocab --input *.jsonl.gz --size 8000 --cased --out vocab/",
            "bertsmith vocab --input dump.xml.bz2 --out vocab/ --compare starter",
        ],
    ),
    "prepare": (
        "Train",
        "Make a corpus for pretraining of raw text.\n\n"
        "Splits the text into sentences, tokenizes it, and leaves shards in --out that pretraining reads, with a few "
        "documents held out. Memory does not grow with the text.",
        [
            "bertsmith prepare --input text/ --tokenizer vocab/ --out corpus/",
            "bertsmith prepare --input dump.xml.bz2 --tokenizer vocab/ --out c/ --show 5",
            'bertsmith prepare --input "*.jsonl.gz" --tokenizer vocab/ --out c/ --resume',
        ],
    ),
    "instances": (
        "Train",
        "Write a corpus as TFRecord files, for google-research/bert.\n\n"
        "Its run_pretraining.py reads them; pretraining here needs none. Defaults are those of its "
        "create_pretraining_data.py.",
        [
            "bertsmith instances --corpus corpus/ --out tf/",
            "bertsmith instances --corpus corpus/ --out tf/ --passes 5 --masking word",
            "bertsmith instances --corpus c --out t --max-length 512 --max-predictions 77",
        ],
    ),
    "pretrain": (
        "Train",
        "Train an encoder from raw text: masked words, and next sentences.\n\n"
        "Leaves the model, log.jsonl, metrics.json and report.html in --out. torchrun starts it on many devices.",
        [
            "bertsmith pretrain --corpus corpus/ --minutes 30 --out runs/mini",
            "bertsmith pretrain --corpus corpus/ --preset L4-H512 --epochs 2 --out runs/m",
            "torchrun --nproc-per-node 8 -m bertsmith pretrain --corpus c/ --out runs/m",
        ],
    ),
    "finetune": (
        "Train",
        "Train an encoder on a task, from labelled examples.\n\n"
        "Leaves the model, log.jsonl, metrics.json and report.html in --out.",
        [
            "bertsmith finetune --train train.tsv --eval dev.tsv --out runs/x",
            "bertsmith finetune --train train.tsv --eval dev.tsv --out runs/x --resume",
            "bertsmith finetune --task answer --train train.json --out runs/qa --lr 2e-4",
        ],
    ),
    "evaluate": (
        "Use",
        "Score a trained model on a labelled file.",
        [
            "bertsmith evaluate --model runs/x --data test.tsv",
            "bertsmith evaluate --model runs/x --data test.tsv --predictions out.jsonl",
        ],
    ),
    "fill": (
        "Use",
        "Guess the words that a text leaves open.",
        [
            'bertsmith fill --model runs/mini --text "the capital of France is [MASK]."',
        ],
    ),
    "predict": (
        "Use",
        "Answer texts with a trained model.\n\n"
        "Answers to --text and the like are shown for reading on a terminal, and are JSON lines elsewhere and with "
        "--json. Answers to --input are JSON lines, in the order of its rows; a column id is carried over.",
        [
            'bertsmith predict --model runs/x --text "a lovely film" --text "a dull one"',
            'bertsmith predict --model runs/q --question "Who?" --context "Ada did."',
            'bertsmith predict --model runs/c --prompt "I ran" --ending on --ending red',
            "bertsmith predict --model runs/x --input texts.csv --output answers.jsonl",
        ],
    ),
    "embed": (
        "Use",
        "Turn texts into vectors, near for texts that mean alike.\n\n"
        "Reads a file of any length in the same memory, and writes a .npy file.",
        [
            "bertsmith embed --model starter --input lines.txt --out vectors.npy",
            'bertsmith embed --text "a lovely film" --dimensions 64',
            "bertsmith embed --model runs/e --input docs.jsonl --text body --out v.npy --json",
        ],
    ),
    "index": (
        "Use",
        "Make an index of texts, to be searched by meaning.\n\n"
        "Also adds texts to an index and deletes some from it. A change is in place as a whole or not at all.",
        [
            "bertsmith index --input docs.jsonl --out idx/",
            "bertsmith index --input more.jsonl --out idx/ --add",
            "bertsmith index --out idx/ --delete 17 --delete 18",
        ],
    ),
    "search": (
        "Use",
        "Find the texts of an index that are nearest in meaning.",
        [
            'bertsmith search --index idx/ --query "how do I compress a file"',
            'bertsmith search --index idx/ --query "compress" --top 3 --rerank runs/judge',
        ],
    ),
    "similar": (
        "Use",
        "Find the pairs of texts that are most alike.\n\nCompares all of them.",
        [
            "bertsmith similar --input lines.txt --top 20",
            "bertsmith similar --input questions.csv --text title --least 0.9 --json",
        ],
    ),
    "export": (
        "Use",
        "Write a trained model for other runtimes, or in 8 bits.\n\n"
        "int8 is scored against fp32 on your data; layers that cost too much stay in higher precision.",
        [
            "bertsmith export --model runs/x --to onnx",
            "bertsmith export --model runs/x --to openvino --precision int8 --data dev.tsv",
            "bertsmith export --model starter --to openvino --precision int8 --data d --out m",
        ],
    ),
    "serve": (
        "Use",
        "Answer over HTTP, and show a page to try models on.\n\n"
        "Speaks to clients of OpenAI's embeddings, of text-embeddings-inference and of huggingface_hub; /docs tells "
        "all routes. SIGTERM ends it when all is answered, SIGHUP opens the models anew.",
        [
            "bertsmith serve --model starter",
            "bertsmith serve --model runs/x --model ner=runs/tagger --port 8080",
            "bertsmith serve --index idx/ --precision int8 --api-key-file keys.txt",
        ],
    ),
    "cluster": (
        "Use",
        "Group texts that mean alike.",
        [
            "bertsmith cluster --input lines.txt --report clusters.html",
            "bertsmith cluster --input lines.txt --method kmeans --number 20 --out groups.jsonl",
        ],
    ),
    "whiten": (
        "Train",
        "See how a model's vectors lie, and spread them evenly.\n\n"
        "Fits a linear map to the vectors of unlabelled texts. Models that were not trained for sentences gain by it.",
        [
            "bertsmith whiten --model runs/mini --input lines.txt",
            "bertsmith whiten --model runs/mini --input lines.txt --keep 128 --out runs/white",
        ],
    ),
    "inspect": (
        "Use",
        "Tell what a model is: task, sizes, training, every tensor.",
        [
            "bertsmith inspect --model runs/x",
            "bertsmith inspect --preset base",
            "bertsmith inspect --model starter --json",
        ],
    ),
}


def build() -> App:
    """The application. A verb's own module is imported when the verb is used or asked for help."""
    shape = formatter()
    groups = {name: Group(name, sort_key=place, help_formatter=shape) for place, name in enumerate(["Train", "Use"])}
    app = App(
        name="bertsmith",
        help=_SUMMARY,
        help_format="plaintext",
        help_formatter=shape,
        help_epilogue=_examples(
            [
                "bertsmith quickstart",
                *(_VERBS[verb][2][0] for verb in ("finetune", "evaluate", "predict", "inspect")),
            ],
            more="bertsmith VERB --help tells all options of a verb.",
        ),
        version=lambda: f"bertsmith {version('bertsmith')}",
        version_flags=["--version"],
        default_parameter=Parameter(show_default=show_default),
        config=fill_from_file,
        group_commands=Group("Help", sort_key=9),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        verbose=False,
        suppress_keyboard_interrupt=False,
    )
    for place, (verb, (group, text, examples)) in enumerate(_VERBS.items()):
        app.command(
            f"bertsmith.cli.verbs:{verb}",
            name=verb,
            help=text,
            group=groups[group],
            sort_key=place,
            help_epilogue=_examples(examples),
        )
    return app


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line, and leave the process with its exit code.

    words: in place of those of the process
    """
    sys.exit(run(sys.argv[1:] if words is None else words))


def run(words: Sequence[str]) -> int:
    """Run the command line. Returns the exit code."""
    debug = os.environ.get(DEBUG, "") not in ("", "0")
    app = build()
    try:
        app(list(words))
        sys.stdout.flush()
    except (BertsmithError, CycloptsError) as error:
        if debug:
            raise
        return _refuse(_message(error, app, words))
    except KeyboardInterrupt:
        if debug:
            raise
        resumable = bool(words) and words[0] in ("prepare", "pretrain", "finetune")
        _tell("interrupted" + ("; the same command with --resume goes on from the last saved state" * resumable))
        return 130
    except BrokenPipeError:
        # Who reads us has had enough. What is still buffered goes nowhere, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _message(error: Exception, app: App, words: Sequence[str]) -> str:
    if isinstance(error, SettingsError) and (unknown := _unknown_option(app, words)):
        return unknown  # settings check themselves before a word that fits nowhere is seen: --txet, not "give --text"
    if isinstance(error, UnusedCliTokensError):
        return f"{' '.join(error.unused_tokens or [])!r} follows no option; each value needs its --name before it"
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice, by this or another of its names; give it once"
    return str(error)


def _unknown_option(app: App, words: Sequence[str]) -> str:
    """What to say of the first word that looks like an option and is none of the verb's; empty when there is none. What
    stands behind an option is its value, whatever it looks like."""
    verb, *rest = words
    arguments = app[verb].assemble_argument_collection(parse_docstring=False)
    options = {name for argument in arguments for name in argument.names}
    for before, word in pairwise([verb, *rest]):
        name = word.partition("=")[0]
        if name.startswith("--") and name not in options and before not in options:
            return f'unknown option "{name}"; {nearest(name, options)}'
    return ""


def _refuse(message: str) -> int:
    _tell(f"error: {' '.join(message.split())}")
    return 2


def _tell(message: str) -> None:
    print(f"bertsmith: {message}", file=sys.stderr)


def _examples(lines: Sequence[str], more: str = "") -> str:
    shown = "Examples:\n\n" + "\n".join(f"    {line}" for line in lines)
    return f"{shown}\n\n{more}" if more else shown
