"""The domains' modules of inspect-evals, loaded by themselves.

Imported the usual way they bring inspect-ai along: seconds of every start, for a store that is not used here
and a decorator. So their files are executed in modules of their own, with stand-ins for the five names that they take
from it. Nothing is entered into sys.modules, and the package can be imported as usual beside this.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict

PACKAGE = "inspect_evals.tau2"
INSTALL = "the dataset of tau2 is in the package inspect-evals: install toolorch[evaluator]"


class ToolError(Exception):
    """What a packaged tool raises to answer a model with an error."""


class StoreModel(BaseModel):
    """Base of the packaged toolkits, which keep their state in fields."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


def _tool(factory: Callable[..., Any]) -> Callable[..., Any]:
    return factory


def _store_as(*_: object) -> Any:
    raise RuntimeError("packaged toolkits are not kept in a store here")


_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "inspect_ai.tool": {"Tool": object, "ToolError": ToolError, "tool": _tool},
    "inspect_ai.util": {"StoreModel": StoreModel, "store_as": _store_as},
    "inspect_ai.model": {"Content": object, "ContentText": object},
}


@cache
def package_folder() -> Path:
    """Return the folder of the packaged benchmark; raises ModuleNotFoundError with what to install."""
    found = find_spec("inspect_evals")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(INSTALL)
    return Path(found.submodule_search_locations[0]) / "tau2"


@cache
def packaged_module(name: str) -> ModuleType:
    """Return a module of the packaged benchmark, such as `retail.tools`."""
    file = package_folder().joinpath(*name.split(".")).with_suffix(".py")
    module = ModuleType(f"{PACKAGE}.{name}")
    module.__file__ = str(file)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec", dont_inherit=True), vars(module))
    return module


def _import(
    name: str,
    scope: Mapping[str, object] | None = None,
    local: Mapping[str, object] | None = None,
    names: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """Import for a packaged module: its siblings and the stand-ins from here, all else as ever."""
    if name in _STAND_INS:
        return _stand_in(name)
    if name.startswith(f"{PACKAGE}."):
        return packaged_module(name.removeprefix(f"{PACKAGE}."))
    return __import__(name, scope, local, names or (), level)


@cache
def _stand_in(name: str) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(_STAND_INS[name])
    return module
