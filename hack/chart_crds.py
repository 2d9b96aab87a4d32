#!/usr/bin/env python3
"""Copies the generated CRDs into the chart, as templates that `helm uninstall` leaves in place.

usage: chart_crds.py [--check]   with --check nothing is written, and stale files are an error
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "helm" / "toolorch" / "templates"
KEEP = """
metadata:
  annotations:
    helm.sh/resource-policy: keep
  labels:
    {{- include "toolorch.labels" . | nindent 4 }}
"""


def build_template(crd: str) -> str:
    """Return a CRD's YAML as a template: braces escaped, kept on uninstall, left out where values say so."""
    escaped = re.sub(r"\{\{|\}\}", lambda braces: '{{ "' + braces.group() + '" }}', crd)
    body = escaped.replace("\nmetadata:\n", KEEP, 1)
    return "{{- if .Values.crds.install }}\n" + body + "{{- end }}\n"


def find_templates() -> dict[Path, str]:
    """Return what each template should hold, by path."""
    crds = {crd.stem.removeprefix("toolorch.dev_"): crd for crd in sorted((ROOT / "crds").glob("toolorch.dev_*.yaml"))}
    return {TEMPLATES / f"crd-{name}.yaml": build_template(crd.read_text()) for name, crd in crds.items()}


def main(check: bool) -> None:
    """Write the templates, or say which are stale."""
    stale = [path for path, text in find_templates().items() if not path.exists() or path.read_text() != text]
    if check and stale:
        raise SystemExit(f"stale: {', '.join(str(p.relative_to(ROOT)) for p in stale)}; run make generate")
    for path in stale:
        path.write_text(find_templates()[path])


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
