"""hack/audit.sh says what the advisories say, and does not take their silence for good news."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
WEAK = {"name": "weak", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "unknown", "skip_reason": "nobody answered"}


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        pytest.param([SOUND], 0, "none of 1 dependencies has a known weakness", id="a sound one"),
        pytest.param([SOUND, WEAK, SKIPPED], 1, "weak 2.0: CVE-1, mended in 2.1", id="a weak one"),
        pytest.param([SOUND, SKIPPED], 3, "could not be asked about 1 of the dependencies", id="a skipped one"),
        pytest.param(None, 3, "could not be asked about any", id="no answer at all"),
    ],
)
def test_an_audit_says_of(tmp_path, rows, code, words):
    tool = tmp_path / "pip-audit"
    answer = "" if rows is None else json.dumps({"dependencies": rows})
    tool.write_text(f"#!/bin/sh\nfor last; do :; done\nprintf '%s' '{answer}' > \"$last\"\nexit 1\n")
    tool.chmod(0o755)
    done = subprocess.run(
        [ROOT / "hack/audit.sh"],
        env={**os.environ, "PIP_AUDIT": str(tool)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
