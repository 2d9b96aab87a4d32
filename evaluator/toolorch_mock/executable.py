"""An executable named `vllm` for machines without the mock's image."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def install_vllm(folder: Path) -> Path:
    """Write a script `vllm` into a folder (made if need be) that runs the mock in this environment; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "vllm"
    # -P: the folder that a user starts from must not shadow a module.
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m toolorch_mock "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script
