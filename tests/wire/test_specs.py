"""What a worker is made with keeps its meaning on the wire and in a record."""

from __future__ import annotations

import json

import pytest

from remote_runtime.wire.specs import OWN, Environment, Mount, VolumeMount, environment_from, environment_of

FULL = Environment(
    "sha256:1", "conda:x", (Mount("/data", "/mnt", True),), (VolumeMount("models", "/models", True),), True
)


@pytest.mark.parametrize("environment", [OWN, FULL])
def test_an_environment_travels_and_is_written_down(environment: Environment) -> None:
    assert environment_of(environment.wire) == environment
    assert environment_from(json.loads(json.dumps(environment.facts))) == environment


def test_an_old_record_is_of_the_runtimes_own() -> None:
    assert environment_from({}) == environment_from(None) == OWN


def test_only_equal_environments_share_a_key() -> None:
    assert OWN.key == ""
    assert FULL.key == Environment(*vars(FULL).values()).key != ""
    assert FULL.key != Environment(image="sha256:1").key
