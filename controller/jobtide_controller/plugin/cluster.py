"""Reads pools with kubectl itself, so contexts, logins, proxies and impersonation work as in kubectl."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen, run
from tempfile import TemporaryFile
from typing import IO, Any

from pydantic import ValidationError

from jobtide.doctor.kubectl import ADVICE, REQUEST_TIMEOUT, RESOURCE
from jobtide_controller.api.v1alpha1 import GROUP, PLURAL, JobWorkerPool


class PluginError(Exception):
    """An error that the user can fix; the message says how."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl on the PATH. Its error messages go to stderr at once: a login may prompt there."""

    flags: tuple[str, ...]  # the user's own: which cluster, which namespace

    def pool(self, name: str) -> JobWorkerPool:
        """Raises PluginError if kubectl fails; for a missing pool, the message lists the pools of the namespace."""
        return self._get(name)[0]

    def pools(self, *, all_namespaces: bool = False) -> list[JobWorkerPool]:
        """Raises PluginError if kubectl fails."""
        return self._get(*["--all-namespaces"] if all_namespaces else [])

    def namespace(self) -> str:
        """The namespace of the current context."""
        command = ["kubectl", "config", "view", "--minify", "--output=jsonpath={..namespace}", *self.flags]
        found = run(command, stdout=PIPE, stderr=DEVNULL, text=True, check=False)
        return found.stdout.strip() or "default"

    def text(self, *arguments: str, advice: str) -> str:
        """What kubectl prints. Raises PluginError with this advice if it fails."""
        try:
            done = run(["kubectl", *self.flags, *arguments], stdout=PIPE, text=True, check=False)
        except OSError as error:
            raise _missing(error) from None
        if done.returncode:
            raise PluginError(advice)
        return done.stdout

    def start(self, *arguments: str) -> Popen[str]:
        """A kubectl that runs on. Raises PluginError."""
        try:
            return Popen(["kubectl", *self.flags, *arguments], stdout=PIPE, text=True)
        except OSError as error:
            raise _missing(error) from None

    def _get(self, *arguments: str) -> list[JobWorkerPool]:
        """Raises PluginError if kubectl fails, or prints something else than pools of this release."""
        with TemporaryFile() as output:
            try:
                process = Popen(self._command(*arguments, "--output=json"), stdout=output, stderr=PIPE)
            except OSError as error:
                raise _missing(error) from error
            with process:
                message = _relayed(process.stderr)
            if process.returncode:
                raise PluginError(self._advice(message))
            output.seek(0)
            return _parsed(output.read())

    def _command(self, *arguments: str) -> list[str]:
        return ["kubectl", "get", RESOURCE, *arguments, f"--request-timeout={REQUEST_TIMEOUT}", *self.flags]

    def _advice(self, message: str) -> str:
        if f"{PLURAL}.{GROUP} " in message and "(NotFound)" in message:
            return self._known_pools()
        return next(advice for words, advice in ADVICE if words in message)

    def _known_pools(self) -> str:
        found = run(self._command("--output=name"), stdout=PIPE, stderr=DEVNULL, text=True, check=False)
        names = [line.partition("/")[2] for line in found.stdout.splitlines()]
        return f"pools in this namespace: {', '.join(names) or 'none'}; -n chooses another namespace"


def _missing(error: OSError) -> PluginError:
    return PluginError(f"can't run kubectl: {error.strerror}; install it in a folder of PATH")


def _relayed(stream: IO[bytes] | None) -> str:
    """Writes to stderr what kubectl writes there, and returns it."""
    assert stream is not None
    message = ""
    while chunk := os.read(stream.fileno(), 4096).decode(errors="replace"):
        sys.stderr.write(chunk)
        sys.stderr.flush()
        message += chunk
    return message


def _parsed(output: bytes) -> list[JobWorkerPool]:
    try:
        answer: dict[str, Any] = json.loads(output)
        return [_pool(item) for item in answer.get("items", [answer])]
    except (ValueError, AttributeError) as error:
        raise PluginError(f"kubectl printed no JSON object: {output[:200]!r}") from error


def _pool(raw: dict[str, Any]) -> JobWorkerPool:
    try:
        return JobWorkerPool.model_validate(raw)
    except ValidationError as error:
        metadata = raw.get("metadata", {})
        name = f"{metadata.get('namespace')}/{metadata.get('name')}"
        raise PluginError(f"can't read the pool {name}, it is of another release of Jobtide: {error}") from error
