# SPDX-License-Identifier: Apache-2.0
"""The page of `lathe compare --html`: one file that needs nothing but a browser. Charts are SVG drawn here."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterable
from typing import Any

WIDTH = 900
STYLE = """body{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid #ddd}
.bar{min-width:14em;background:linear-gradient(90deg,#bcd8f5 var(--w),transparent var(--w))}
svg{width:100%;height:auto;font:13px system-ui,sans-serif}.axis{stroke:#999;fill:none}.grid{stroke:#eee}
.first{fill:#2a6fb5;stroke:#2a6fb5}.other{fill:#9db8d0;stroke:#9db8d0}.limit{stroke:#b5452a;fill:none}small{color:#555}"""


def page(result: dict[str, Any]) -> str:
    """`result`: what compare.measure returns; "kernels" and "machine" are shown where they are there."""
    title = html.escape(os.path.basename(result["model"]))
    sections = [
        f"<h1>{title}</h1><p>{result['threads'] or 'all'} threads; runtimes measured in turns; differences are against "
        f"{html.escape(str(result['reference']))}</p>",
        _table(result["rows"]),
        _section("Latency", "From the fastest run to the slowest but one in twenty; the box holds the middle half.", _latency(result["rows"])),
        _section("Memory", "The most that the process held, with the libraries of the runtime and Python.", _memory(result["rows"])),
    ]  # fmt: skip
    if kernels := result.get("kernels"):
        sections.append(_section("Time of lathe's kernels", "The slowest, and all others.", _kernels(kernels)))
        if machine := result.get("machine"):
            text = (
                f"Each kernel by its arithmetic for each byte that it must move. The lines are what this machine was seen to "
                f"do just now: {machine['gflop_per_s']:.0f} GFLOP/s in numpy's matrix product, {machine['gbyte_per_s']:.1f} GB/s "
                "copying memory. Above the sloping line: the data were in a cache. Winograd counts as what it replaces."
            )
            sections.append(_section("Speed against the roofline", text, _roofline(kernels, machine)))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        + "".join(sections)
        + "</html>\n"
    )


def _section(title: str, text: str, chart: str) -> str:
    return f"<h2>{title}</h2><p><small>{html.escape(text)}</small></p>{chart}" if chart else ""


def _table(rows: list[dict[str, Any]]) -> str:
    slowest = max((row["p50_ms"] or 0 for row in rows), default=0) or 1
    text = ""
    for row in rows:
        cells = [row["runtime"], row["version"] or "", row["precision"] or ""]
        numbers = [
            "" if row[k] is None else f"{row[k]:.4g}"
            for k in ("min_ms", "max_abs_diff", "cosine", "peak_rss_mb", "load_ms")
        ]
        time = row.get("error") or f"{row['p50_ms']:.4g}"
        share = 100 * (row["p50_ms"] or 0) / slowest
        text += "<tr>" + "".join(f"<td>{html.escape(str(c))}" for c in cells)
        text += f'<td class="bar" style="--w:{share:.1f}%">{html.escape(time)}' + "".join(f"<td>{n}" for n in numbers)
    return (
        "<table><tr><th>Runtime<th>Version<th>Precision<th>Median ms<th>Min ms"
        f"<th>Largest difference<th>Cosine<th>Peak MB<th>Load ms{text}</table>"
    )


def _svg(height: float, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _rectangle(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    tip = f"<title>{html.escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" class="{kind}">{tip}</rect>'
    )


def _kind(i: int) -> str:
    return "first" if i == 0 else "other"


def _latency(rows: list[dict[str, Any]]) -> str:
    """A box of each runtime's runs: quantiles 0, 1/4, 1/2, 3/4 and 19/20."""
    shown = [(i, row) for i, row in enumerate(rows) if row.get("quantiles_ms")]
    if not shown:
        return ""
    left, right, step = 150, WIDTH - 20, 34
    most = max(row["quantiles_ms"][19] for _, row in shown)

    def x(ms: float) -> float:
        return left + (right - left) * ms / most

    parts = []
    bottom = step * len(shown) + 8
    for k in range(6):
        parts += [_line(x(most * k / 5), 0, x(most * k / 5), bottom, "grid"), _text(x(most * k / 5), bottom + 16, f"{most * k / 5:.3g} ms", "middle")]  # fmt: skip
    for place, (i, row) in enumerate(shown):
        q, y = row["quantiles_ms"], step * place + 22
        tip = f"{row['runtime']}: min {q[0]:.4g}, median {q[10]:.4g}, p95 {q[19]:.4g} ms, {row['runs']} runs"
        parts += [
            _text(left - 10, y + 5, row["runtime"], "end"),
            _line(x(q[0]), y, x(q[19]), y, _kind(i)),
            _rectangle(x(q[5]), y - 9, x(q[15]) - x(q[5]), 18, _kind(i), tip),
            f'<line x1="{x(q[10]):.1f}" x2="{x(q[10]):.1f}" y1="{y - 12}" y2="{y + 12}" stroke="black"/>',
        ]
    return _svg(bottom + 24, parts)


def _bars(items: list[tuple[str, float, str, str]], unit: str) -> str:
    """(name, amount, class, tip) as bars."""
    most = max((amount for _, amount, _, _ in items), default=0)
    if not most:
        return ""
    left, right, step = 300, WIDTH - 110, 24
    parts = []
    for place, (name, amount, kind, tip) in enumerate(items):
        y = step * place + 4
        length = (right - left) * amount / most
        parts += [
            _text(left - 10, y + 14, name if len(name) <= 42 else name[:20] + "…" + name[-21:], "end"),
            _rectangle(left, y, length, step - 6, kind, tip),
            _text(left + length + 6, y + 14, f"{amount:.4g} {unit}"),
        ]
    return _svg(step * len(items) + 8, parts)


def _memory(rows: list[dict[str, Any]]) -> str:
    return _bars(
        [(r["runtime"], r["peak_rss_mb"] or 0, _kind(i), "") for i, r in enumerate(rows) if r["peak_rss_mb"]], "MB"
    )


def _kernels(kernels: list[dict[str, Any]], shown: int = 24) -> str:
    order = sorted(kernels, key=lambda k: -k["ms"])
    total = sum(k["ms"] for k in order)
    items = [
        (
            f"{k['op']} {k['node']}",
            k["ms"] * 1e3,
            "first",
            f"{k['op']}, {k['node']}: {100 * k['ms'] / total:.1f} %, {k['gflop_per_s']:.1f} GFLOP/s, {k['gbyte_per_s']:.1f} GB/s, {k['tactic']}",
        )
        for k in order[:shown]
    ]
    if rest := order[shown:]:
        items.append((f"{len(rest)} others", sum(k["ms"] for k in rest) * 1e3, "other", ""))
    return _bars(items, "µs")


def _roofline(kernels: list[dict[str, Any]], machine: dict[str, float]) -> str:
    points = [k for k in kernels if k["gflop_per_s"] > 0 and k["gbyte_per_s"] > 0]
    peak, bandwidth = machine["gflop_per_s"], machine["gbyte_per_s"]
    if not points:
        return ""
    intensity = [k["gflop_per_s"] / k["gbyte_per_s"] for k in points]
    ridge = peak / bandwidth
    low_x, high_x = min(*intensity, ridge / 4) / 1.5, max(*intensity, ridge * 4) * 1.5
    low_y, high_y = (
        min(*(k["gflop_per_s"] for k in points), peak / 10) / 1.5,
        max(*(k["gflop_per_s"] for k in points), peak) * 1.5,
    )
    left, right, top, bottom = 70.0, WIDTH - 20.0, 10.0, 400.0

    def x(v: float) -> float:
        return left + (right - left) * math.log(v / low_x) / math.log(high_x / low_x)

    def y(v: float) -> float:
        return bottom - (bottom - top) * math.log(v / low_y) / math.log(high_y / low_y)

    parts = [f'<path class="axis" d="M{left},{top}V{bottom}H{right}"/>']
    for power in range(math.ceil(math.log10(low_x)), math.floor(math.log10(high_x)) + 1):
        parts += [_line(x(10**power), top, x(10**power), bottom, "grid"), _text(x(10**power), bottom + 18, f"{10**power:g}", "middle")]  # fmt: skip
    for power in range(math.ceil(math.log10(low_y)), math.floor(math.log10(high_y)) + 1):
        parts += [_line(left, y(10**power), right, y(10**power), "grid"), _text(left - 8, y(10**power) + 4, f"{10**power:g}", "end")]  # fmt: skip
    start = max(low_x, low_y / bandwidth)
    parts.append(
        f'<path class="limit" d="M{x(start):.1f},{y(start * bandwidth):.1f}L{x(ridge):.1f},{y(peak):.1f}H{right}"/>'
    )
    total = sum(k["ms"] for k in points)
    for k, at in zip(points, intensity, strict=True):
        tip = f"{k['op']}, {k['node']}: {k['ms'] * 1e3:.1f} µs, {k['gflop_per_s']:.1f} GFLOP/s, {at:.1f} FLOP a byte"
        radius = 3 + 25 * math.sqrt(k["ms"] / total)
        parts.append(
            f'<circle cx="{x(at):.1f}" cy="{y(k["gflop_per_s"]):.1f}" r="{radius:.1f}" class="first" fill-opacity="0.35">'
            f"<title>{html.escape(tip)}</title></circle>"
        )
    parts += [
        _text((left + right) / 2, bottom + 38, "FLOP for each byte", "middle"),
        _text(left + 6, top + 12, "GFLOP/s"),
    ]
    return _svg(bottom + 46, parts)
