"""Numbers and texts as people read them.

Enters: values. Leaves: short strings, the same in the terminal, the report and the model card. Knows nothing of where
they are shown.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

_NAMES = {
    "mcc": "MCC",
    "f1": "F1",
    "f1_macro": "macro F1",
    "ece": "ECE",
    "mse": "MSE",
    "lr": "learning rate",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "mlm_loss": "MLM loss",
    "mlm_accuracy": "MLM accuracy",
    "nsp_loss": "NSP loss",
    "nsp_accuracy": "NSP accuracy",
}
MISSING = "–"
_JOINERS = "\u200c\u200d"


def name_score(name: str) -> str:
    """The name of a score as people write it.

    >>> name_score("mcc"), name_score("exact_match")
    ('MCC', 'exact match')
    """
    return _NAMES.get(name, name.replace("_", " "))


def format_score(value: float | int | None) -> str:
    """A score with three digits after the point, a count with its thousands apart.

    >>> format_score(0.87654), format_score(81.234), format_score(12345), format_score(float("nan"))
    ('0.877', '81.23', '12,345', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.2f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def format_number(value: float) -> str:
    """A large number in at most four signs.

    >>> format_number(950), format_number(12_345), format_number(22_700_000)
    ('950', '12.3k', '22.7M')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.99995:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 99.95 else f"{scaled:.1f}{unit}"
    return f"{value:.0f}"


def format_rate(value: float) -> str:
    """A learning rate.

    >>> format_rate(2e-5), format_rate(0.0)
    ('2.00e-5', '0')
    """
    if not value:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits}e{int(power)}"


def format_share(value: float) -> str:
    """A share of one as a percentage; a share that is small but not zero is not called zero.

    >>> format_share(0.1234), format_share(0.0001), format_share(0.0)
    ('12.3%', '< 0.1%', '0%')
    """
    if not value:
        return "0%"
    return "< 0.1%" if value < 0.001 else f"{100 * value:.1f}%"


def format_duration(seconds: float) -> str:
    """A span of time.

    >>> format_duration(3.24), format_duration(75), format_duration(7384)
    ('3.2 s', '1:15', '2:03:04')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def name_setting(name: str) -> str:
    """The name of an option as people read it: ``batch_size`` is "batch size"."""
    return name.replace("_", " ")


def show_value(value: Any) -> str:
    """A setting as a table shows it, from what `bertsmith.files.plain` made of it.

    >>> show_value([1, True, None]), show_value({"a": 0.5})
    ('1, yes, –', 'a 0.5')
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(show_value(one) for one in value) or MISSING
    if isinstance(value, dict):
        return ", ".join(f"{name} {show_value(one)}" for name, one in value.items()) or MISSING
    return str(value)


def clean_text(text: str) -> str:
    """``text`` without what no page or terminal can show: each control sign and lone surrogate becomes "�".

    Line ends and tabs become spaces. Signs that steer the direction of text are left out (left open, they would turn
    the rest of the line around); the joiners that scripts and emoji need stay.
    """
    return "".join(_clean_sign(sign) for sign in text)


def clip_text(text: str, limit: int) -> str:
    """`clean_text` of at most ``limit`` signs; "…" stands for the rest.

    >>> clip_text("a long story", 7)
    'a long…'
    """
    if len(text) > 4 * limit:  # no need to clean a whole book to show its first line
        text = text[: 4 * limit]
    text = " ".join(clean_text(text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _clean_sign(sign: str) -> str:
    if sign.isprintable():
        return sign
    if sign.isspace():
        return " "
    if unicodedata.category(sign) == "Cf":
        return sign if sign in _JOINERS else ""
    return "\ufffd"
