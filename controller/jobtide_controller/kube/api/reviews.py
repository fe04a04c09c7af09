"""Asks the API server who has a token, and what a user may do with pools: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobtide_controller.kube.api.client import POOLS, Api, Json

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

AUDIENCE = "jobtide.dev/page"
"""Of tokens that are made for the page alone: the API server itself does not accept them."""


async def user_of(api: Api, token: str) -> Json | None:
    """The user of this token: username, uid, groups, extra; None: it is not valid. Raises ApiError.

    It is made for the page, or for the API server, as users' own tokens are.
    """
    for spec in ({"token": token, "audiences": [AUDIENCE]}, {"token": token}):
        status = await _created(api, TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", spec)
        if status.get("authenticated") and not status.get("error"):
            user: Json = status.get("user") or {}
            return user
    return None


async def is_allowed(api: Api, user: Mapping[str, Any], verb: str, namespace: str) -> bool:
    """Whether this user may do that with the pools of a namespace; "" is all of them. Raises ApiError."""
    attributes = {"group": POOLS.group, "resource": POOLS.plural, "verb": verb, "namespace": namespace}
    spec = {
        "user": user.get("username", ""),
        "uid": user.get("uid", ""),
        "groups": list(user.get("groups") or ()),
        "extra": {name: list(values) for name, values in (user.get("extra") or {}).items()},
        "resourceAttributes": attributes,
    }
    status = await _created(api, ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
    return status.get("allowed") is True


async def _created(api: Api, path: str, version: str, kind: str, spec: Json) -> Json:
    answer = await api.request("POST", path, body={"apiVersion": version, "kind": kind, "spec": spec})
    status: Json = answer.get("status") or {}
    return status
