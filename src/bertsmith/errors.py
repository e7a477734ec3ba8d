"""What a user can get wrong, as exceptions.

Every message is one line that says what is wrong, where (file, line, column, tensor) and what to do about it. The
command line prints the message alone, without a traceback, and leaves with exit code 2.
"""


class BertsmithError(Exception):
    """Something the user can put right. ``str(error)`` is the whole message, on one line."""


class DataError(BertsmithError):
    """A file of examples or of text cannot be read or does not fit the task."""


class SettingsError(BertsmithError):
    """An option, a TOML key or a combination of them is wrong."""


class TokenizerError(BertsmithError):
    """A vocabulary or ``tokenizer.json`` cannot be read, or does not fit the model."""


class CheckpointError(BertsmithError):
    """A checkpoint folder is missing, damaged, or holds something else than asked for."""


class OutputError(BertsmithError):
    """The output place is in use, full, or not writable."""


class TrainingError(BertsmithError):
    """Training cannot start or go on (a loss that is not finite, nothing to train on, nothing left to do)."""


def count(number: int, what: str) -> str:
    """A number of things; ``what`` is one of them, its noun first.

    >>> count(1, "row"), count(2000, "text without tokens")
    ('1 row', '2,000 texts without tokens')
    """
    noun, space, rest = what.partition(" ")
    return f"{number:,} {noun}{'' if number == 1 else 's'}{space}{rest}"


def nearest(name: str, valid: "list[str] | tuple[str, ...] | set[str]") -> str:
    """A hint naming the valid name nearest to a mistyped one.

    >>> nearest("sentense", ["sentence", "label"])
    "did you mean 'sentence'?"
    >>> nearest("zzz", ["sentence", "label"])
    "valid: 'label', 'sentence'"
    """
    import difflib

    close = difflib.get_close_matches(name, sorted(valid), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "valid: " + ", ".join(repr(one) for one in sorted(valid))
