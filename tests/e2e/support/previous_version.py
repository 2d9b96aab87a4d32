"""The version before this one: found in the history, its images built and loaded, its chart taken out."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("crds", "operator", "evaluator", "helm", "images", "requirements.lock")
"""What an installation is made of; what differs in none of them is the same version."""
LOOKED_BACK = 100
"""Commits that touched them; one of the first few differs."""
TAG = "previous"


def git(*arguments):
    """Run git in the repository; return its exit code and the words that it printed."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split()


def find_previous():
    """Return the commit that users upgrade from to what lies in this folder; skip where there is no history at all.

    It is the newest tag that ships something else than this folder; without such tags, the newest commit that does:
    HEAD where something is changed and not committed, else not always HEAD's parent, which may differ in docs alone.
    Where a shallow clone's history ends before such a commit it is HEAD, since an upgrade to the same version ends and
    starts everything that another does. TOOLORCH_UPGRADE_FROM names another.
    """
    if named := os.environ.get("TOOLORCH_UPGRADE_FROM"):
        return named
    code, head = git("rev-parse", "HEAD")
    if code:
        pytest.skip("there is no earlier version: this folder is no clone of the repository")
    _, tags = git("tag", "--merged", "HEAD", "--sort=-creatordate")
    _, commits = git("log", f"--max-count={LOOKED_BACK}", "--format=%H", "--", *SHIPPED)
    for candidate in (*tags, *commits):
        if git("diff", "--quiet", candidate, "--", *SHIPPED)[0]:
            return candidate
    return head[0]


class PreviousVersion:
    """A version that can be installed."""

    def __init__(self, cluster, commit):
        """Build its images and load them into the cluster, unless they are there."""
        command = [ROOT / "hack" / "images.sh", TAG, commit]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=cluster.env)
        assert done.returncode == 0, f"images of {commit}: {done.stderr}"
        self._cluster, self._folder = cluster, Path(done.stdout.split()[-1])

    def install(self, *arguments):
        """Install it over whatever is there, with the values of its own tests, and wait until it runs."""
        values = (self._folder / "tests" / "e2e" / "values.yaml",)
        self._cluster.install(*arguments, values=values, chart=self._folder / "helm" / "toolorch", tag=TAG)
