"""A table that many environments share: each copies a record when it first asks for it, and changes only its copy.

A retail or airline database has thousands of records and a task touches a handful: a fresh database then costs
microseconds, and two of them are equal when the few changed records are.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def canonical(record: BaseModel) -> str:
    """Return the text that v0.2.0 hashes: the model's dump as JSON with sorted keys, where 1 and 1.0 differ."""
    return json.dumps(record.model_dump(warnings=False), sort_keys=True, default=str)


def fresh_copy(record: Model) -> Model:
    """Return a copy that shares nothing, several times faster than a deep copy makes one."""
    return type(record).model_validate(record.model_dump())


class Overlay(MutableMapping[str, Any]):
    """A dict of records over a shared one; records met by iteration are shared and must only be read."""

    def __init__(self, shared: Mapping[str, BaseModel]) -> None:
        self._shared = shared
        self._own: dict[str, BaseModel] = {}

    def __getitem__(self, key: str) -> BaseModel:
        if key not in self._own:
            self._own[key] = fresh_copy(self._shared[key])
        return self._own[key]

    def __setitem__(self, key: str, record: BaseModel) -> None:
        self._own[key] = record

    def __delitem__(self, key: str) -> None:
        raise TypeError("no tool deletes a record")

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._shared

    def __iter__(self) -> Iterator[str]:
        yield from self._shared
        yield from (key for key in self._own if key not in self._shared)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> ItemsView[str, Any]:
        """Return keys and records without copying them."""
        return self._read_only().items()

    def values(self) -> ValuesView[Any]:
        """Return records without copying them."""
        return self._read_only().values()

    def changes(self) -> dict[str, str]:
        """Return the canonical text of every record that is new or differs from the shared one."""
        texts = {key: canonical(record) for key, record in self._own.items()}
        return {k: t for k, t in texts.items() if k not in self._shared or t != canonical(self._shared[k])}

    def _read_only(self) -> dict[str, BaseModel]:
        return {**self._shared, **self._own}
