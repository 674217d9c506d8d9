"""Teachers of an earlier run: read back, and seen to fit the run that takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.teacher_names import Teacher
from distill.views import SIGNAL
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.fields import parse_stack

if TYPE_CHECKING:
    from distill.plan import Plan


def _of_source(teacher: Teacher) -> str:
    return f"teacher {teacher.network}:{teacher.view} of '{Path(teacher.source)}'"


def read_source(teacher: Teacher) -> dict[str, Any]:
    """Return the `run.json` of the earlier run that a teacher comes from.

    Raises
    ------
    UserError
        If there is none, or one that this version did not write.
    """
    path = Path(teacher.source) / "run.json"
    if not path.exists():
        raise UserError(f"{_of_source(teacher)}: there is no run in this folder: give a run directory of distill")
    content = atomic.read_json(path)
    known = {"shared_teachers", "seeds", "protocol", "label_smoothing"}
    if not isinstance(content, dict) or not isinstance(content.get("run"), dict) or not known <= content["run"].keys():
        raise UserError(f"{_of_source(teacher)}: '{path}' describes no run of this version: train it anew")
    return content


def check_source(plan: Plan, teacher: Teacher) -> dict[str, str]:
    """See that a teacher from an earlier run fits this one; returns the sha256 of its weights, by training.

    Raises
    ------
    UserError
        If it was trained on other data, classes, images or another split, or is not there for a seed.
    """
    folder, name = Path(teacher.source), _of_source(teacher)
    before = plan.sources[teacher.source]
    try:
        different = _difference(before, plan, teacher)
        known, elsewhere = list(before["teachers"]), before["taken"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{name}: '{folder / 'run.json'}' describes no run of this version: train it anew") from error
    if different:
        raise UserError(
            f"{name} was trained with other {different}: take one that was trained with these, or train it here"
        )
    called = f"{teacher.network}:{teacher.view}"
    if called not in known and not any(other.startswith(f"{called}@") for other in elsewhere):
        raise UserError(
            f"{name} is none of the teachers of that run ({', '.join(known)}): name one of these, or train it here"
        )
    if called in elsewhere or called not in known:
        raise UserError(
            f"{name} was taken from an earlier run by that one: name the directory of the run that trained it"
        )
    taken = {}
    for split in plan.splits:
        for seed in plan.run.seeds:
            training = plan.teacher_training(teacher, split, seed)
            if not training.is_done:
                raise UserError(
                    f"{name} is not there for seed {training.seed}: '{training.folder}' holds no finished training; choose other "
                    "seeds, or train it here"
                )
            key = training.folder.relative_to(folder).as_posix()
            try:
                taken[key] = atomic.read_json(training.folder / "training.json")["weights_sha256"]
            except (KeyError, TypeError) as error:
                raise UserError(
                    f"{name}: '{training.folder / 'training.json'}' describes no training: train it anew"
                ) from error
    return taken


def check_apart(teachers: Sequence[Teacher], taken: Mapping[str, Mapping[str, str]]) -> None:
    """See that no two teachers of earlier runs are the same; `taken` are the sha256 of their weights, by name and training.

    Raises
    ------
    UserError
        If two have the same weights, as those of two runs that differ only in what the student does.
    """
    seen: dict[str, Teacher] = {}
    for teacher in teachers:
        for sha in taken.get(teacher.name, {}).values():
            other = seen.setdefault(sha, teacher)
            if other is not teacher:
                raise UserError(
                    f"{_of_source(teacher)} has the same weights as that of '{Path(other.source)}': name it once and give it the "
                    "weight of both"
                )


def _difference(before: dict[str, Any], plan: Plan, teacher: Teacher) -> str:
    """Return in words the first thing that a teacher was trained with and that is not so here; empty where all is."""
    run, data, now = before["run"], before["data"], plan.run.to_json()
    if run["protocol"] != now["protocol"]:
        return _unlike("protocol", run, now, ["protocol"])
    if data["name"] != plan.windows.name:
        return f"data ({_short(data['name'])}, here {_short(plan.windows.name)})"
    if data["classes"] != list(plan.windows.class_names):
        return f"classes ({_short(data['classes'])}, here {_short(list(plan.windows.class_names))})"
    if data["windows_sha256"] != plan.fingerprint:
        read = [name for name, value in now["read"].items() if run["read"].get(name) != value]
        if read:
            return _unlike("windows", run["read"], now["read"], read)
        if data["summary"] != str(plan.windows):
            return f"windows ({data['summary']}, here {plan.windows})"
        return "windows (as many, of other samples, labels or people)"
    if before["split"]["parts"] != plan.split_record()["parts"]:
        options = [name for name in ("folds", "evaluate", "patience") if run[name] != now[name]]
        return _unlike("split", run, now, options) if options else "split (other windows in its parts)"
    options = ["image_size"] if teacher.view != SIGNAL else []
    if options and any(layer.field.scaled for layer in parse_stack(teacher.view)):
        options.append("scaling")  # which changes no other image
    return next((_unlike(name, run, now, [name]) for name in options if run[name] != now[name]), "")


def _unlike(what: str, then: dict[str, Any], now: dict[str, Any], names: list[str]) -> str:
    """Say what differs, with the options that make the difference."""
    is_clear = names == [what]
    shown = (
        f"{'' if is_clear else name.replace('_', '-') + ' '}{_short(then.get(name))}, here {_short(now[name])}"
        for name in names
    )
    return f"{what.replace('_', '-')} ({'; '.join(shown)})"


def _short(value: object) -> str:
    if value is None or value == "" or value == []:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
