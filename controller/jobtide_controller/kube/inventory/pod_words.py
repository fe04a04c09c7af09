"""What is said about a pod's trouble: words from outside in one line, and the next step for known ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

WORDS_LIMIT = 500  # characters of a log line, an Event or an answer

MEMORY = "raise resources.limits.memory of that container in spec.template"
KILLED = f"something killed it while it started, mostly a low memory limit: {MEMORY}"
IMAGE = "correct the image or imagePullSecrets in spec.template"
UNSCHEDULABLE = (
    "add nodes, or change what the pod asks for in spec.template: "
    "resources.requests, nodeSelector, affinity, tolerations"
)
GATED = "remove schedulingGates from spec.template, or see why their controller keeps them"
SCHEDULER = "see whether that scheduler runs, or remove schedulerName from spec.template"
UNANSWERED = (
    "it was stopped: Kubernetes does so with a container that does not answer its startup or liveness probe, "
    "so its command must be `jobtide worker`"
)
DATABASE = "if it can't reach its database or log in, correct the Secret that spec.databaseSecret names"

_OUT_OF_MEMORY = re.compile(r"OOM-?killed|memory limit too low", re.IGNORECASE)
# What runc says if the kernel killed a process before runc could see why: of a memory limit only some tries name it.
_KILLED = re.compile(r"cannot start a stopped process|init-p: (?:broken pipe|connection reset by peer)")

# Kubernetes' words -> the next step. The first that fits.
_ADVICE = (
    (_OUT_OF_MEMORY, MEMORY),
    (_KILLED, KILLED),
    (
        re.compile(r"non-existent secret key|couldn't find key .* in Secret"),
        "add that key to the Secret, or correct the key in spec.databaseSecret or spec.template",
    ),
    (
        re.compile(r"secret .*not found", re.IGNORECASE),
        "create that Secret in the pool's namespace, or correct its name in spec.databaseSecret or spec.template",
    ),
    (
        re.compile(r"configmap|persistentvolumeclaim|non-existent config key|couldn't find key", re.IGNORECASE),
        "create what it names in the pool's namespace, or correct its name in spec.template",
    ),
)


def line(metadata: Json, reason: str, words: str, advice: str) -> str:
    """REASON: pod NAME: the cause; the next step."""
    known = f"pod {metadata['name']}: {words}" if words else f"pod {metadata['name']}"
    return f"{reason}: {known}; {advice}"


def clean(text: str) -> str:
    """In one line, without characters that a terminal obeys, and not longer than a reader wants."""
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return words if len(words) <= WORDS_LIMIT else f"{words[:WORDS_LIMIT]}..."


def is_out_of_memory(words: str) -> bool:
    """Whether Kubernetes says that the memory limit ended it."""
    return _OUT_OF_MEMORY.search(words) is not None


def advice_for(words: str) -> str | None:
    """The next step for these words of Kubernetes; None if they are none of the known ones."""
    return next((advice for pattern, advice in _ADVICE if pattern.search(words)), None)


def describe(metadata: Json) -> str:
    """The command that shows more of the pod."""
    return f"kubectl describe pod --namespace {metadata.get('namespace', '')} {metadata['name']} shows more"


def logs(metadata: Json, container: str, *flags: str) -> str:
    """The command that shows what the container writes."""
    where = f"--namespace {metadata.get('namespace', '')} {metadata['name']} --container {container}"
    return f"{' '.join(('kubectl logs', where, *flags))} shows more"
