"""The doctor's look at the cluster, as far as kubectl's user may see it: pools, controller, CRD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from subprocess import DEVNULL, TimeoutExpired, run
from typing import Any

from jobtide._version import __version__
from jobtide.doctor.findings import Check, Finding, guarded
from jobtide.doctor.kubectl import ADVICE, GROUP, PLURAL, REQUEST_TIMEOUT, RESOURCE
from jobtide.errors import JobtideError
from jobtide.printable import printable

KUBECTL_SECONDS = 30.0
POOLS_SHOWN = 20
_CONTROLLERS = "app.kubernetes.io/name=jobtide,app.kubernetes.io/component=controller"
_VERSION_LABEL = "app.kubernetes.io/version"

# Conditions that are not as they should be: the value that is bad, and how bad it is.
_BAD = {
    "Ready": ("False", "error"),
    "Stalled": ("True", "error"),
    "DatabaseReachable": ("False", "error"),
    "SchemaReady": ("False", "warning"),
    "KeepingUp": ("False", "warning"),
    "LimitsCurrent": ("False", "warning"),
    "TableHealthy": ("False", "warning"),
    "ScalingActive": ("False", "note"),
}


class KubectlError(JobtideError):
    """kubectl did not answer; the message says what to do."""


class Cluster:
    """What kubectl with these flags can see."""

    def __init__(self, flags: Sequence[str], *, all_namespaces: bool = False) -> None:
        self._flags = tuple(flags)
        self._scope = ("--all-namespaces",) if all_namespaces else ()

    def findings(self) -> Iterator[Finding]:
        """One line if kubectl can't be run at all, or may not list pools."""
        try:
            pools = self._items(RESOURCE, *self._scope)
        except KubectlError as error:
            yield Finding("cluster", "error", f"{error}. Without the cluster: --no-cluster")
            return
        checks: tuple[tuple[str, Check], ...] = (
            ("crd", self._crd),
            ("controller", self._controllers),
            ("pools", lambda: _pools(pools)),
        )
        for name, check in checks:
            yield from guarded(name, check)

    def _crd(self) -> Iterator[Finding]:
        """Compared with what this version generates, where the controller's package is installed."""
        try:
            found = self._answer("customresourcedefinition", f"{PLURAL}.{GROUP}")
        except KubectlError as error:
            yield Finding("crd", "note", f"could not be read: {error}")
            return
        try:
            wanted = import_module("jobtide_controller.api.crd").crd()
        except ModuleNotFoundError:
            yield Finding("crd", "skipped", "there is one; to compare it: pip install 'jobtide[controller]'")
            return
        if (differs := _differences(_schema(wanted), _schema(found))) is None:
            yield Finding("crd", "ok", f"as {__version__} has it")
        else:
            yield Finding(
                "crd",
                "warning",
                f"it is of another version than {__version__} ({differs}): helm upgrade "
                "with its chart, or kubectl apply --server-side -f crds/jobworkerpools.yaml",
            )

    def _controllers(self) -> Iterator[Finding]:
        try:
            found = self._items("deployments", "--all-namespaces", f"--selector={_CONTROLLERS}")
        except KubectlError as error:
            yield Finding("controller", "note", f"could not be looked for: {error}")
            return
        if not found:
            yield Finding(
                "controller",
                "error",
                "there is none: install Jobtide with its chart. If its name was "
                "overridden (nameOverride), it is not found by its labels",
            )
        for one in found:
            yield _controller(one)

    def _items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._answer(*arguments)["items"]
        return items

    def _answer(self, *arguments: str) -> dict[str, Any]:
        text = self._ask("get", *arguments, "--output=json")
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            words = f"it begins with {text[:40]!r}" if text else "it is empty"
            raise KubectlError(f"kubectl's answer is no JSON, {words}: is kubectl in PATH another program?") from None
        return answer

    def _ask(self, *arguments: str) -> str:
        command = ["kubectl", *arguments, f"--request-timeout={REQUEST_TIMEOUT}", *self._flags]
        try:
            done = run(
                command,
                stdin=DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=KUBECTL_SECONDS,
            )
        except TimeoutExpired:
            raise KubectlError(
                f"kubectl gave no answer in {KUBECTL_SECONDS:g} s: try the same with kubectl get {PLURAL}"
            ) from None
        except OSError as error:
            raise KubectlError(f"can't run kubectl: {error.strerror}; install it in a folder of PATH") from None
        if done.returncode:
            words = done.stderr.strip()
            advice = next(advice for known, advice in ADVICE if known in words)
            raise KubectlError(f"{printable((words.splitlines() or ['kubectl failed'])[-1])}: {advice}")
        return done.stdout


