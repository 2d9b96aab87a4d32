"""The units under way, kept where Kubernetes reads a container's last word, however the container ends.

Nobody can say anything while the kernel ends a process that needs too much memory. So what runs is written down before,
at each beginning and end of a unit.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from toolorch_api.deaths import LastWord
from toolorch_evaluator.exits import MAX_WORD_BYTES

log = structlog.get_logger(__name__)


class RunningUnits:
    """Names the units under way in a file; where that cannot be written, as outside a pod, work goes on without."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A dictionary keeps the order in which they began.
        self._running: dict[int, None] = {}
        self._broken = False

    @property
    def indexes(self) -> list[int]:
        """Indexes into the manifest of what is under way, in the order of beginning."""
        return list(self._running)

    def begin(self, index: int) -> None:
        """Name a unit: before its first call, which may be what ends this process."""
        self._running[index] = None
        self._write(self._text())

    def end(self, index: int) -> None:
        """Take back a unit's name."""
        self._running.pop(index, None)
        self._write(self._text())

    def clear(self) -> None:
        """Leave no name: what ends this process now is no unit's doing."""
        self._running.clear()
        self._write(b"")

    def _text(self) -> bytes:
        """Return the word of this moment; of more units than fit, those that began last."""
        running = self.indexes
        while True:
            text = LastWord(running=running).model_dump_json(by_alias=True).encode()
            if len(text) <= MAX_WORD_BYTES:
                return text
            # Seven digits and a comma are the most that an index takes.
            running = running[max(1, (len(text) - MAX_WORD_BYTES) // 8) :]

    def _write(self, text: bytes) -> None:
        """Write in place, since the file is mounted by itself: the old word's end is blanks before it is cut off."""
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                size = os.fstat(file).st_size
                os.write(file, text.ljust(size))
                if size > len(text):
                    os.ftruncate(file, len(text))
            finally:
                os.close(file)
        except OSError as error:
            if not self._broken:
                log.warning("last_word_unwritten", path=str(self._path), error=str(error))
            self._broken = True
