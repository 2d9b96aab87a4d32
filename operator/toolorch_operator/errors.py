"""The errors of the edges; the queue catches them once and turns them into a later try. PURE.

EdgeError
├── NotLeading            another operator may lead: nothing may be written
├── ClusterError          the API server
│   ├── NotFound          404: the object is gone
│   ├── Conflict          409: somebody else wrote; read again
│   ├── Invalid           422, 400: the server will never take this object
│   ├── Denied            401, 403: RBAC or credentials
│   ├── Throttled         429: after `retry_after` seconds
│   └── Unavailable       5xx, timeouts, broken connections
└── StorageError          object storage
    ├── StorageDenied     credentials or permissions
    ├── StorageInvalid    an address or setting that cannot work
    └── StorageUnavailable  timeouts, 5xx, broken connections
"""

# ruff: noqa: N818 - the leaves are named as the reasons that the API server itself gives
from __future__ import annotations


class EdgeError(Exception):
    """Something outside this program did not answer as needed; `retry_after` in seconds where it said when."""

    retry_after: float | None = None

    @property
    def reason(self) -> str:
        """Short name for metrics and logs."""
        return type(self).__name__


class NotLeading(EdgeError):
    """This operator may write nothing: another may lead."""


class ClusterError(EdgeError):
    """The API server did not do what was asked."""


class NotFound(ClusterError):
    """The object does not exist."""


class Conflict(ClusterError):
    """The object was changed since it was read, or its name is taken."""


class Invalid(ClusterError):
    """The API server refuses the object itself."""


class Denied(ClusterError):
    """The operator may not do this."""


class Throttled(ClusterError):
    """Too many requests."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ClusterError):
    """The API server could not be reached or is broken for the moment."""


class StorageError(EdgeError):
    """Object storage did not do what was asked; the message carries no credentials."""


class StorageDenied(StorageError):
    """Credentials are missing, wrong, or not enough."""


class StorageInvalid(StorageError):
    """The address or a setting cannot work."""


class StorageUnavailable(StorageError):
    """Storage could not be reached or is broken for the moment."""
