"""The page's port Reviews over the Kubernetes API."""

from __future__ import annotations

from jobtide_controller.kube.api import reviews
from jobtide_controller.kube.api.client import Api, ApiError
from jobtide_controller.page.access import NoAnswerError
from jobtide_controller.page.rights import User, Verb


class ClusterReviews:
    """Asks the API server; the page remembers the answers."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def authenticate(self, token: str) -> User | None:
        try:
            found = await reviews.user_of(self._api, token)
        except ApiError as error:
            raise NoAnswerError(str(error)) from None
        if found is None or not found.get("username"):
            return None
        extra = sorted((name, tuple(values)) for name, values in (found.get("extra") or {}).items())
        return User(found["username"], found.get("uid", ""), tuple(found.get("groups") or ()), tuple(extra))

    async def is_allowed(self, user: User, verb: Verb, namespace: str) -> bool:
        known = {"username": user.name, "uid": user.uid, "groups": user.groups, "extra": dict(user.extra)}
        try:
            return await reviews.is_allowed(self._api, known, verb, namespace)
        except ApiError as error:
            raise NoAnswerError(str(error)) from None
