import pytest

from distill.evaluate import metrics
from distill.table import format_table, table


def result(student=(0.91, 0.93, 0.92), scratch=(0.90, 0.91, 0.89)):
    def seeds(values):
        return {str(i): {"accuracy": v, "balanced_accuracy": v, "macro_f1": v - 0.01} for i, v in enumerate(values)}

    def model(role, view, weight, values):
        return {
            "role": role,
            "network": "wrn16-1",
            "view": view,
            "weight": weight,
            "parameters": 60868,
            "seeds": seeds(values),
        }

    return {
        "data": "toy",
        "part": "test",
        "windows": {"train": 10, "test": 1234},
        "formula": "L = CE",
        "split": {"basis": "by subject"},
        "shared_teachers": False,
        "models": [
            model("teacher", "gasf", 0.3, scratch),
            model("scratch", "signal", None, scratch),
            model("student", "signal", None, student),
        ],
    }


def test_difference_is_paired_by_seed():
    row = table(result()).iloc[2]
    assert row["difference"] == pytest.approx(2.0)
    assert row["difference_sd"] == pytest.approx(1.0)  # of +1, +2, +3
    assert row["mean"] == pytest.approx(92.0)
    assert table(result(), "macro_f1").iloc[2]["mean"] == pytest.approx(91.0)


def test_text_shows_every_seed_and_the_interval():
    text = format_table(result())
    assert "92.00 +- 1.00" in text
    assert "91.00 93.00 92.00" in text
    assert "Distilled minus from scratch, paired by seed: +2.00 +- 1.00, 95 % interval -0.48 to +4.48" in text
    assert "teacher wrn16-1:gasf" in text
    assert "wrn16-1 from scratch" in text
    assert "wrn16-1 distilled" in text
    assert "0.30" in text
    assert "1,234 windows" in text


def test_text_shows_no_deviation_for_two_seeds():
    text = format_table(result(student=(0.5, 0.6), scratch=(0.4, 0.5)))
    rows = [line for line in text.splitlines() if line.strip().startswith(("teacher", "wrn"))]
    assert len(rows) == 3
    assert not any("+-" in row for row in rows)
    assert "paired by seed: +10.00\n" in text


def test_validation_results_say_so():
    content = result() | {"part": "validation", "windows": {"train": 10, "validation": 5}}
    assert "This is the validation part" in format_table(content)


def test_metrics_by_hand():
    import numpy as np

    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    made = metrics(labels, predicted, np.array(["ann"] * 4 + ["bob"] * 2))
    assert made["accuracy"] == pytest.approx(4 / 6)
    assert made["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert made["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert made["accuracy_by_subject"] == {"ann": 0.75, "bob": 0.5}
    assert made["subject_accuracy"] == 0.625
    unknown = metrics(labels, predicted, np.array(["ann"] * 5 + [""]))
    assert (unknown["accuracy_by_subject"], unknown["subject_accuracy"]) == ({}, None)


@pytest.mark.parametrize(
    ("both", "line"),
    [
        ([], None),
        ("unknown", "Subjects are unknown: the same person may be in both parts."),
        (["s1"], "1 person is in both parts (s1): the numbers hold for people who were trained on, not for others."),
        (
            list("abcdefg"),
            "7 people are in both parts (a, b, c, d, e, ...): the numbers hold for people who were trained on, not for others.",
        ),
    ],
)
def test_people_in_both_parts_are_told(both, line):
    content = result()
    before = format_table(content).splitlines()
    content["split"]["subjects_in_both"] = both
    added = [text for text in format_table(content).splitlines() if text not in before]
    assert added == ([] if line is None else [line])
