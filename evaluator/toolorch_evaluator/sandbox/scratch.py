"""The end of a scratch folder, whatever a program made of it. EDGE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count


def remove_tree(folder: str) -> None:
    """Remove a folder with all below it, where it is still there.

    Nothing recurses: folders nested deeper than any path is long are first brought up to the top, one level at a time.
    """
    if not os.path.isdir(folder):
        return
    numbers = count()
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _bring_up(entry.path, folder, numbers)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def _bring_up(path: str, top: str, numbers: Iterator[int]) -> None:
    """Move what is in a folder to the top; a folder must be writable to be moved itself."""
    os.chmod(path, 0o700)
    for inner in list(os.scandir(path)):
        if inner.is_dir(follow_symlinks=False):
            os.chmod(inner.path, 0o700)
        names = (os.path.join(top, f"{number}.old") for number in numbers)
        os.rename(inner.path, next(name for name in names if not os.path.lexists(name)))
