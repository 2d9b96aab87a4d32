"""Kubernetes quantities as integers: bytes, millicores, pieces."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
# A cluster's nodes and pods say the same few amounts again and again.
_REMEMBERED = 4096


def parse_bytes(text: str) -> int:
    """Return a quantity of memory in bytes, or one of anything counted in pieces; fractions round up.

    Raises ValueError where the text is no quantity.
    """
    return _scaled(text, 1)


def parse_milli(text: str) -> int:
    """Return a quantity of CPU in millicores; fractions round up.

    Raises ValueError where the text is no quantity.
    """
    return _scaled(text, 1000)


def parse_quantity(text: str) -> Decimal:
    """Return the exact number that a quantity stands for; raises ValueError where the text is no quantity."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    number, suffix, exponent = match.groups()
    if suffix in _BINARY:
        return Decimal(number) * (1 << _BINARY[suffix])
    return Decimal(number).scaleb(_DECIMAL[suffix] if suffix else int(exponent or 0))


@lru_cache(maxsize=_REMEMBERED)
def _scaled(text: str, factor: int) -> int:
    # The API server itself rounds up, so that nothing gets less than it asked for.
    return int((parse_quantity(text) * factor).to_integral_value(rounding=ROUND_CEILING))
