"""What a refused write says in the pool's condition."""

from __future__ import annotations

import pytest

from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.write.apply import ConflictError
from jobtide_controller.kube.write.scaler import words_of

TYPED = "failed to create typed patch object (media/thumbs-worker; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            ApiError(
                500, "", f'{TYPED}.spec.template.spec.containers[name="worker"].imag: field not declared in schema'
            ),
            'spec.template.spec.containers[name="worker"].imag: field not declared in schema; '
            "correct it or remove it from the pool",
            id="an unknown field",
        ),
        pytest.param(
            ApiError(500, "", f"{TYPED}errors:\n  .spec.a: field not declared in schema\n  .spec.b: expected list\n"),
            "spec.a: field not declared in schema; spec.b: expected list; correct it or remove it from the pool",
            id="several",
        ),
        pytest.param(
            ApiError(422, "Invalid", "spec.template.spec.containers[0].image: Required value"),
            "Invalid: spec.template.spec.containers[0].image: Required value",
            id="another refusal, as it is",
        ),
        pytest.param(ConflictError(409, "Conflict", "Deployment x exists"), "Deployment x exists", id="a conflict"),
    ],
)
def test_a_refused_write_names_the_field_of_the_pool(error, words):
    assert words_of(error) == words
