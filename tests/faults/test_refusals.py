"""What a field cannot be is refused by the API server, and so is another value of what never changes, with a sentence.

Everything is asked of a server that only pretends to do it (dryRun).
"""

import json

import pytest
import pytest_asyncio
from admin import Answer
from homes import API
from transitions import BASES, find_breaches, find_refusals

pytestmark = pytest.mark.faults

NAMESPACE = "refusals"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ask(ground):
    """Ask for an object, or for a change of one that has a good spec; return code and message of the answer."""

    async def refused(method, path, body, type_):
        try:
            await ground.request(method, path, body, type_=type_, dryRun="All")
        except Answer as answer:
            return answer.code, json.loads(answer.status)["message"]
        return 200, ""

    async def asked(kind, spec, *, of=None):
        path = f"/apis/{API}/namespaces/{NAMESPACE}/{kind.lower()}s"
        if of is None:
            body = {"apiVersion": API, "kind": kind, "metadata": {"name": "new"}, "spec": spec}
            return await refused("POST", path, body, "application/json")
        return await refused("PATCH", f"{path}/{of}", {"spec": spec}, "application/merge-patch+json")

    await ground.make_namespace(NAMESPACE)
    for kind, specs in BASES.items():
        for name, spec in specs.items():
            await ground.apply(
                f"/apis/{API}/namespaces/{NAMESPACE}/{kind.lower()}s/{name}",
                {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec},
            )
    return asked


@pytest.mark.parametrize("kind", BASES)
async def test_a_value_that_a_field_cannot_have_is_refused_by_its_name(ask, kind):
    taken = []
    for field, spec in find_refusals(kind):
        code, said = await ask(kind, spec)
        if code != 422 or field.rpartition(".")[2] not in said:
            taken.append((field, code, said))
    assert taken == []


@pytest.mark.parametrize("kind", BASES)
async def test_what_never_changes_says_so_and_what_to_do(ask, kind):
    breaches = list(find_breaches(kind))
    assert breaches
    for field, spec in breaches:
        code, said = await ask(kind, spec, of="plain")
        assert code == 422
        assert f"spec.{field.partition('.')[0]} is immutable: make a new {kind}" in said
