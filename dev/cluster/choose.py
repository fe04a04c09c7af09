"""Chooses the cluster: a given one first, then kind, then one of host processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.cluster.given import GivenCluster
from dev.cluster.kind import CLUSTER_NAME, KindCluster, why_not_kind
from dev.cluster.local import LocalCluster
from dev.cluster.local.layout import CONTEXT as LOCAL_CONTEXT
from dev.cluster.provider import Cluster
from dev.machine.progress import say
from dev.machine.shell import Runner, run
from dev.machine.system import require_root


def choose_cluster(
    environ: Mapping[str, str] = os.environ,
    *,
    runner: Runner = run,
    local: LocalCluster | None = None,
    user_id: Callable[[], int] = os.geteuid,
) -> Cluster:
    """Reads CONTEXT, KUBECONFIG and REGISTRY; prints one sentence if kind can't be used."""
    local = local or LocalCluster()
    if given := _given(environ, runner, local):
        return given
    if local.kubeconfig.exists():  # an earlier run chose it
        return local
    reason = why_not_kind(runner)
    if reason is None:
        return KindCluster(runner=runner)
    require_root(user_id)
    say(f"Using the local cluster, because {reason}.")
    return local


def _given(environ: Mapping[str, str], runner: Runner, local: LocalCluster) -> Cluster | None:
    context, kubeconfig = environ.get("CONTEXT") or None, environ.get("KUBECONFIG") or None
    if context == LOCAL_CONTEXT or (not context and kubeconfig and Path(kubeconfig) == local.kubeconfig):
        return local
    kind = KindCluster(runner=runner)
    if context == f"kind-{CLUSTER_NAME}" or (not context and kubeconfig and Path(kubeconfig) == kind.kubeconfig):
        return kind
    if context or kubeconfig:
        return GivenCluster(context=context, registry=environ.get("REGISTRY"), runner=runner)
    return None
