"""Objects that newer CRDs have filled in: an older operator reads them as if it knew those fields' names."""

from pathlib import Path

import pydantic
import pytest
import yaml

from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.modelpool import ModelPool

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KINDS = {"EvalRun": EvalRun, "ModelPool": ModelPool}


def documents():
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] in KINDS:
                yield pytest.param(document, id=f"{path.parent.name}-{path.stem}-{document['metadata']['name']}")


# Maps whose keys are the user's own: of values that are free, and of objects.
FREE, MAPS = ("chatTemplateKwargs", "nodeSelector"), ("experts",)


def with_newer_fields(value, name=""):
    """Return a value of a manifest with a field more in each object whose fields the CRDs name."""
    if isinstance(value, list):
        return [with_newer_fields(item) for item in value]
    if not isinstance(value, dict) or name in FREE:
        return value
    known = {key: with_newer_fields(field, key) for key, field in value.items()}
    return known if name in MAPS else {**known, "ofTheNextVersion": {"on": False}}


@pytest.mark.parametrize("document", list(documents()))
def test_fields_that_are_not_known_are_left_out_and_move_no_hash(document):
    model = KINDS[document["kind"]]
    filled = {**document, "spec": with_newer_fields(document["spec"])}
    with pytest.raises(pydantic.ValidationError):
        model.model_validate(filled)
    read, plain = model.parse_stored(filled), model.parse_stored(document)
    assert read == plain
    if isinstance(plain, EvalRun):
        assert spec_hash(read.spec) == spec_hash(plain.spec)


def test_what_is_wrong_is_refused_all_the_same():
    document = yaml.safe_load((EXAMPLES / "evalrun.yaml").read_text())
    document["spec"]["shards"] = 0
    with pytest.raises(pydantic.ValidationError, match="shards"):
        EvalRun.parse_stored(document)
