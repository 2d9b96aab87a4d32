"""One reading of an output's Secret, for the operator and for a run's pods."""

import pytest

from toolorch_api.store_options import client_options, refuse_settings, store_settings

SECRET = {"AWS_REGION": "eu-1", "AWS_ALLOW_HTTP": "true", "AWS_ROOT_CERTIFICATE": "pem\n", "OTHER": "x"}


def test_settings_of_the_http_client_are_told_apart_from_those_of_the_store():
    assert client_options("s3", SECRET) == {"allow_http": "true", "root_certificate": "pem"}
    assert store_settings("s3", SECRET) == {"aws_region": "eu-1"}


@pytest.mark.parametrize("scheme", ["gs", "file"])
def test_variables_of_another_store_are_not_taken(scheme):
    assert client_options(scheme, SECRET) == {}


KEYS = {
    "s3": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    "gs": {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}"},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": "acc", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"},
}
ELSEWHERE = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_ENDPOINT"}


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        *(pytest.param(s, KEYS[s] | {ELSEWHERE[s]: "http://minio:9000"}, id=f"{s} keys and their place") for s in KEYS),
        pytest.param("s3", {}, id="nothing: a bucket of the cloud that the cluster is in"),
        pytest.param("s3", {"AWS_REGION": "eu-1", "AWS_ALLOW_HTTP": "true", "HF_TOKEN": "x"}, id="a region alone"),
        pytest.param("s3", {"AWS_SKIP_SIGNATURE": "true", "AWS_ENDPOINT": "http://x"}, id="an open bucket elsewhere"),
        pytest.param("az", {"AZURE_STORAGE_ACCOUNT_NAME": "acc", "AZURE_STORAGE_SAS_TOKEN": "sv=1"}, id="a SAS"),
    ],
)
def test_a_secret_with_keys_or_without_an_address_opens_a_store(scheme, secret):
    assert refuse_settings(scheme, secret) == ""


@pytest.mark.parametrize(
    ("scheme", "secret", "names"),
    [
        *(
            pytest.param(scheme, KEYS[scheme] | {name: "/var/run/secrets/token"}, name.lower(), id=name)
            for scheme, name in [
                ("s3", "AWS_WEB_IDENTITY_TOKEN_FILE"),
                ("s3", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
                ("s3", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                ("s3", "AWS_METADATA_ENDPOINT"),
                ("s3", "AWS_ENDPOINT_URL_STS"),
                ("gs", "GOOGLE_APPLICATION_CREDENTIALS"),
                ("gs", "GOOGLE_SERVICE_ACCOUNT"),
                ("az", "AZURE_FEDERATED_TOKEN_FILE"),
                ("az", "AZURE_AUTHORITY_HOST"),
                ("az", "AZURE_MSI_ENDPOINT"),
            ]
        ),
        *(pytest.param(s, {ELSEWHERE[s]: "http://evil"}, "no keys", id=f"{s} elsewhere, no keys") for s in KEYS),
        pytest.param("s3", {"AWS_PROXY_URL": "http://evil"}, "no keys", id="a proxy without keys"),
        pytest.param("s3", {"AWS_ACCESS_KEY_ID": "a", "AWS_ENDPOINT": "http://evil"}, "no keys", id="half of the keys"),
        pytest.param(
            "az", {"AZURE_STORAGE_SAS_TOKEN": "s", "AZURE_ENDPOINT": "http://evil"}, "no keys",
            id="keys that come after the operator's own identity",
        ),
        pytest.param("s3", KEYS["s3"] | {"AWS_REGION": "evil.example/#"}, "aws_region", id="a host in a region"),
        pytest.param("az", {"AZURE_STORAGE_ACCOUNT_NAME": "e.example/"}, "account_name", id="a host in an account"),
    ],
)  # fmt: skip
def test_a_secret_that_would_send_the_operators_own_identity_somewhere_is_refused(scheme, secret, names):
    assert names in refuse_settings(scheme, secret)
