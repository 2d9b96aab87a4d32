"""Reads YAML files into documents that still know where each of their fields was written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toolorch_evaluator.cli.errors import BadInputError

# A sweep over everything there is has hundreds. Some lines of aliases of aliases stand for billions.
MOST_VALUES = 100_000
_UNDER_WAY = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document and its place."""

    path: Path
    node: yaml.Node
    value: Any

    def at(self, field: str = "") -> str:
        """Return `file:line` of a field such as spec.env[0].name, or of the part of it that is there."""
        return f"{self.path}:{_find(self.node, field).start_mark.line + 1}"


def read_documents(path: Path) -> list[Document]:
    """Read the documents of a file that are not empty; raises BadInputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInputError([f"{path}: there is no such file"]) from None
    except UnicodeDecodeError:
        raise BadInputError([f"{path}: this is not UTF-8 text"]) from None
    except OSError as error:
        raise BadInputError([f"{path}: cannot be read: {error.strerror}"]) from None
    documents = [d for d in _parse(path, text) if d.value is not None]
    if not documents:
        raise BadInputError([f"{path}: holds no document; expected ModelPool and EvalRun documents"])
    return documents


def _parse(path: Path, text: str) -> Iterator[Document]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node has said that there is one
            _measure(path, node, {})
            _refuse_repeated_keys(path, node)
            yield Document(path, node, loader.construct_document(node))
    except RecursionError:
        raise BadInputError([f"{path}: this is nested too deeply"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInputError([f"{path}:{line}: this is not YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise BadInputError([f"{path}: this is not YAML: {error}"]) from None
    finally:
        loader.dispose()


def _measure(path: Path, node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many values a node stands for where every alias is written out; `sizes` are the known ones by id."""
    line, known = node.start_mark.line + 1, sizes.get(id(node))
    if known == _UNDER_WAY:
        raise BadInputError([f"{path}:{line}: this holds itself"])
    if known is None:
        sizes[id(node)] = _UNDER_WAY
        inner = [each for row in node.value for each in (row if isinstance(row, tuple) else (row,))]
        known = 1 + sum(_measure(path, each, sizes) for each in inner if isinstance(each, yaml.Node))
        if known > MOST_VALUES:
            raise BadInputError([f"{path}:{line}: this stands for more than {MOST_VALUES} values"])
        sizes[id(node)] = known
    return known


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    """Refuse what YAML readers take silently, the last one winning."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if str(key.value) in seen:
            raise BadInputError([f"{path}:{key.start_mark.line + 1}: key {key.value} appears twice in one mapping"])
        seen.add(str(key.value))
        _refuse_repeated_keys(path, value)


def _find(node: yaml.Node, field: str) -> yaml.Node:
    """Walk from a document down a field's path, as far as it is written."""
    at = node
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        inner = _child(node, name, index)
        if inner is None:
            break
        at, node = inner
    return at


def _child(node: yaml.Node, name: str, index: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return where a key or item is written, and its value."""
    if isinstance(node, yaml.MappingNode) and name:
        return next(((key, value) for key, value in node.value if key.value == name), None)
    if isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
        return node.value[int(index)], node.value[int(index)]
    return None
