"""One reading of an output's Secret, for the operator and for a run's pods."""

import pytest

from toolorch_api.store_options import client_options, store_settings

SECRET = {"AWS_REGION": "eu-1", "AWS_ALLOW_HTTP": "true", "AWS_ROOT_CERTIFICATE": "pem\n", "OTHER": "x"}


def test_settings_of_the_http_client_are_told_apart_from_those_of_the_store():
    assert client_options("s3", SECRET) == {"allow_http": "true", "root_certificate": "pem"}
    assert store_settings("s3", SECRET) == {"aws_region": "eu-1"}


@pytest.mark.parametrize("scheme", ["gs", "file"])
def test_variables_of_another_store_are_not_taken(scheme):
    assert client_options(scheme, SECRET) == {}
