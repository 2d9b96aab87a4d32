"""Programs that pods mount from a ConfigMap and run with their image's own Python. EDGE.

They need nothing but the standard library of Python 3.8 or newer and import nothing of this package.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def sources() -> dict[str, str]:
    """Return each program's text by file name, such as launcher.py."""
    return {path.name: path.read_text() for path in sorted(FOLDER.glob("*.py")) if path.name != "__init__.py"}
