"""Values of the fields of a kind, drawn from its schema: such as fit, and such as do not."""

import string
import zlib

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

WORDS = st.text(string.ascii_lowercase, min_size=3, max_size=8)
SOME = 3
"""Items of a list or a map at most: what holds for three holds for sixty."""
LARGEST = 2**31 - 1
DRAWS = 5
"""Values to choose from."""
NEAR = 5
"""How far a number lies from its default at most: far enough to be another."""
DEAR = 12
"""Most replicas and shards: each is a pod."""


def draw(strategy, name, is_it=lambda value: True):
    """Return a value for which something holds, for one name always the same; None where there is none."""
    found = []

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=DRAWS,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(value):
        if is_it(value):
            found.append(value)

    take()
    return found[zlib.crc32(name.encode()) % len(found)] if found else None


def leaves(schema, path=()):
    """Yield path and schema of each field of an object; a list or a map is one field."""
    for name, node in schema["properties"].items():
        if "properties" in node:
            yield from leaves(node, (*path, name))
        else:
            yield (*path, name), node


def fitting(node):
    """Return a strategy of values that a schema takes."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if "anyOf" in node:
        return st.one_of(fitting(each) for each in node["anyOf"] if "enum" in each)
    if "x-kubernetes-int-or-string" in node:
        return st.integers(1, 16).map(lambda n: f"{n}Gi")
    match node.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            least, most = node.get("minimum", 0), node.get("maximum", LARGEST)
            near = node.get("default", least + NEAR)
            return st.integers(max(least, near - NEAR), min(most, near + NEAR))
        case "string":
            return fitting_text(node)
        case "array":
            least = node.get("minItems", 0)
            return st.lists(fitting(node["items"]), min_size=least, max_size=SOME, unique_by=repr)
        case _:
            return fitting_object(node)


def fitting_text(node):
    pattern = node.get("pattern")
    if pattern is None:
        return WORDS
    long = st.from_regex(pattern.replace(r"\s", r"\s\W"), fullmatch=True, alphabet=st.characters(codec="ascii"))
    return long.filter(lambda text: len(text) <= node.get("maxLength", 64) and text.isprintable())


def fitting_object(node):
    if "properties" not in node:
        return st.dictionaries(WORDS, fitting(node.get("additionalProperties", {"type": "string"})), max_size=SOME)
    fields = {name: fitting(each) for name, each in node["properties"].items()}
    needed = set(node.get("required", ()))
    return st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in needed},
        optional={name: each for name, each in fields.items() if name not in needed},
    )


def extreme(node):
    """Return a strategy of values at the ends of what a schema takes, which nobody can want."""
    if "x-kubernetes-int-or-string" in node:
        return st.sampled_from(("99999T", "0", "7m"))
    match node.get("type"):
        case "integer":
            most = DEAR if node.get("maximum") == 1000 else min(node.get("maximum", LARGEST), LARGEST)
            return st.sampled_from((most, node.get("minimum", 0)))
        case "string" if "enum" not in node and "pattern" not in node:
            return st.sampled_from(("No Such/Thing:: ", "-", "é" * 9, "x" * node["maxLength"], "$(POD_NAME)"))
        case "array" if "enum" not in node["items"] and node["items"].get("type"):
            return st.lists(extreme(node["items"]), min_size=1, max_size=SOME)
        case "object" if "properties" in node:
            fields = {name: extreme(each) for name, each in node["properties"].items()}
            needed = {name: each for name, each in fields.items() if name in node.get("required", ())}
            return st.fixed_dictionaries(needed, optional={n: e for n, e in fields.items() if n not in needed})
        case "object" if "additionalProperties" in node:
            return st.dictionaries(st.sampled_from(("not a label/", "a b", "-")), WORDS, min_size=1)
    return fitting(node)


def unfit(node):
    """Return values that a schema refuses."""
    wrong = [{"an": "object"}] if node.get("type") != "object" else ["a text"]
    if "maximum" in node:
        wrong.append(node["maximum"] + 1)
    if "minimum" in node:
        wrong.append(node["minimum"] - 1)
    if "enum" in node:
        wrong.append("No-Such-Word")
    if "pattern" in node:
        wrong.append("\n")
    if "maxLength" in node:
        wrong.append("x" * (node["maxLength"] + 1))
    return wrong
