"""Measures this commit and an earlier one, side by side, and writes docs/performance.md.

Usage: python -m bench.run [--baseline COMMIT]
       python -m bench.run --short             a quick run of this commit, which writes nothing
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import trees
from bench.match import SHAPES, Shape
from bench.measure import FULL, MEASURES, SHORT, Size
from bench.page import NOTES, curve

ROOT = Path(__file__).resolve().parents[1]
# before looks were watched, rules were indexed, and replays kept their journal in memory
BASELINE = "dc77ef3"
# by measure, then by what was measured
Found = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of a measure: a figure, its limit in the same run, and the goal in words."""

    what: str
    measure: str
    figure: str
    goal: str = ""
    limit: tuple[str, str, str] | None = None  # in words, and where it is found
    over: str = ""  # shown as so many times another figure of the measure


def rows(size: Size) -> list[Row]:
    """The table."""
    few, many = size.rules[0], size.rules[-1]
    most, crowd = size.others[-1], size.pods[-1]
    patch = "one PATCH"
    first = "ms from POST to the first API write"
    return [
        Row(f"{first}, qps 500, median", "quick", "median", "", (patch, "quick", "patch")),
        Row(f"{first}, qps 500, p99", "quick", "p99", "", (patch, "quick", "patch")),
        Row(f"{first}, default qps, median", "slow", "median", "", (patch, "slow", "patch")),
        Row(f"{first}, default qps, p99", "slow", "p99", "", (patch, "slow", "patch")),
        Row(
            f"the same, {most} others held : unmatched",
            "held",
            f"held {most}",
            "1.2",
            over=f"unmatched {most}",
        ),
        Row(f"{first}, {crowd} pods, {size.changes} changes/s", "pods", f"median {crowd}"),
        Row(f"first writes/s, {size.burst.targets} targets at once", "burst", "writes", "200"),
        Row("matched alerts triaged/s", "triaged", "matched", "4000"),
        Row("unmatched alerts triaged/s", "triaged", "unmatched", "17000"),
        *_accepted(1),
        *_accepted(20),
        Row(f"API reads until {_life(size)}", "lived", "reads", "10"),
        Row("journal transactions until then, most of which read", "lived", "transactions"),
        Row(
            "webhooks/s replayed, 1 % matching",
            "replayed",
            "replayed",
            "20000",
            ("matched only", "replayed", "matched"),
        ),
        *(_matched(shape, few, many) for shape in SHAPES),
        Row("seconds until ready", "started", "ready", "2.5"),
        Row("MB idle, no rules", "started", "rss"),
        Row("API requests a minute while idle", "lived", "idle requests"),
        Row("journal transactions a second while idle", "lived", "idle transactions"),
        Row("wake-ups a second while idle, all threads", "lived", "idle wake-ups"),
        Row(f"MB with {crowd} pods", "pods", f"rss {crowd}", "220"),
    ]


def _accepted(per_post: int) -> list[Row]:
    what = f"alerts/s accepted, {per_post} per POST"
    committed = ("a bare handler with one commit", "accepted", f"commit {per_post}")
    return [Row(what, "accepted", f"unmatched {per_post}", "", committed)]


def _matched(shape: Shape, few: int, many: int) -> Row:
    what, goal = f"µs to match, {many} rules, {shape.name} : {few}", f"{shape.goal:g}"
    figure, over = f"{shape.name} {many}", f"{shape.name} {few}"
    return Row(what, "matching", figure, goal, over=over)


def _life(size: Size) -> str:
    return f"the success of an alert that resolves after {size.resolves_after:.0f} s"


def shown(row: Row, found: Found) -> str:
    """A figure as it is shown, empty where there is none."""
    figures = found.get(row.measure, {})
    if row.figure not in figures or (row.over and row.over not in figures):
        return "—"
    if row.over:
        one, other = figures[row.figure], figures[row.over]
        return f"{_number(one)} : {_number(other)} = {one / other:.2f}"
    return _number(figures[row.figure])


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(size: Size, before: Found, now: Found, commit: str) -> str:
    """Both, side by side."""
    lines = [
        f"| what | at {commit} | now | goal | limit in the same run |",
        "|---|---|---|---|---|",
    ]
    for row in rows(size):
        limit = ""
        if row.limit is not None:
            name, measure, figure = row.limit
            limit = f"{name}: {_number(now[measure][figure])}"
        figures = f"{shown(row, before)} | **{shown(row, now)}**"
        lines.append(f"| {row.what} | {figures} | {row.goal} | {limit} |")
    return "\n".join(lines)


def curves(size: Size, now: Found) -> str:
    """How costs grow."""
    matching, held, pods = now["matching"], now["held"], now["pods"]
    patterns = {str(count): matching[f"each by a pattern {count}"] for count in size.rules}
    names = {str(count): matching[f"each for a name {count}"] for count in size.rules}
    first = now["slow"]["median"]
    targets = {"0": first} | {str(count): held[f"held {count}"] for count in size.others}
    there = {"0": now["slow"]["rss"]} | {str(count): pods[f"rss {count}"] for count in size.pods}
    return "\n\n".join(
        [
            curve("Rules: µs to match an alert (names below, patterns above)", names, patterns),
            curve("Targets: ms to the first write while others are held", targets),
            curve("Pods: MB of memory while they are watched", there),
        ]
    )


def measured(tree: Path, *options: str) -> dict[str, dict[str, float]]:
    """Every measure in a tree, with a line for each on the way."""
    found = {}
    for name in MEASURES:
        found[name] = trees.figures(tree, name, *options)
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def page(size: Size, before: Found, now: Found, commit: str) -> str:
    """docs/performance.md."""
    return "\n\n".join(
        [
            "# Performance",
            "Written by `make bench`: each figure once, in one run on one machine, whose cores the"
            " load generator and the API server share. Read the ratios, not the figures. The API"
            " server and its etcd are real; SQLite waits for the disk.",
            table(size, before, now, commit),
            curves(size, now),
            NOTES,
        ]
    )


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", default=BASELINE)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    if given.short:
        print(page(SHORT, {}, measured(ROOT, "--short"), given.baseline))
        return
    now = measured(ROOT)
    with trees.earlier(given.baseline) as tree:
        if tree is None:
            print(f"{given.baseline} is not in this clone; it is left out", file=sys.stderr)
        before = measured(tree) if tree is not None else {}
    text = page(FULL, before, now, given.baseline)
    (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
