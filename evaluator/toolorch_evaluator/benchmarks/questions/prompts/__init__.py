"""What the models are told in HLE and FRAMES: this project's own texts.

A text is changed only together with VERSION; transcripts carry the version and a hash of all texts.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

VERSION = "1"


@cache
def text(name: str) -> str:
    """Return one of the texts beside this module, by its file's name."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


@cache
def sha256() -> str:
    """Return the sha256 over all texts."""
    digest = hashlib.sha256()
    for file in sorted(files(__package__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".md"):
            digest.update(f"{file.name}\n{file.read_text(encoding='utf-8')}\n".encode())
    return digest.hexdigest()


def rounds(problem: str, notes: str) -> str:
    """Return what the agent is asked in each round."""
    return _sections(problem, notes, text("choose.md"))


def task(name: str, problem: str, notes: str) -> str:
    """Return what a tool's model is asked; `name` is that of the text with its task."""
    return _sections(problem, notes, text(name))


def verdict(question: str, answer: str, reference: str) -> str:
    """Return what a judge is asked."""
    return f"<question>\n{question}\n</question>\n<answer>\n{answer}\n</answer>\n<reference>\n{reference}\n</reference>"


def _sections(problem: str, notes: str, asked: str) -> str:
    known = f"\n\n<notes>\n{notes}\n</notes>" if notes else ""
    return f"<problem>\n{problem}\n</problem>{known}\n\n{asked}"
