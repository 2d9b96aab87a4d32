#!/usr/bin/env python3
"""Writes docs/reference.md, every field of both kinds, from the same schemas as the CRDs."""

from pathlib import Path

from toolorch_api.crd import build_crds
from toolorch_api.reference import render_reference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"

if __name__ == "__main__":
    PAGE.write_text(render_reference(build_crds().values()))
