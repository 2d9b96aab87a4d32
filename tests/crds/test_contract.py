"""The models refuse what they must with words to act on, take the examples, and print the CRDs that are checked in."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from toolorch_api.crd import build_crds, render
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.modelpool import ModelPool
from toolorch_api.reference import render_reference
from toolorch_api.sentences import explain

ROOT = Path(__file__).parents[2]
KINDS = {"ModelPool": ModelPool, "EvalRun": EvalRun}


def test_bad_spec_is_refused_with_words_to_act_on(bad, document):
    model = KINDS[bad["kind"]]
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(document)
    sentences = " | ".join(explain(refusal.value, model))
    assert bad.get("here", bad["says"]) in sentences


@pytest.mark.parametrize("kind", KINDS)
def test_good_documents_pass(kind, good):
    KINDS[kind].model_validate(good[kind])


@pytest.mark.parametrize("name", build_crds())
def test_checked_in_crd_is_what_the_models_print(name):
    assert (ROOT / "crds" / name).read_text() == render(build_crds()[name]), "run `make generate`"


def test_checked_in_reference_is_what_the_models_print():
    assert (ROOT / "docs" / "reference.md").read_text() == render_reference(build_crds().values()), (
        "run `make generate`"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_examples_are_valid(path):
    for document in yaml.safe_load_all(path.read_text()):
        KINDS[document["kind"]].model_validate(document)


def nodes(schema):
    yield schema
    children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in children:
        if isinstance(child, dict):
            yield from nodes(child)


@pytest.mark.parametrize("name", build_crds())
def test_every_list_map_and_text_of_a_spec_is_bounded(name):
    version = build_crds()[name]["spec"]["versions"][0]
    bounds = {"string": ("maxLength", "enum", "pattern"), "array": ("maxItems",)}
    for node in nodes(version["schema"]["openAPIV3Schema"]["properties"]["spec"]):
        wanted = bounds.get(node.get("type"), ())
        assert not wanted or any(bound in node for bound in wanted), node
        if "additionalProperties" in node:
            assert "maxProperties" in node, node


def test_spec_hash_moves_with_what_changes_results_and_with_nothing_else(good):
    def hashed(**change):
        return spec_hash(
            EvalRun.model_validate({**good["EvalRun"], "spec": {**good["EvalRun"]["spec"], **change}}).spec
        )

    assert hashed() == hashed(shards=9) == hashed(suspend=True)
    assert len({hashed(), hashed(seed=1), hashed(trials=2), hashed(userVariants=["anger"])}) == 4
