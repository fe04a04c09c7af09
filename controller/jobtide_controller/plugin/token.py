"""A token that says who the user is: the one of the kubeconfig's context, or a new one of a ServiceAccount."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobtide_controller.plugin.cluster import Kubectl, PluginError

AUDIENCE = "jobtide.dev/page"  # as kube/api/reviews.py has it: the API server itself does not accept such a token
DURATION = "10m"  # the shortest that Kubernetes makes

_WITHOUT = (
    "this context logs in without a token, as with a client certificate, so the page can't know who you are: name a "
    "ServiceAccount that has your rights: --service-account NAMESPACE/NAME"
)


def of_service_account(kubectl: Kubectl, account: str) -> str:
    """A token of ten minutes for the page alone. Raises PluginError.

    `account` is namespace/name; without a namespace, that of the context.
    """
    namespace, _, name = account.rpartition("/")
    place = [f"--namespace={namespace}"] if namespace else []
    return kubectl.text(
        "create", "token", name, f"--audience={AUDIENCE}", f"--duration={DURATION}", *place,
        advice=f"you need the right to create serviceaccounts/token for {account}",
    ).strip()  # fmt: skip


def of_context(kubectl: Kubectl) -> str:
    """The token with which kubectl itself logs in. Raises PluginError."""
    text = kubectl.text("config", "view", "--minify", "--raw", "--output=json", advice="check KUBECONFIG and --context")
    view = json.loads(text)
    user = _first(view, "users", "user")
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return _read(Path(user["tokenFile"]))
    if user.get("exec"):
        return _of_program(user["exec"], _first(view, "clusters", "cluster"))
    raise PluginError(_WITHOUT)


def _first(view: Mapping[str, Any], plural: str, singular: str) -> dict[str, Any]:
    """The only entry of a minified kubeconfig; empty if there is none."""
    entries = view.get(plural) or [{}]
    found: dict[str, Any] = entries[0].get(singular) or {}
    return found


def _of_program(program: Mapping[str, Any], cluster: Mapping[str, Any]) -> str:
    """As kubectl runs it: it may prompt in the terminal."""
    spec: dict[str, Any] = {"interactive": program.get("interactiveMode") != "Never"}
    if program.get("provideClusterInfo"):
        spec["cluster"] = dict(cluster)
    request = {"apiVersion": program.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    given = {entry["name"]: entry["value"] for entry in program.get("env") or ()}
    environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(request)}
    command = [program["command"], *(program.get("args") or ())]
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        token = (json.loads(done.stdout).get("status") or {}).get("token")
    except (OSError, subprocess.CalledProcessError, ValueError, AttributeError):
        raise PluginError(f"{command[0]}, with which this context logs in, gave no token: log in again") from None
    if not token:
        raise PluginError(_WITHOUT)
    return str(token)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise PluginError(f"the token in {path} can't be read: {error.strerror}") from None
