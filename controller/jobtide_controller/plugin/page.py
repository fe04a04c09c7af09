"""`kubectl jobtide page`: forwards a port to the leading controller, and opens the page with a ticket for one login.

The browser never gets the user's token: this command sends it through the forwarded port, and the page answers with a
ticket that is valid for one login within a minute.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobtide_controller.plugin import token
from jobtide_controller.plugin.cluster import Kubectl, PluginError

LABELS = "app.kubernetes.io/component=controller"
REQUEST_SECONDS = 15.0
FORWARDS = 3  # the leader may change while it is found

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_DISABLED = (
    "no controller here serves the page: set page.enabled=true in the chart's values, or choose its namespace with -n"
)


@dataclass(frozen=True, slots=True)
class Flags:
    """What the user chose."""

    service_account: str | None
    port: int  # of this machine; 0: any free one
    opens_browser: bool
    namespace: str | None  # of the controller; None: all are searched


@dataclass(frozen=True, slots=True)
class _Pod:
    namespace: str
    name: str
    port: int
    path: str


def run(kubectl: Kubectl, flags: Flags) -> None:
    """Runs until Ctrl-C, or until the forwarding ends. Raises PluginError, KeyboardInterrupt."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # kubectl must not stay
        signal.signal(number, signal.default_int_handler)
    pods = _pods(kubectl, flags.namespace)
    pod = pods[0]
    for _ in range(FORWARDS):
        with _forwarded(kubectl, pod, flags.port) as (process, base):
            found = _asked(f"{base}/api/leader")
            leader = next((one for one in pods if one.name == found.get("leader_name")), None)
            if found.get("leader") or leader is None or leader == pod:
                _open(kubectl, flags, base)
                assert process.stdout is not None
                for _ in process.stdout:  # a line for each connection: a full pipe would stop kubectl
                    pass
                process.wait()
                raise PluginError(f"the connection to pod {pod.namespace}/{pod.name} has ended: run the command again")
            pod = leader
    raise PluginError("the leader changes at the moment: run the command again")


def _open(kubectl: Kubectl, flags: Flags, base: str) -> None:
    account = flags.service_account
    own = token.of_context(kubectl) if account is None else token.of_service_account(kubectl, account)
    answer = _asked(f"{base}/api/tickets", {"token": own})
    address = f"{base}/#token={answer['ticket']}"
    print(f"the page, as {answer['user']}: {address}\nCtrl-C ends it", flush=True)  # noqa: T201 - it is a command
    if flags.opens_browser:
        webbrowser.open(address)


def _pods(kubectl: Kubectl, namespace: str | None) -> Sequence[_Pod]:
    """The controllers that serve the page, of one release. Raises PluginError.

    They are in the namespace that the user named: any user who may create a pod somewhere can give it these labels.
    """
    place = [] if namespace else ["--all-namespaces"]
    listed = kubectl.text(
        "get", "pods", f"--selector={LABELS}", "--field-selector=status.phase=Running", "--output=json", *place,
        advice="you need the right to list pods in the controller's namespace: choose it with -n",
    )  # fmt: skip
    pods = [pod for item in json.loads(listed)["items"] if (pod := _pod(item)) is not None]
    namespaces = sorted({pod.namespace for pod in pods})
    if not pods:
        raise PluginError(_DISABLED)
    if len(namespaces) > 1:
        raise PluginError(f"controllers run in {', '.join(namespaces)}: choose one with -n")
    if not namespace:
        (found,) = namespaces
        raise PluginError(
            f"a pod in namespace {found} says that it is the controller, and would get your token: if that is the "
            f"controller's namespace, name it with -n {found}"
        )
    return pods


def _pod(item: dict[str, Any]) -> _Pod | None:
    metadata = item["metadata"]
    for container in item["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == "page":
                environment = {entry["name"]: entry.get("value") or "" for entry in container.get("env") or ()}
                path = environment.get("JOBTIDE_PAGE_PATH", "")
                return _Pod(metadata["namespace"], metadata["name"], port["containerPort"], path)
    return None


@contextlib.contextmanager
def _forwarded(kubectl: Kubectl, pod: _Pod, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """kubectl's process, and the address of the page without its last slash."""
    ports = f"{port or ''}:{pod.port}"
    process = kubectl.start(
        "port-forward", f"--namespace={pod.namespace}", f"pod/{pod.name}", ports, "--address=127.0.0.1"
    )
    try:
        assert process.stdout is not None
        found = _FORWARDING.search(process.stdout.readline())
        if found is None:
            raise PluginError(f"kubectl could not forward a port to pod {pod.namespace}/{pod.name}")
        yield process, f"http://127.0.0.1:{found[1]}{pod.path}"
    finally:
        process.terminate()
        process.wait()


def _asked(address: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """The page's answer. Raises PluginError with its refusal."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - http
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as refusal:
        raise PluginError(_words(refusal)) from None
    except (OSError, ValueError) as error:
        raise PluginError(f"the page does not answer through the forwarded port: {error}") from None


def _words(refusal: urllib.error.HTTPError) -> str:
    try:
        error = json.load(refusal)["error"]
        return "; ".join(filter(None, (error["message"], error["fix"])))
    except (ValueError, KeyError, TypeError):
        return f"the page answers {refusal.code} {refusal.reason}"
