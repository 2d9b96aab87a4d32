"""How a store is opened: from its address and its Secret to what the client is told, or why it is not opened. PURE.

Both are a stranger's words to a program that has an identity of its own.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from toolorch_api.store_options import PREFIXES, client_options, refuse_settings, store_settings
from toolorch_operator.blanking import blank_secrets
from toolorch_operator.errors import StorageInvalid

REQUEST_TIMEOUT = timedelta(seconds=15)
CONNECT_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the client is told of one store."""

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the client."""
    secrets: tuple[str, ...] = ()
    """What no error may quote."""


def refuse_local(uri: str, local_root: str | None) -> None:
    """Raise StorageInvalid for a folder of this program's own file system that does not lie below `local_root`.

    `local_root` is a file:// URI too; None: any folder may be opened.
    """
    if local_root is None or not uri.startswith("file://"):
        return
    if not local_root or not f"{_folder(uri)}/".startswith(f"{_folder(local_root)}/"):
        where = f"below {local_root} only" if local_root else "not on this operator"
        raise StorageInvalid(f"file:// is a folder of the operator's own machine, {where}: give s3://, gs:// or az://")


def _folder(uri: str) -> str:
    return posixpath.normpath(unquote(uri.partition("://")[2]))


def plan_opening(uri: str, secret: Mapping[str, str]) -> Opening:
    """Return how a store is opened; raise StorageInvalid where it must not or cannot be."""
    scheme = uri.partition("://")[0]
    if scheme == "file":
        return Opening(uri, {"mkdir": True})
    if scheme == "memory":
        return Opening("memory:///")
    if scheme not in PREFIXES:
        raise StorageInvalid(f"storage address {blank_secrets(uri, ())} is not s3, gs, az or file")
    if why := refuse_settings(scheme, secret):
        raise StorageInvalid(why)
    client = {"timeout": REQUEST_TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, **client_options(scheme, secret)}
    options = {
        "config": store_settings(scheme, secret),
        "client_options": client,
        # One retry: the queue waits and tries again, where it is counted.
        "retry_config": {"max_retries": 1, "retry_timeout": REQUEST_TIMEOUT},
    }
    return Opening(uri, options, tuple(secret.values()))
