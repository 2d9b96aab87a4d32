"""User variants: the mood in which a simulated user plays its scenario, as a paragraph of its prompt.

The texts are this project's own. A variant reaches the prompt as an argument, all the way from the spec: a mood that
depends on where a call happens to run would get lost, unseen. A text is changed only together with VERSION.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.variants import BUILT_IN, OwnVariant

VERSION = "1"
CONTROL = "control"
"""Adds nothing: what the others are compared with."""


def mood(spec: EvalRunSpec, name: str) -> str:
    """Return the paragraph of a variant of the spec, empty for `control`; raises ValueError for an unknown name."""
    own = {v.name: v.instructions for v in spec.user_variants if isinstance(v, OwnVariant)}
    if name in own:
        return _framed(own[name])
    if name not in BUILT_IN:
        raise ValueError(f"unknown user variant {name!r}: known are {', '.join((*BUILT_IN, *own))}")
    return "" if name == CONTROL else _framed(text(f"{name}.md"))


def describe(spec: EvalRunSpec) -> dict[str, str]:
    """Return what each variant of the spec adds to the user's prompt, for a run's record; `control` adds nothing."""
    moods = {name: mood(spec, name) for name in spec.variant_names}
    return {f"user variant {name}": words for name, words in moods.items() if words}


@cache
def text(name: str) -> str:
    """Return one of the texts beside this module, by its file's name."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _framed(words: str) -> str:
    return f"<mood>\n{words.strip()}\n\n{text('frame.md')}\n</mood>"
