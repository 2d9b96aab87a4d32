"""The version before this one: found in the history, its images built and loaded, its chart taken out."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("crds", "operator", "evaluator", "helm", "images")
"""Folders that an installation is made of; what differs in none of them is the same version."""
LOOKED_BACK = 100
"""Commits that touched them; one of the first few differs."""
TAG = "previous"


def git(*arguments):
    """Run git in the repository; return its exit code and the words that it printed."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split()


def find_previous():
    """Return the version that users have when they upgrade to this one: a commit, or skip where the history lacks it.

    It is the newest tag, and without tags the newest commit, that ships something else than this folder.
    """
    if named := os.environ.get("TOOLORCH_UPGRADE_FROM"):
        return named
    code, tags = git("tag", "--merged", "HEAD", "--sort=-creatordate")
    if code:
        pytest.skip("there is no earlier version: this folder is no clone of the repository")
    _, commits = git("log", f"--max-count={LOOKED_BACK}", "--format=%H", "--", *SHIPPED)
    for candidate in (*tags, *commits):
        if git("diff", "--quiet", candidate, "--", *SHIPPED)[0]:
            return candidate
    shallow = git("rev-parse", "--is-shallow-repository")[1] == ["true"]
    pytest.skip(f"there is no earlier version in this history{'; git fetch --unshallow brings it' if shallow else ''}")


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
