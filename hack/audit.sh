#!/usr/bin/env bash
# Asks the public advisories about every pinned dependency. It needs them at hand, so it is no part of `make test`.
# Exit codes: 0: none is known to be weak; 1: some are, and are named; 3: nobody answered, so nothing is known.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
read -ra audit <<<"${PIP_AUDIT:-.venv/bin/uv tool run --from pip-audit==2.10.1 pip-audit}"
found=$(mktemp)
trap 'rm -f "$found"' EXIT
"${audit[@]}" --requirement requirements.lock --no-deps --disable-pip --progress-spinner off \
  --format json --output "$found" >&2
.venv/bin/python - "$found" <<'PYTHON'
import json
import pathlib
import sys

# pip-audit ends well too where it has skipped every name, and as with weak ones where it could ask nobody.
try:
    rows = json.loads(pathlib.Path(sys.argv[1]).read_text())["dependencies"]
except (ValueError, KeyError):
    rows = []
skipped = [row["name"] for row in rows if "skip_reason" in row]
weak = [row for row in rows if row.get("vulns")]
for row in weak:
    for each in row["vulns"]:
        fixed = ", ".join(each.get("fix_versions") or ()) or "no version yet"
        print(f"audit: {row['name']} {row['version']}: {each['id']}, mended in {fixed}")
if weak:
    sys.exit(1)
if not rows or skipped:
    print(f"audit: the advisories could not be asked about {len(skipped) or 'any'} of the dependencies: nothing is known")
    sys.exit(3)
print(f"audit: none of {len(rows)} dependencies has a known weakness")
PYTHON
