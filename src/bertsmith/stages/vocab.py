"""vocab: raw text -> a vocabulary.

The recipe: find the text, learn from all but a little of it, write the tokenizer's files, and count the tokens of the
rest: by the pieces as WordPiece and as BPE put them to use, and by other vocabularies.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bertsmith.checkpoint.folder import CONFIG
from bertsmith.corpus.manifest import MANIFEST
from bertsmith.corpus.sources import find_sources
from bertsmith.errors import OutputError
from bertsmith.files import write_json, write_text
from bertsmith.report.bar import Bar
from bertsmith.report.terminal import tabulate_counts
from bertsmith.report.words import format_duration
from bertsmith.stages.answer_lines import check_output
from bertsmith.stages.learning_texts import MEGABYTE, LearningTexts
from bertsmith.stages.tokenizers import open_tokenizer
from bertsmith.stages.vocab_comparison import Cut, tabulate_cuts
from bertsmith.stages.vocab_settings import VocabSettings
from bertsmith.text import Tokenizer
from bertsmith.text.bulk import TokenizersEncoder
from bertsmith.text.learning import Learned, bpe_json, learn_vocabulary
from bertsmith.text.tokenizer import on_plain_strings
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP, UNK

TOKENIZER = "tokenizer.json"
CONFIGURATION = "tokenizer_config.json"
WORDPIECE_ALONE = ("vocab.txt", "special_tokens_map.json")
MAX_LENGTH = 512  # tokens at which transformers warns, where no model says otherwise


def vocab(settings: VocabSettings, *, console: Console | None = None) -> Learned:
    """Learn a vocabulary, leave it in ``settings.out`` as files of a tokenizer, and print a comparison.

    console: where progress is told; standard error if none is given. The comparison goes to standard output.

    Returns the vocabulary.
    """
    console = console or Console(stderr=True)
    folder = Path(settings.out)
    check_folder(folder, overwrite=settings.overwrite)
    others = {name: open_tokenizer(name) for name in settings.compare}
    sources = find_sources(settings.input, form=settings.form, text=settings.text)

    with Bar("learning", ("elapsed",), console=console) as bar:
        texts = LearningTexts(sources, round(settings.megabytes * MEGABYTE), bar)
        learned = learn_vocabulary(
            texts,
            size=settings.size,
            lowercase=not settings.cased,
            unused=settings.unused,
            coverage=settings.coverage,
            min_frequency=settings.min_frequency,
        )
        bar.show(1.0, {"tokens": f"{len(learned.tokens):,} tokens"})
    tokenizer = Tokenizer.from_vocabulary(learned.tokens, lowercase=not settings.cased)
    bpe = bpe_json(tokenizer.recipe, learned.merges)
    if settings.kind == "bpe":
        write_bpe(bpe, folder)
    else:
        tokenizer.save(folder, max_length=MAX_LENGTH)

    if texts.counts:
        console.print(tabulate_counts("left out or changed", texts.counts))
    for remark in remarks(texts, learned, settings):
        console.print(f"note: {remark}", highlight=False, markup=False)
    console.print(
        f"{len(learned.tokens):,} tokens are in {folder}, learnt from {texts.megabytes:,.1f} MB of text "
        f"({format_duration(bar.elapsed)})",
        highlight=False,
        markup=False,
    )
    if held_out := texts.held_out:
        cuts = [
            Cut("WordPiece: longest pieces", tokenizer, tokenizer.encode_pieces(held_out)[0]),
            Cut("BPE: merges in order", tokenizer, on_plain_strings(TokenizersEncoder(bpe).encode, held_out)[0]),
            *(Cut(name, other, other.encode_pieces(held_out)[0]) for name, other in others.items()),
        ]
        Console().print(*tabulate_cuts(cuts, held_out))
    return learned


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` where the vocabulary cannot go: the place is closed, or holds another, or what has one."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder as --out")
    if (folder / CONFIG).exists():
        raise OutputError(f"{folder}: holds a model, which goes with its own vocabulary; name another --out")
    if (folder / MANIFEST).exists():
        raise OutputError(f"{folder}: holds a corpus, which goes with its own vocabulary; name another --out")
    if (folder / TOKENIZER).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a vocabulary already; give --overwrite to replace it, or another --out")
    check_output(str(folder / TOKENIZER))


def write_bpe(json: str, folder: Path) -> None:
    """Write a BPE tokenizer as transformers' AutoTokenizer opens it."""
    names = {"pad_token": PAD, "unk_token": UNK, "cls_token": CLS, "sep_token": SEP, "mask_token": MASK}
    write_text(folder / TOKENIZER, json)
    write_json(
        folder / CONFIGURATION,
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_LENGTH, **names},
    )
    for name in WORDPIECE_ALONE:  # of an earlier vocabulary
        (folder / name).unlink(missing_ok=True)


def remarks(texts: LearningTexts, learned: Learned, settings: VocabSettings) -> list[str]:
    """What a person should know of how the vocabulary came about, a line each."""
    found = []
    if texts.stopped:
        found.append(f"there is more text than --megabytes {settings.megabytes:g}; the rest was not read")
    if len(learned.tokens) < settings.size:
        found.append(
            f"fewer tokens than --size {settings.size:,}: no more pieces meet {settings.min_frequency:,} times "
            f"(--min-frequency)"
        )
    if not texts.held_out:
        found.append("too few documents to hold one out, so nothing is compared")
    return found
