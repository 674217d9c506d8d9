"""Sections about where the numbers come from: the split certificate, versions, and the command that makes them again."""

from __future__ import annotations

from typing import Any

from distill.environment import code_sha256
from distill.options import command
from distill.report.page import Section
from distill.report.parts import Code, Facts, Prose
from distill.report.study import Study
from distill.report.tables import SortableTable

WORDS = {
    "tsimage": "tsimage and distill",
    "code_sha256": "sha256 of their code",
    "python": "Python",
    "torch": "torch",
    "numpy": "numpy",
    "device": "device",
    "precision": "precision of training",
}


def certificate(study: Study) -> Section:
    """Who and what was in each part."""
    split = study.record.about["split"]
    facts = [
        ("split", split["basis"]),
        ("subjects in both parts", _shared(split["subjects_in_both"])),
        ("raw samples in both parts", str(split["raw_samples_in_both"])),
        ("data", study.record.about["data"]["summary"]),
        ("sha256 of the windows", study.record.about["data"]["windows_sha256"]),
    ]
    if study.record.about["data"]["cut"]:
        facts.append(("cutting", study.record.about["data"]["cut"]))
    folds: dict[str, Any] = split["parts"] if study.record.run.folds else {"": split["parts"]}
    rows = []
    for fold, parts in folds.items():
        for part, about in parts.items():
            people = about["subjects"]
            listed = ", ".join(people[:12]) + (", ..." if len(people) > 12 else "")
            rows.append(
                (
                    *([fold] if study.record.run.folds else []),
                    part,
                    about["windows"],
                    len(people),
                    listed,
                    about["recordings"],
                    about["ids_sha256"][:16],
                )
            )
    columns: tuple[str, ...] = (
        "part",
        "windows",
        "subjects",
        "who",
        "recordings",
        "sha256 of the window ids, its beginning",
    )
    if study.record.run.folds:
        columns = ("without", *columns)
    table = SortableTable(columns=columns, rows=tuple(rows), caption="The parts.")
    return Section(title="Split certificate", parts=(Facts(items=tuple(facts)), table))


def _shared(found: list[str] | str) -> str:
    if isinstance(found, str):
        return "unknown: the same person may be in both"
    return ", ".join(found) if found else "none"


def versions(study: Study) -> Section:
    """What made the numbers, what remains different from the defaults, and how to make them again."""
    environment = study.record.about["environment"]
    facts = tuple((words, str(environment[name])) for name, words in WORDS.items() if name in environment)
    parts: list[Any] = [
        Facts(items=(("loss of the student", study.record.about["formula"]), *facts)),
        Code(content=command(study.record.asked), label="Command that does this run"),
        Code(content=study.command, label="Command that makes this page"),
    ]
    if environment["code_sha256"] != code_sha256():
        parts.insert(1, Prose(content="The run was made by another version of the code than this page.", notice=True))
    rows = tuple(
        (name.replace("_", "-"), _written(value))
        for name, value in study.record.options.items()
        if value not in (None, [], "", False)
    )
    parts.append(
        SortableTable(columns=("option", "value"), rows=rows, caption="Options of the run, with its defaults.")
    )
    return Section(title="How to make it again", parts=tuple(parts))


def _written(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value).lower() if value is True else str(value)
