"""Object storage as the operator needs it: create, get, list, probe. The only importer of obstore. EDGE."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from toolorch_api.store_errors import is_missing_bucket, say_store_error
from toolorch_operator.blanking import blank_secrets
from toolorch_operator.errors import StorageDenied, StorageError, StorageInvalid, StorageUnavailable
from toolorch_operator.metrics import Metrics
from toolorch_operator.opening import REQUEST_TIMEOUT, plan_opening

OPEN_STORES = 64
"""Stores kept open: one per output address and Secret, of which a cluster has few."""
PROBE_WRITERS = 32
"""Writers that race for one key; fewer did not always show a racy server."""
PAGE = 1000
"""Keys per page, the most that S3 gives."""
MOST_BYTES = 32 * 1024 * 1024
"""Of an object that is read: the manifest of 100,000 units has up to 10 MiB, all others are far smaller."""
MOST_ENTRIES = 300_000
"""Of a listing, which is held whole: three times the units of 100,000 tasks. Whoever can write may put more there."""
READS = ("get", "list")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A listed object; `version` changes with its content."""

    key: str
    version: str
    size: int = 0


class Storage:
    """Stores by address and Secret, opened once each; `check` is asked before each write, and raises to prevent it."""

    def __init__(self, metrics: Metrics, check: Callable[[], None] = lambda: None) -> None:
        self._metrics = metrics
        self._check = check
        self._stores: OrderedDict[tuple[str, str], ObjectStore] = OrderedDict()
        self._probed: dict[tuple[str, str], bool] = {}
        self._doubted: set[tuple[str, str]] = set()

    def open(self, root: str, secret: Mapping[str, str]) -> Folder:
        """Return the folder of a run; `secret` holds the store's environment variables, such as AWS_ACCESS_KEY_ID."""
        parent, _, name = root.rstrip("/").rpartition("/")
        identity = (parent, hashlib.sha256(repr(sorted(secret.items())).encode()).hexdigest())
        if identity not in self._stores:
            self._stores[identity] = _open_store(parent, secret)
            if len(self._stores) > OPEN_STORES:
                self._probed.pop(self._stores.popitem(last=False)[0], None)
        self._stores.move_to_end(identity)
        shared = (self._metrics, self._probed, self._doubted, identity, self._check)
        return Folder(self._stores[identity], name, tuple(secret.values()), *shared)


@dataclass(frozen=True, slots=True)
class Folder:
    """One run's folder; keys are relative to it. Raises StorageError, and nothing else, where a request fails."""

    store: ObjectStore
    name: str
    secrets: tuple[str, ...]
    metrics: Metrics
    probed: dict[tuple[str, str], bool]
    doubted: set[tuple[str, str]]
    """Stores in which something could not be written: whether they are writable is proven afresh."""
    identity: tuple[str, str]
    check: Callable[[], None]

    def blank(self, text: str) -> str:
        """Return a text without any value of the folder's Secret."""
        return blank_secrets(text, self.secrets)

    async def create(self, key: str, body: bytes) -> bool:
        """Write an object unless it exists; tell whether it was this call that wrote it."""

        async def put() -> bool:
            if await self._try_create(key, body):
                return True
            try:
                # "Taken" is also said while another write is under way, and that one may fail.
                await obstore.head_async(self.store, f"{self.name}/{key}")
            except FileNotFoundError:
                raise StorageUnavailable(f"{key} is said to be taken, and is not there") from None
            return False

        try:
            return await self._request("put", put)
        except StorageError:
            self.doubted.add(self.identity)
            raise

    async def _try_create(self, key: str, body: bytes) -> bool:
        try:
            await obstore.put_async(self.store, f"{self.name}/{key}", body, mode="create", use_multipart=False)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return False
        return True

    async def get(self, key: str, most: int = MOST_BYTES) -> bytes | None:
        """Return an object's content, or None where there is none; StorageInvalid for more bytes than `most`."""

        async def read() -> bytes | None:
            try:
                answer = await obstore.get_async(self.store, f"{self.name}/{key}")
                if answer.meta["size"] > most:
                    raise StorageInvalid(f"{key} has {answer.meta['size']} bytes, more than the {most} that are read")
                return bytes(await answer.bytes_async())
            except FileNotFoundError as error:
                if is_missing_bucket(str(error)):
                    raise
                return None

        return await self._request("get", read)

    async def list(self, prefix: str, most: int = MOST_ENTRIES) -> list[Entry]:
        """Return the objects below a prefix that ends with a slash, by 1000 a request; StorageInvalid beyond `most`."""

        async def pages() -> list[Entry]:
            cut = len(self.name) + 1
            entries: list[Entry] = []
            async for page in obstore.list(self.store, f"{self.name}/{prefix}", chunk_size=PAGE):
                entries += [Entry(o["path"][cut:], _version(o), o["size"]) for o in page]
                if len(entries) > most:
                    raise StorageInvalid(f"more than {most} objects lie below {prefix}")
            return entries

        entries = await self._request("list", pages)
        self.metrics.count_storage("list", "ok", max(0, len(entries) - 1) // PAGE)
        return entries

    async def probe(self, token: str) -> bool:
        """Prove that storage is writable, and tell whether its create-only PUT has one winner at most; that is kept.

        `token` names the scratch object, must be new, and is in no error: a failure that lasts keeps its text.
        """
        known = self.identity in self.probed
        if not known or self.identity in self.doubted:
            key, count = f"probe/{token}", 1 if known else PROBE_WRITERS
            tries = (self._request("put", lambda: self._try_create(key, b"probe"), token) for _ in range(count))
            won = await asyncio.gather(*tries)
            await self._request("delete", lambda: obstore.delete_async(self.store, f"{self.name}/{key}"), token)
            # None is told that it won where the winner's answer was lost on its way.
            self.probed.setdefault(self.identity, sum(won) <= 1)
            self.doubted.discard(self.identity)
        return self.probed[self.identity]

    async def _request(self, operation: str, call: Callable[[], Awaitable[T]], *unsaid: str) -> T:
        if operation not in READS:
            self.check()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds() * 4):
                result = await call()
        except (exceptions.BaseError, OSError, ValueError, StorageError) as error:
            parsed = parse_storage_error(error, (*self.secrets, *unsaid))
            self.metrics.count_storage(operation, parsed.reason)
            raise parsed from None  # the cause's text may hold credentials
        self.metrics.count_storage(operation, "ok")
        return result


def _version(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('e_tag')}/{entry.get('last_modified')}/{entry.get('size')}"


def _open_store(uri: str, secret: Mapping[str, str]) -> ObjectStore:
    opening = plan_opening(uri, secret)
    try:
        return from_url(opening.uri, **opening.options)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise StorageInvalid(_sentence(error, opening.secrets)) from None


def parse_storage_error(error: Exception, secrets: tuple[str, ...]) -> StorageError:
    """Return the error for what obstore raised, in one short line without any of the secrets."""
    if isinstance(error, StorageError):
        return error
    kind: type[StorageError] = StorageUnavailable
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
        kind = StorageDenied
    elif isinstance(error, exceptions.UnknownConfigurationKeyError | FileNotFoundError | ValueError):
        kind = StorageInvalid
    return kind(_sentence(error, secrets))


def _sentence(error: Exception, secrets: tuple[str, ...]) -> str:
    return blank_secrets(say_store_error(str(error)) or type(error).__name__, secrets)[:300]
