"""Thoughts that a model server left in the text of an answer: taken out, since they are meant for nobody. PURE.

A server whose reasoning parser fits the model hands thoughts over apart from the text. Where it does not, they would
reach the simulated user, the environment, or the judge as if they had been said.
"""

from __future__ import annotations

import re

OPEN, CLOSE = "<think>", "</think>"
_WHOLE = re.compile(f"{OPEN}.*?{CLOSE}", re.DOTALL)


def strip_thoughts(text: str) -> str:
    """Return a text without its thoughts; the very same text where it has none.

    Many chat templates open the thought in the prompt, so that an answer holds its end alone: all up to there goes. A
    thought that opens the text and never ends was cut off, and there is no text after it.
    """
    if OPEN not in text and CLOSE not in text:
        return text
    said = _WHOLE.sub("", text).rpartition(CLOSE)[2].strip()
    return "" if said.startswith(OPEN) else said
