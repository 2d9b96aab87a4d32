"""The ground of both kinds: group and version, labels, the base of every API model, and cross-field rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

GROUP = "toolorch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "toolorch"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "toolorch"
LABEL_KIND = f"{GROUP}/kind"
LABEL_NAME = f"{GROUP}/name"
LABEL_INSTANCE = f"{GROUP}/instance"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_STEP = f"{GROUP}/step"
LABEL_PURPOSE = f"{GROUP}/purpose"

# A Job's pod adds "-a<attempt>-<index>-<5 random>" to a run's name, and all of it is a DNS label of 63 characters.
MAX_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that one JSON schema keyword cannot say: as CEL for the API server and as a predicate for this program.

    `holds` is None for transition rules (`oldSelf`), which only the API server can judge.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None


class ApiModel(BaseModel):
    """Base of all API values: frozen, camelCase outside, unknown fields refused, docstrings are descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def parse_stored(cls, value: object) -> Self:
        """Return what the API server holds, without fields that only a newer version's CRDs know.

        Such CRDs write their defaults into every object, which an operator must bear until it is replaced itself. What
        those fields change in a run is told by its spec hash.
        """
        return cls.model_validate(value, extra="ignore")

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.rules:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self


class StatusModel(ApiModel):
    """Base of status values: fields of a newer version are ignored when read."""

    model_config = ConfigDict(extra="ignore")


class ObjectMeta(StatusModel):
    """The part of an object's metadata that toolorch reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


# Kubernetes' own rules for names and keys: what does not follow them names nothing, or something else.
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
_KeyName = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]


class SecretKeyRef(ApiModel):
    """One key of a Secret or ConfigMap in the same namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: _KeyName
    """Key in it."""


class LocalRef(ApiModel):
    """An object of the same namespace, by name."""

    name: ObjectName
    """Name of the object."""


def _number_to_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
# Kubernetes itself takes a quantity as a number too; x-kubernetes-int-or-string is the structural way to say so.
Quantity = Annotated[
    str,
    Field(pattern=_QUANTITY_PATTERN, max_length=32),
    BeforeValidator(_number_to_text),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _QUANTITY_PATTERN, "maxLength": 32}),
]


def child_labels(kind: str, name: str, **more: str) -> dict[str, str]:
    """Labels of every child of a ModelPool or EvalRun; `more` holds full label keys."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_KIND: kind, LABEL_NAME: name, **more}


def name_rules() -> tuple[Rule, ...]:
    """Rules for the names of both kinds, which become Service, Job and pod names."""
    return (
        Rule(
            f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
            f"metadata.name must have at most {MAX_NAME_LENGTH} characters: names of Services and pods grow from it",
            lambda doc: len(doc.metadata.name) <= MAX_NAME_LENGTH,
        ),
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must start with a letter and hold only a-z, 0-9 and '-', since Services are named after it",
            lambda doc: _is_dns_label(doc.metadata.name),
        ),
    )


def _is_dns_label(name: str) -> bool:
    inner = name.replace("-", "")
    return (
        bool(name)
        and "a" <= name[0] <= "z"
        and not name.endswith("-")
        and all("a" <= c <= "z" or c.isdecimal() for c in inner)
    )
