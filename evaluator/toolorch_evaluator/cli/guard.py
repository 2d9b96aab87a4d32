"""Outlives the command by a moment: when its pipe closes, everything that the command started is stopped.

Runs as a program of its own, standard library only, and works where prctl does not exist. Each line on stdin is
`+<group>` (a process group was started) or `-<group>` (it has ended); the arguments are the seconds between SIGTERM
and SIGKILL, and a folder to remove at the end.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator

# Short against the grace, long against the cost of asking.
_POLL_SECONDS = 0.05


def is_alive(group: int) -> bool:
    """Tell whether a process group still has a member that is not a zombie of somebody else."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the number went to somebody else's group: ours has ended
    return True


def stop(groups: Iterable[int], grace_seconds: float) -> None:
    """Send SIGTERM to all groups, and SIGKILL after the grace to those that are left and to what they started."""
    left = set(groups)
    deadline = time.monotonic() + grace_seconds
    _signal(left, signal.SIGTERM)
    while left and time.monotonic() < deadline:
        left = {group for group in left if is_alive(group)}
        time.sleep(_POLL_SECONDS if left else 0)
    kill(left)


def kill(groups: Iterable[int]) -> None:
    """Send SIGKILL to groups and to what their leaders started, which under the launcher has a group of its own."""
    leaders = set(groups)
    _signal({*leaders, *(pid for leader in leaders for pid in _descendants(leader))}, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    """Programs that a program started, and those that they started; none where /proc does not tell."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in map(int, children.read().split()):
            yield from (child, *_descendants(child))


def _signal(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def main(grace_seconds: float, folder: str) -> None:
    """Follow stdin to its end, then stop what is left and remove the folder."""
    # Ctrl-C reaches the whole terminal group; the command decides what it means, and this program waits for it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        groups.add(group) if line[0] == "+" else groups.discard(group)
    stop(groups, grace_seconds)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
