"""A run's folder in storage: create-only and overwriting writes, reads, listings; patient while storage is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import structlog
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import LocalStore, from_url

from toolorch_api.store_errors import is_clock_skew, is_missing_bucket
from toolorch_api.store_options import client_options
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.patience import Patience, say

log = structlog.get_logger(__name__)

# Storage that is away for less than this loses no unit: a finished conversation is worth far more than the wait.
PATIENCE_SECONDS = 300.0
# One request; below obstore's own default, so that a hung connection is noticed and tried afresh.
REQUEST_TIMEOUT, CONNECT_TIMEOUT = timedelta(seconds=30), timedelta(seconds=5)
PAGE = 1000  # keys per page, which is S3's own limit
PARALLEL_GETS = 32
# Creates of one key at once: a store that lets two of them win shows it at the first try, as those known do.
PROBES = 4
# Longer than a small write takes, shorter than any conversation.
SETTLE_SECONDS = 1.0

# Time heals none of these.
_PERMANENT = (
    PermissionDeniedError,
    PermissionError,
    UnauthenticatedError,
    InvalidPathError,
    UnknownConfigurationKeyError,
)
_TAKEN = (AlreadyExistsError, FileExistsError, PreconditionError)
# Said of a key it is an answer; said of a write or a listing, there is no such bucket.
_MISSING = (NotFoundError, FileNotFoundError)

T = TypeVar("T")


class BusyError(OSError):
    """Somebody else writes the same object at this moment, or has just given it up."""


class Store(Protocol):
    """The part of an obstore store that is used here."""

    async def put_async(self, path: str, file: bytes, *, mode: Any = None, use_multipart: bool | None = None) -> Any:
        """Write an object."""

    async def get_async(self, path: str) -> Any:
        """Read an object."""

    def list(self, prefix: str | None = None, *, chunk_size: int = 50) -> Any:
        """List objects by prefix."""


def open_store(root: str, env: Mapping[str, str] = MappingProxyType({})) -> Store:
    """Open the store at a root URI: file://, or s3, gs and az with the credentials of the environment."""
    parts = urlsplit(root)
    # obstore reads credentials and endpoint from the environment by itself, but none of its HTTP client's options.
    client: Any = {"timeout": REQUEST_TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, **client_options(parts.scheme, env)}
    if parts.scheme == "file":
        return LocalStore(Path(unquote(parts.path)), mkdir=True)
    try:
        return from_url(
            root,
            client_options=client,
            # Waiting is done here, where it is logged and bounded as a whole.
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=60)},
        )
    except BaseError as error:
        raise BadInputError("BadStorage", f"output {root} cannot be opened: {say(error)}") from error


class Results:
    """Objects of one run, by the keys of `toolorch_api.keys`."""

    def __init__(self, store: Store, patience: float = PATIENCE_SECONDS, longest_pause: float = 10.0) -> None:
        self._store = store
        self._patience = Patience(patience, longest_pause, _is_passing)
        self._settle: float | None = None

    async def probe_create(self, key: str, settle: float = SETTLE_SECONDS) -> None:
        """Find out with a fresh key whether creates are atomic; where not, put_new looks before its writes, and again
        `settle` seconds after them, when others who write at once are done.
        """
        won = await asyncio.gather(*(self._patiently(lambda: self._try_create(key, b"{}"), key) for _ in range(PROBES)))
        if sum(won) > 1:
            log.warning("create_not_atomic", winners=sum(won), of=PROBES)
            self._settle = settle

    async def put_new(self, key: str, body: bytes) -> bool:
        """Create an object; False where the key is taken (perhaps by this very write, whose answer was lost)."""
        if self._settle is None:
            return await self._create(key, body)
        if await self.get(key) is not None or not await self._create(key, body):
            return False
        # Of those who have written at once, the last one stands, and all of them are to see the same.
        await asyncio.sleep(self._settle)
        return await self.get(key) in (body, None)

    async def _create(self, key: str, body: bytes) -> bool:
        """Create an object; False: it is there."""

        async def create() -> bool:
            if await self._try_create(key, body):
                return True
            # "Taken" is also said while another write is under way, and that one may fail.
            if await self._read(key) is None:
                raise BusyError(f"{key} is said to be taken, and is not there")
            return False

        return await self._patiently(create, key)

    async def _try_create(self, key: str, body: bytes) -> bool:
        try:
            await self._store.put_async(key, body, mode="create", use_multipart=False)
        except _TAKEN:
            return False
        return True

    async def put(self, key: str, body: bytes, patience: float | None = None) -> None:
        """Write an object, over an older one if there is one; `patience` in seconds may shorten the usual one."""

        async def write() -> None:
            try:
                await self._store.put_async(key, body, use_multipart=False)
            except _TAKEN as error:
                raise BusyError(say(error)) from error

        await self._patiently(write, key, patience)

    async def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        return await self._patiently(lambda: self._read(key), key)

    async def _read(self, key: str) -> bytes | None:
        try:
            answer = await self._store.get_async(key)
        except _MISSING as error:
            if is_missing_bucket(str(error)):
                raise
            return None
        return bytes(await answer.bytes_async())

    async def get_all(self, keys: Iterable[str]) -> AsyncIterator[tuple[str, bytes]]:
        """Yield key and bytes of all objects that exist, some requests at a time, in the order of `keys`."""
        ordered = list(keys)
        for start in range(0, len(ordered), PARALLEL_GETS):
            batch = ordered[start : start + PARALLEL_GETS]
            for key, body in zip(batch, await asyncio.gather(*map(self.get, batch)), strict=True):
                if body is not None:
                    yield key, body

    async def list_keys(self, prefix: str) -> list[str]:
        """List the keys below a prefix, one request per 1000 keys."""
        return list(await self.list_times(prefix))

    async def list_times(self, prefix: str) -> dict[str, datetime]:
        """List keys below a prefix with the time of each one's last write, by the store's own clock."""

        async def read() -> dict[str, datetime]:
            pages = self._store.list(prefix, chunk_size=PAGE)
            return {item["path"]: item["last_modified"] async for page in pages for item in page}

        return await self._patiently(read, prefix)

    async def _patiently(self, call: Callable[[], Awaitable[T]], key: str, patience: float | None = None) -> T:
        try:
            return await self._patience.wait(call, key, patience)
        except (*_PERMANENT, *_MISSING) as error:
            raise StorageError("StorageRefused", f"storage refuses {key}: {say(error)}") from error
        except (BaseError, OSError) as error:
            raise StorageError("StorageUnreachable", f"storage stayed away for {key}: {say(error)}") from error


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, (*_PERMANENT, *_MISSING)):
        return is_clock_skew(str(error))
    return isinstance(error, BaseError | OSError)
