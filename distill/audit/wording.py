"""An audit as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distill.audit.contradictions import Contradicted
from distill.audit.inflation import Inflation

if TYPE_CHECKING:
    from distill.audit.report import Audit, Unmeasured

LISTED = 10
"""Recordings with contradicted windows in the text; the file holds every window."""
CONFUSED = 4
"""Pairs of classes named."""
_PEOPLE = {"subject": "people", "recording": "recordings"}


def text(audit: Audit) -> str:
    """Write an audit: what is shared, canaries, inflation, contradicted labels, the run, and the verdict."""
    lines = [f"Audit of {audit.name}"]
    if audit.refused:
        lines.append(f"No split: {audit.refused}")
    else:
        lines.append(f"Split: {audit.split}: {audit.trained:,} windows to train, {audit.evaluated:,} to evaluate")
    lines += ["", "What the parts share", *_indented(audit.sharing.sentences() or ["There are none."])]
    if audit.canaries:
        lines += [
            "",
            "Canaries: signals that a model can learn through a leak alone, in place of these windows' values",
        ]
        lines += _indented(_canaries(audit))
    lines += ["", "What a leaky split would have added to accuracy", *_indented(_inflation(audit.inflation))]
    who = "recordings" if audit.sharing.subjects is None else "people"
    lines += ["", f"Labels that models of other {who} contradict", *_indented(_contradicted(audit))]
    if audit.since is not None:
        lines += ["", "The run", *_indented(audit.since.sentences())]
    return "\n".join([*lines, "", f"Verdict: {verdict(audit)}"])


def verdict(audit: Audit) -> str:
    """Say in a few plain sentences what follows from an audit."""
    said = []
    loud = [canary.name for canary in audit.canaries if canary.voice == "loud"]
    quiet = [canary.name for canary in audit.canaries if canary.voice == "quiet"]
    if audit.refused:
        said.append(
            "as they are, these windows cannot be split into honest parts, so no number of them can be trusted."
        )
    elif audit.leaks:
        shared = audit.sharing
        counts = (
            (len(shared.subjects or ()), "person", "people"),
            (len(shared.recordings or ()), "recording", "recordings"),
            (shared.same_samples or 0, "window's raw samples", "windows' raw samples"),
            (shared.duplicates, "copied window", "copied windows"),
        )
        leaks = [f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n]
        what = f"both parts hold {_joined(leaks)}" if leaks else f"canaries are loud ({', '.join(loud)})"
        mend = (
            "leave the copies out"
            if leaks and not (shared.subjects or shared.recordings or shared.same_samples)
            else ("split by person, or store no split and distill does")
        )
        said.append(f"the split LEAKS: {what}. Do not report numbers from it; {mend}.")
    elif audit.sharing.subjects is None:
        said.append(
            "no leak was found, but people are unknown, so that the same person may be in both parts: such numbers hold for "
            "known people at best."
        )
    else:
        said.append("nothing leaks between the parts.")
    if not audit.leaks and quiet:
        said.append(f"{len(quiet)} of {len(audit.canaries)} canaries apply and are quiet.")
    if isinstance(audit.inflation, tuple):
        gains = [f"{one.points:+.1f} points ({one.model}{_doubt(one)})" for one in audit.inflation]
        said.append(f"What a split by window would have added: {', '.join(gains)}.")
    if isinstance(audit.contradicted, tuple) and audit.contradicted:
        n = len(audit.contradicted)
        said.append("1 label is worth a second look." if n == 1 else f"{n:,} labels are worth a second look.")
    if audit.since is not None and not (audit.since.same_windows and audit.since.same_split):
        said.append("The data or the split are not those of the run any more.")
    first, *others = said
    return " ".join([first[0].upper() + first[1:], *others])


def _canaries(audit: Audit) -> list[str]:
    width = max(len(canary.name) for canary in audit.canaries)
    lines = [f"{'':{width}}  this split  leaky split   (chance is 50 %)"]
    for canary in audit.canaries:
        if canary.used is None or canary.leaky is None:
            lines.append(f"{canary.name:{width}}  does not apply: {canary.why_not}")
            continue
        heard = f"{100 * canary.used.accuracy:8.1f} %  {100 * canary.leaky.accuracy:9.1f} %"
        told = {
            "quiet": "quiet",
            "loud": "LOUD: this leaks",
            "mute": "mute: not even a leak is heard, so this says nothing",
        }[canary.voice]
        lines.append(f"{canary.name:{width}}  {heard}   {told}")
    return lines


def _inflation(found: tuple[Inflation, ...] | Unmeasured) -> list[str]:
    if not isinstance(found, tuple):
        return [f"Not measured: {found.why}."]
    people, width = _PEOPLE[found[0].groups], max(len(one.model) for one in found)
    lines = [f"{'':{width}}  this split  {people + ' apart':>16}  windows at random"]
    lines += [
        f"{one.model:{width}}  {_percent((one.used,)):>10}  {_percent(one.apart):>16}  {_percent(one.leaky):>17}"
        f"   {one.points:+.1f} points{_doubt(one)}"
        for one in found
    ]
    draws = f"{max(len(one.apart) for one in found)} draws of about {found[0].evaluated:,} windows"
    return [
        *lines,
        f"{people.capitalize()} apart: {draws}, of {people} that are not trained on. At random: as many windows of everybody.",
    ]


def _doubt(found: Inflation) -> str:
    if len(found.apart) == 1:
        return ", one draw"
    return "" if found.is_clear else ", no more than draws differ"


def _percent(values: Sequence[float]) -> str:
    mean = f"{100 * float(np.mean(values)):.1f}"
    return f"{mean} +- {100 * float(np.std(values, ddof=1)):.1f} %" if len(values) > 2 else f"{mean} %"


def _contradicted(audit: Audit) -> list[str]:
    found = audit.contradicted
    if not isinstance(found, tuple):
        return [f"Not looked for: {found.why}."]
    if not found:
        return ["None."]
    pairs = Counter((row.label, row.seen) for row in found).most_common(CONFUSED)
    share = 100 * len(found) / audit.windows
    named = ", ".join(f"{label} seen as {seen} ({n:,})" for (label, seen), n in pairs)
    return [
        f"{len(found):,} of {audit.windows:,} windows ({share:.1f} %): the label may be wrong, or the models are.",
        f"Most often {named}.",
        *_table(found),
    ]


def _table(rows: Sequence[Contradicted]) -> list[str]:
    """List the recordings whose windows are contradicted most in all, with the class seen there."""
    found: dict[tuple[str, ...], list[Contradicted]] = {}
    for row in rows:
        found.setdefault((row.subject or "?", row.recording or row.window, row.label, row.seen), []).append(row)
    most = sorted(found.items(), key=lambda item: -sum(r.probability - r.probability_of_label for r in item[1]))
    cells: list[tuple[str, ...]] = [
        ("person", "recording", "label", "seen as", "windows", "raw samples within", "probability")
    ]
    for key, own in most[:LISTED]:
        where = f"{min(r.start for r in own)}-{max(r.stop for r in own)}"
        cells.append((*key, f"{len(own):,}", where, f"{np.mean([r.probability for r in own]):.2f}"))
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