def _pools(pools: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Those in trouble first; of the others only so many that the lines stay readable."""
    if not pools:
        yield Finding("pools", "note", "none in this namespace: -n chooses another one, -A shows all")
    well: list[Finding] = []
    for pool in pools:
        lines = list(_pool(pool))
        if len(lines) == 1 and lines[0].level == "ok":
            well += lines
        else:
            yield from lines
    yield from well[:POOLS_SHOWN]
    if len(well) > POOLS_SHOWN:
        yield Finding("pools", "ok", f"{len(well) - POOLS_SHOWN:,} more are well")


def _pool(pool: Mapping[str, Any]) -> Iterator[Finding]:
    name = f"{pool['metadata']['namespace']}/{pool['metadata']['name']}"
    status = pool.get("status") or {}
    conditions = status.get("conditions") or []
    if not conditions:
        yield Finding(
            "pool",
            "error",
            f"{name}: no controller has reported on it: see the controller's line, and "
            "whether it watches this namespace (watchNamespaces of the chart)",
        )
        return
    reported: set[str] = set()
    for one in conditions:
        bad, level = _BAD.get(one["type"], (None, None))
        words = f"{one['reason']}: {one.get('message', '')}".rstrip(": ")
        if one["status"] == bad and words not in reported:
            reported.add(words)
            yield Finding("pool", level, f"{name}: {one['type']}={one['status']} {words}")  # type: ignore[arg-type]
    if not reported:
        workers = f"{status.get('readyReplicas', 0)} of {status.get('desiredReplicas', 0)} workers ready"
        yield Finding("pool", "ok", f"{name}: {status.get('reason', '')}, {workers}")


def _controller(deployment: Mapping[str, Any]) -> Finding:
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    name = f"{metadata['namespace']}/{metadata['name']}"
    images = ", ".join(one["image"] for one in deployment["spec"]["template"]["spec"]["containers"])
    version = (metadata.get("labels") or {}).get(_VERSION_LABEL, "of an unknown version")
    text = f"{name}: {version}, {images}"
    ready = status.get("readyReplicas", 0)
    if not ready:
        return Finding(
            "controller",
            "error",
            f"{text}, no pod is ready: kubectl logs deployment/{metadata['name']} --namespace {metadata['namespace']}",
        )
    if version != __version__:
        return Finding(
            "controller",
            "warning",
            f"{text}; this doctor is {__version__}, and checks for that version: "
            "use the doctor of the controller's version, or upgrade",
        )
    return Finding("controller", "ok", f"{text}, {ready} ready")


def _schema(crd: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of the only version."""
    version = next(one for one in crd["spec"]["versions"] if one["storage"])
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]
    return schema


def _differences(wanted: Any, found: Any, path: str = "") -> str | None:
    """The first difference; None: there is none."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name in sorted(wanted.keys() | found.keys()):
            where = f"{path}.{name}".lstrip(".")
            if name not in found:
                return f"it lacks {where}"
            if name not in wanted:
                return f"it has {where}"
            if (inner := _differences(wanted[name], found[name], where)) is not None:
                return inner
        return None
    return None if wanted == found else f"{path} differs"
