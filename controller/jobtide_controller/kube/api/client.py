"""Requests to the API server: dicts in, dicts out, one kind of error. A rotated token is read again."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from jobtide_controller.kube.api.bounded_json import parse
from jobtide_controller.kube.api.connection import RestClient, time_limit

Json = dict[str, Any]

APPLY: Final = "application/apply-patch+yaml"
# With it the library sends the body as it is; without it as JSON, whose \\u escapes YAML reads in another way.
_APPLY_AS_TEXT = f"{APPLY}; charset=utf-8"
MERGE: Final = "application/merge-patch+json"

# Shorter than the lease: a leader's write must not arrive after its successor has taken the lease.
WRITE_SECONDS = 2.5
LIST_SECONDS = 60.0
PAGE = 100  # objects: half a megabyte, parsed in 10 ms, in which nothing else runs
LARGE_BYTES = 500_000

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
NAMESPACE_TERMINATING = "NamespaceTerminating"

_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})


class ApiError(Exception):
    """The API server refused, or did not answer (code 0)."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        causes: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.causes = causes

    @property
    def not_found(self) -> bool:
        return self.code == HTTPStatus.NOT_FOUND

    @property
    def conflict(self) -> bool:
        """The object was changed since the version that the request names, or another manager owns the field."""
        return self.code == HTTPStatus.CONFLICT

    @property
    def is_race(self) -> bool:
        """Another client changed the object first: expected, and over at the next attempt, unless it goes on."""
        return self.conflict

    @property
    def is_busy(self) -> bool:
        """The API server has too much to do: nothing is wrong with the request."""
        return self.code == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def is_refusal(self) -> bool:
        """The API server does not accept this content, and will not at the next attempt."""
        return self.code in _REFUSALS

    @property
    def namespace_ends(self) -> bool:
        """The namespace is being deleted and accepts nothing new: expected, so not worth a warning."""
        return NAMESPACE_TERMINATING in self.causes

    def __str__(self) -> str:
        return f"{self.reason or self.code}: {self.message}" if self.code else self.message


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, and the paths of its requests."""

    group: str  # "" is the core group
    version: str
    plural: str
    kind: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [self.plural, *(part for part in (name, subresource) if part)]
        return "/" + "/".join(quote(part, safe="") for part in parts)


POOLS = Resource("jobtide.dev", "v1alpha1", "jobworkerpools", "JobWorkerPool")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
PODS = Resource("", "v1", "pods", "Pod")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")


async def load_configuration() -> Configuration:
    """The pod's service account inside a cluster, unless KUBECONFIG is set; else the kubeconfig's current context."""
    configuration = Configuration()
    if os.environ.get(IN_CLUSTER) and not os.environ.get("KUBECONFIG"):
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        file = os.environ.get("KUBECONFIG")  # the library would use the value that it had at import
        await config.load_kube_config(config_file=file, client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.retries = None  # with False, which counts as 0, the library retries without end
    # Else aiohttp reads ~/.netrc and the proxies of the environment again for each request, in two threads one after
    # the other: that took as long as the request.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy_of(configuration.host)
    return configuration


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this address, by HTTPS_PROXY and NO_PROXY."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


class Api:
    """One connection pool to one API server."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = ApiClient(configuration)
        self._client.rest_client = RestClient(configuration, unacknowledged_seconds=WRITE_SECONDS)

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str, *, timeout_seconds: float = WRITE_SECONDS) -> Json:
        """Raises ApiError, with code 0 if there is no answer in time."""
        return await self.request("GET", path, timeout_seconds=timeout_seconds)

    async def list_pages(
        self, path: str, *, label_selector: str | None = None, accept: str | None = None, limit: int = PAGE
    ) -> AsyncIterator[Json]:
        """A consistent list, page by page; the first page's resourceVersion holds for all."""
        query = {"limit": str(limit), **({"labelSelector": label_selector} if label_selector else {})}
        while True:
            page = await self.request("GET", path, query=query, accept=accept, timeout_seconds=LIST_SECONDS)
            page["items"] = page.get("items") or []  # null in an empty list of metadata only
            yield page
            more = page["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str | None = None,
        timeout_seconds: float = WRITE_SECONDS,
    ) -> Json:
        """The object in the answer, or a page of them. Raises ApiError if the API server refuses, or does not answer
        in time.
        """
        is_apply = content_type == APPLY
        headers = {"Accept": accept or "application/json", "Content-Type": _APPLY_AS_TEXT if is_apply else content_type}
        sent = yaml_text(body) if is_apply else body
        # The API server gives up when we do, even if a proxy between us does not.
        limited = {**(query or {}), "timeout": f"{timeout_seconds:g}s"}
        try:
            async with time_limit(timeout_seconds):
                serialized = await self._client.param_serialize(
                    method, path, query_params=list(limited.items()), header_params=headers, body=sent,
                    auth_settings=["BearerToken"],
                )  # fmt: skip
                answer = await self._client.call_api(*serialized, _request_timeout=timeout_seconds)
                raw = await answer.read()  # type: ignore[no-untyped-call]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"no answer to {method} {path} within {timeout_seconds:g} s"
            raise ApiError(0, "", f"{message}: {error}" if str(error) else message) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer.status, answer.headers, raw)
        large = len(raw) > LARGE_BYTES  # parsing it would hold up probes and the lease
        parsed: Json = await asyncio.to_thread(parse, raw) if large else parse(raw)
        return parsed


_NOT_IN_YAML = re.compile(r"[\x7f-\uffff]")


def yaml_text(body: Json | None) -> str:
    """The object as JSON that YAML reads in the same way: the body of an apply is YAML to the API server.

    In YAML each escape is one character, so that the two halves of an escaped emoji are refused; and outside of
    escapes there are no control characters, and line ends of Unicode are spaces.
    """
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(body, ensure_ascii=False))


def _refusal(code: int, headers: Mapping[str, str], raw: bytes) -> ApiError:
    try:
        status = json.loads(raw)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": raw.decode(errors="replace")[:500]}
    details = status.get("details") or {}
    after = headers.get("Retry-After") or details.get("retryAfterSeconds")
    seconds = float(after) if after is not None and str(after).isdecimal() else None
    causes = frozenset(cause.get("reason", "") for cause in details.get("causes") or ())
    return ApiError(
        code, status.get("reason") or "", status.get("message") or "", retry_after_seconds=seconds, causes=causes
    )
