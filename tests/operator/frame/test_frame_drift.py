"""Drift: what the server adds is none, what somebody changes or we take away is one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_operator.drift import has_drifted, is_held_by, with_applied_hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, id="fields that the server adds"),
        pytest.param({"a": {}}, {}, id="an empty map that the server leaves out"),
        pytest.param({"a": []}, {}, id="an empty list that the server leaves out"),
        pytest.param({"value": ""}, {}, id="an empty text that the server leaves out"),
        pytest.param({"hostIPC": False}, {}, id="a false that the server leaves out"),
        pytest.param({"cpu": "1000m"}, {"cpu": "1"}, id="a quantity in another unit"),
        pytest.param({"memory": "1024Mi"}, {"memory": "1Gi"}, id="memory in another unit"),
        pytest.param({"cpu": 1}, {"cpu": "1"}, id="a quantity as a number"),
        pytest.param([{"name": "a"}], [{"name": "sidecar"}, {"name": "a", "x": 1}], id="an injected container"),
        pytest.param(
            [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}],
            [{"name": "v", "mountPath": "/b"}, {"name": "v", "mountPath": "/a", "readOnly": True}],
            id="one volume mounted twice, in another order",
        ),
        pytest.param(["x", "y"], ["x", "y"], id="equal arguments"),
    ],
)
def test_is_no_drift(desired, live):
    assert is_held_by(desired, live)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        pytest.param({"a": 1}, {"a": 2}, id="another value"),
        pytest.param({"a": 1}, {}, id="a field taken away"),
        pytest.param({"a": {"b": 1}}, {"a": None}, id="a map taken away"),
        pytest.param(["x", "y"], ["y", "x"], id="arguments in another order"),
        pytest.param(["x"], ["x", "y"], id="an argument more"),
        pytest.param([{"name": "a"}], [{"name": "b"}], id="another container"),
        pytest.param({"cpu": "1"}, {"cpu": "2"}, id="another quantity"),
        pytest.param({"replicas": 1}, {"replicas": 3}, id="scaled by hand"),
        pytest.param({"replicas": 0}, {"replicas": 3}, id="zero is a value where something else is there"),
        pytest.param({"a": "x"}, {"a": ["x"]}, id="another type"),
        pytest.param([{"name": "a"}], None, id="a list taken away"),
    ],
)
def test_is_drift(desired, live):
    assert not is_held_by(desired, live)


@settings(deadline=None)
@given(JSON)
def test_everything_holds_itself(value):
    assert is_held_by(value, value)


def build(**data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def test_a_field_that_is_no_longer_desired_is_drift_though_the_live_object_holds_the_rest():
    live = with_applied_hash(build(a="1", b="2"))
    assert not has_drifted(with_applied_hash(build(a="1", b="2")), live)
    assert has_drifted(with_applied_hash(build(a="1")), live)


def test_the_hash_does_not_depend_on_the_order_of_fields_or_on_itself():
    once = with_applied_hash(build(a="1", b="2"))
    assert once == with_applied_hash(build(b="2", a="1"))


def test_what_is_absent_has_drifted():
    assert has_drifted(with_applied_hash(build()), None)
