"""The end of a scratch folder, whatever a program made of it. EDGE."""

from __future__ import annotations

import os

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(folder: str) -> None:
    """Remove a folder with all below it, where it is still there; nobody may be at work in it any more.

    Folders may be nested deeper than any path is long, and closed to their owner: so each is entered from the one
    above, and left for it again, one open at a time.
    """
    try:
        here = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return
    way: list[tuple[str, list[str]]] = [("", _remove_files(here))]
    while way[-1][1] or len(way) > 1:
        if way[-1][1]:
            name = way[-1][1].pop()
            os.chmod(name, 0o700, dir_fd=here)
            there = os.open(name, _FOLDER, dir_fd=here)
            way.append((name, _remove_files(there)))
        else:
            there = os.open("..", _FOLDER, dir_fd=here)
            os.rmdir(way.pop()[0], dir_fd=there)
        os.close(here)
        here = there
    os.close(here)
    os.rmdir(folder)


def _remove_files(here: int) -> list[str]:
    """Remove all of an open folder but the folders in it; returns their names."""
    folders = []
    for entry in list(os.scandir(here)):
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=here)
    return folders
