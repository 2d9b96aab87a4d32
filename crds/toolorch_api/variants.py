"""User variants: built-in names, or own ones with instructions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from toolorch_api.meta import ApiModel

NAME = r"^[a-z][a-z0-9-]*$"
BUILT_IN = ("control", "frustration", "anxiety", "anger", "confusion")


class OwnVariant(ApiModel):
    """A way for the simulated user to behave, in the user's own words."""

    name: Annotated[str, Field(pattern=NAME, max_length=40)]
    instructions: Annotated[str, Field(min_length=1, max_length=8000)]


def variant_names(variants: list[Any]) -> list[str]:
    """Return the names of variants, in order."""
    return [v if isinstance(v, str) else v.name for v in variants]


def has_unique_variant_names(variants: list[Any]) -> list[Any]:
    """Return the variants, or raise ValueError where two have one name: their results would share keys."""
    names = variant_names(variants)
    if len(set(names)) != len(names):
        raise ValueError("userVariants must not name a variant twice")
    return variants


# A structural schema has no union of string and object: `not: maxProperties 0` is false for a string (the keyword does
# not apply to it, so it holds, and `not` turns that round) and true for an object that has fields.
_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": 16,
    "items": {
        "x-kubernetes-preserve-unknown-fields": True,
        "description": "control, frustration, anxiety, anger, confusion, or an object with name and instructions.",
        # Of the two, an object of any depth would be neither.
        "properties": {
            "name": {"type": "string", "pattern": NAME, "maxLength": 40, "description": "Name of an own variant."},
            "instructions": {
                "type": "string",
                "minLength": 1,
                "maxLength": 8000,
                "description": "How the user behaves, in words for the model that plays it.",
            },
        },
        "anyOf": [
            {"enum": list(BUILT_IN)},
            {"required": ["name", "instructions"], "maxProperties": 2, "not": {"maxProperties": 0}},
        ],
    },
}

UserVariants = Annotated[
    list[Literal["control", "frustration", "anxiety", "anger", "confusion"] | OwnVariant],
    Field(min_length=1, max_length=16),
    AfterValidator(has_unique_variant_names),
    WithJsonSchema(_SCHEMA),
]
