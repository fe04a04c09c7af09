"""What kubectl's error messages mean. Shared with the plugin `kubectl jobtide`."""

from __future__ import annotations

GROUP, PLURAL = "jobtide.dev", "jobworkerpools"
RESOURCE = f"{PLURAL}.v1alpha1.{GROUP}"
REQUEST_TIMEOUT = "10s"  # of each request; kubectl tries to reach an unreachable server 7 times

# What to do, by what kubectl's error message contains. The first that fits is used.
ADVICE = (
    ("(Forbidden)", f"ask for the role `view`; to check: kubectl auth can-i list {PLURAL}.{GROUP}"),
    ("doesn't have a resource type", "install Jobtide with its chart, or choose another cluster with --context"),
    ("could not find the requested", "install Jobtide with its chart, or choose another cluster with --context"),
    ("logged in to the server", "log in again, or choose another user with --context"),
    ("to the server", "check the network, KUBECONFIG and --context"),
    ("", "kubectl could not read the pools"),
)
