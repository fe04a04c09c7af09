"""Which labels the result of a PromQL expression has, by the tree into which Prometheus parses it."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

SELECTORS = ("vectorSelector", "matrixSelector")
KEPT_BY = {"topk", "bottomk"}  # aggregations that choose series and keep their labels
OF_ONE_SIDE = {"and", "unless"}

Tree = dict[str, Any]


def labels(tree: Tree, labels_of: Callable[[str], set[str]]) -> set[str]:
    """The labels of the result. The test fails where the expression names a label that its metrics lack."""

    def found(node: Tree) -> set[str]:
        match node["type"]:
            case "vectorSelector" | "matrixSelector":
                own = labels_of(node["name"])
                _require({one["name"] for one in node["matchers"]}, own, node["name"])
                return own - {"__name__"}
            case "aggregation":
                inner, named = found(node["expr"]), set(node["grouping"])
                _require(named, inner, f"{node['op']} by")
                kept = inner - named if node["without"] else named
                return inner if node["op"] in KEPT_BY else kept
            case "binaryExpr":
                return _joined(node, found(node["lhs"]), found(node["rhs"]))
            case "call":
                return reduce(set.union, map(found, node["args"]), set())
            case "parenExpr" | "unaryExpr" | "subquery":
                return found(node["expr"])
            case "numberLiteral" | "stringLiteral":
                return set()
            case other:
                raise AssertionError(f"{other} is not known here: add it")

    return found(tree)


def _joined(node: Tree, left: set[str], right: set[str]) -> set[str]:
    matching = node["matching"]
    if matching is None:  # one of them is a number
        return left | right
    named = set(matching["labels"])
    _require(named, left, node["op"])
    _require(named, right, node["op"])
    if node["op"] in OF_ONE_SIDE:
        return left
    if node["op"] == "or":
        return left | right
    return named if matching["on"] and matching["card"] == "one-to-one" else left | set(matching["include"])


def _require(named: set[str], there: set[str], what: str) -> None:
    assert named <= there, f"{what} names {sorted(named - there)}, but there are {sorted(there)}"
