"""The few shapes of PromQL that the panels use. `where` are the matchers between the braces."""

from __future__ import annotations

SHOWN = 20  # series in a graph that could have thousands
WINDOW = "[$__rate_interval]"


def greatest(metric: str, *labels: str, where: str = "") -> str:
    """The value of a gauge, once: while two controllers report for a scrape, or two monitors scrape one."""
    return f"max{_by(labels)}({metric}{_braces(where)})"


def processes(info: str, *, where: str = "") -> str:
    """How many processes there are of each version."""
    return f"count by (version) ({greatest(info, 'instance', 'pod', 'version', where=where)})"


def first(expression: str) -> str:
    """Only the series with the greatest values."""
    return f"topk({SHOWN}, {expression})"


def per_second(metric: str, *labels: str, where: str = "") -> str:
    """How fast a counter grows, over all processes."""
    return f"sum{_by(labels)}(rate({metric}{_braces(where)}{WINDOW}))"


def per_minute(metric: str, *labels: str, where: str = "") -> str:
    """The same for what is rare."""
    return f"60 * {per_second(metric, *labels, where=where)}"


def quantile(share: float, histogram: str, *labels: str, where: str = "") -> str:
    """The value that this share of all observations is below."""
    return f"histogram_quantile({share}, {per_second(f'{histogram}_bucket', 'le', *labels, where=where)})"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""


def _braces(where: str) -> str:
    return f"{{{where}}}" if where else ""
