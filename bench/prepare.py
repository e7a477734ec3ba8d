"""Speed and memory of `bertsmith prepare` on English Wikipedia.

    python bench/prepare.py [--data ../shared/data] [--rounds 3] [--workers 2] [-- --duplicates near]

Each round makes the corpus of all files anew, by the command line. Printed: megabytes of text (UTF-8, what is in the
corpus), seconds from start to end, megabytes a second, seconds of the processors that all processes took together, and
the most memory they held together: the sum of their resident sizes (RSS, which counts what they share once for each)
and of their proportional sizes (PSS, which counts it once), looked at four times a second.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bertsmith  # noqa: F401  (so that a package that is not installed is told at once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--folder", default="enwiki", help="of text in the data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("more", nargs="*", help="options of bertsmith prepare, after --")
    given = parser.parse_args()
    words = ["--input", str(given.data / given.folder), "--tokenizer", str(given.data / "vocab/bert-base-uncased.txt")]
    words += [] if given.workers is None else ["--workers", str(given.workers)]
    names = ("MB", "s", "MB/s", "processor s", "MB a processor s", "peak RSS, MB", "peak PSS, MB")
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for _ in range(given.rounds):
        print(measure([*words, *given.more]), flush=True)


def measure(words: list[str]) -> str:
    """Make a corpus and throw it away; a row of the table."""
    out = Path(tempfile.mkdtemp(prefix="bertsmith-"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "bertsmith", "prepare", *words, "--out", str(out / "corpus")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    peaks = [0, 0]
    while process.poll() is None:
        sizes = [size_of(number) for number in tree(process.pid)]
        peaks = [max(peak, sum(column)) for peak, column in zip(peaks, zip(*sizes, strict=True), strict=False)] or peaks
        time.sleep(0.25)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.stderr is not None
    told = process.stderr.read()
    shutil.rmtree(out)
    if process.returncode:
        sys.exit(told)
    found = re.search(r"([\d,.]+) MB of text", told)
    assert found is not None, told
    megabytes = float(found[1].replace(",", ""))
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = [f"{value:.1f}" for value in (megabytes, took, megabytes / took, processor, megabytes / processor)]
    return "| " + " | ".join([*figures, *(f"{peak / 1e6:.0f}" for peak in peaks)]) + " |"


def tree(root: int) -> list[int]:
    """The process and all that came of it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            facts = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents.setdefault(int(facts[1]), []).append(int(path.parent.name))
    found = [root]
    for one in found:
        found += parents.get(one, [])
    return found


def size_of(process: int) -> tuple[int, int]:
    """Resident and proportional size in bytes; nothing for a process that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    resident, proportional = (re.search(rf"^{name}: +(\d+) kB", text, re.M) for name in ("Rss", "Pss"))
    return (int(resident[1]) << 10, int(proportional[1]) << 10) if resident and proportional else (0, 0)


if __name__ == "__main__":
    main()
