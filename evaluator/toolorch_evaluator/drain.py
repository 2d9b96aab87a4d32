"""How long things may take once a pod is told to stop: together less than the 30 s that Kubernetes gives it.

Storage may hang as well as refuse, so each part has an end of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, TypeVar

import structlog

from toolorch_evaluator.exits import StorageError

log = structlog.get_logger(__name__)

# For running units to end by themselves.
GRACE_SECONDS = 20.0
# For a progress write that was under way.
BEAT_SECONDS = 1.0
# For the last words, all at once: progress, what is given back, the profile.
LAST_WORDS_SECONDS = 5.0
# For connections to be closed.
CLOSE_SECONDS = 1.0

T = TypeVar("T")


async def in_time(work: Awaitable[T], stop: asyncio.Event, seconds: float) -> T:
    """Await work; once told to stop for so many seconds more, then TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:

        async def watch() -> None:
            await stop.wait()
            limit.reschedule(loop.time() + seconds)

        watching = asyncio.create_task(watch())
        try:
            return await work
        finally:
            watching.cancel()


async def say_last(words: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event, finished: bool) -> None:
    """Make a shard's last writes, all at once; those of a finished one are worth a long wait, and a StorageError.

    Any other shard is looked for in the results.
    """
    try:
        async with asyncio.timeout(None if finished else LAST_WORDS_SECONDS):
            said = asyncio.gather(*words.values(), return_exceptions=True)
            errors = await in_time(said, stop, LAST_WORDS_SECONDS)
    except TimeoutError:
        log.warning("last_words_unsaid", words=sorted(words))
        return
    for word, error in zip(words, errors, strict=True):
        if error is not None and (finished or not isinstance(error, StorageError)):
            raise error
        if error is not None:
            log.warning("last_word_unsaid", word=word, error=str(error))
