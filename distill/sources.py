"""Teachers of an earlier run: read back, and seen to fit the run that takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.teacher_names import Teacher
from distill.views import SIGNAL
from tsimage import atomic
from tsimage.errors import UserError

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
        run, data, parts = before["run"], before["data"], before["split"]["parts"]
        compared = [
            ("protocol", run["protocol"], plan.run.protocol),
            ("data", data["name"], plan.windows.name),
            ("classes", data["classes"], list(plan.windows.class_names)),
            ("windows", data["windows_sha256"], plan.fingerprint),
            ("split", parts, plan.split_record()["parts"]),
        ]
        if teacher.view != SIGNAL:
            compared += [(what, run[what], getattr(plan.run, what)) for what in ("image_size", "scaling")]
    except (KeyError, TypeError) as error:
        raise UserError(f"{name}: '{folder / 'run.json'}' describes no run of this version: train it anew") from error
    for what, then, now in compared:
        if then != now:
            if what == "windows":
                then, now = data.get("summary"), str(plan.windows)
            if what == "split":
                then, now = _split_in_words(before["split"]), _split_in_words(plan.split_record())
            shown = f" ({_short(then)}, here {_short(now)})" if then != now else ""
            raise UserError(
                f"{name} was trained with other {what.replace('_', '-')}{shown}: take one that was trained with these, or train it here"
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


def _split_in_words(split: dict[str, Any]) -> str:
    """Say what kept the parts apart and, where there is one split, how many windows each has."""
    counts = [f"{name} {part['windows']}" for name, part in split["parts"].items() if "windows" in part]
    return f"{split['basis']}: windows {', '.join(counts)}" if counts else str(split["basis"])


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
