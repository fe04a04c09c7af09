"""A build of Kubernetes prints more than a pipe holds, on both streams at once."""

from __future__ import annotations

import os

from dev.tools.gobuild import Build, build

# A `go list` and a `go build`: first much on standard output, then a line on standard error.
GO = """#!/bin/sh
case "$1" in
  list) yes k8s.io/a/package/with/a/long/name | head -n 20000; echo "go: downloading k8s.io/a v1" >&2 ;;
  build) while [ "$1" != "-o" ]; do shift; done; echo program > "$2/tool"; echo k8s.io/a >&2 ;;
esac
"""


def test_a_build_that_prints_more_than_a_pipe_holds_does_not_block(tmp_path, monkeypatch):
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    destination = tmp_path / "out"
    build(Build("Building tool v1", "1 s", tmp_path, ("example.com/tool",), "-s", destination))
    assert [built.name for built in destination.iterdir()] == ["tool"]
