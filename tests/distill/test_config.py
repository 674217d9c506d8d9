import json
from pathlib import Path

import numpy as np
import pytest

from distill import Run
from distill.selection import parse_select
from distill.views import check_view
from tsimage import ReadOptions
from tsimage.errors import UserError


def names(run):
    return {t.name: round(t.weight, 6) for t in run.teachers()}


def test_a_network_alone_means_its_gaf_and_its_signal_teacher():
    assert names(Run()) == {"wrn28-3:gasf": 0.3, "wrn28-3:signal": 0.7}
    assert names(Run(alpha=0.9)) == {"wrn28-3:gasf": 0.9, "wrn28-3:signal": 0.1}


def test_alpha_weighs_the_image_teacher_in_either_order():
    assert names(Run(teacher=("wrn16-1:signal", "wrn16-3:gadf+mtf"), alpha=0.2)) == {
        "wrn16-1:signal": 0.8,
        "wrn16-3:gadf+mtf": 0.2,
    }


def test_one_and_three_teachers_weigh_the_same_unless_told():
    assert names(Run(teacher=("wrn16-1:mtf",))) == {"wrn16-1:mtf": 1.0}
    three = ("wrn28-3:gasf", "wrn16-3:signal", "wrn16-1:gasf+gadf+mtf")
    assert set(names(Run(teacher=three)).values()) == {round(1 / 3, 6)}
    weighed = tuple(f"{t}={w}" for t, w in zip(three, (0.5, 0.3, 0.2), strict=True))
    assert list(names(Run(teacher=weighed)).values()) == [0.5, 0.3, 0.2]


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.5), (0.3333, 0.3333, 0.3333), (0.1, 0.2, 0.3), (1, 1, 1e-9)])
def test_the_weights_that_an_error_proposes_are_accepted(weights):
    teachers = ("wrn10-1:gasf", "wrn10-1:mtf", "wrn10-1:signal")
    with pytest.raises(UserError) as caught:
        Run(teacher=tuple(f"{t}={w:g}" for t, w in zip(teachers, weights, strict=True)))
    proposed = str(caught.value).partition(": give ")[2].split(", ")
    found = Run(teacher=tuple(proposed)).teachers()
    assert [t.weight for t in found] == pytest.approx([w / sum(weights) for w in weights], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambda_": 1.5}, "lambda 1.5 is not allowed: it is the weight of distillation, from 0 to 1"),
        ({"lambda_": float("nan")}, "lambda nan is not allowed: it is the weight of distillation, from 0 to 1"),
        ({"alpha": -0.1}, "alpha -0.1 is not allowed: it is the weight of the image teacher, from 0 to 1"),
        ({"temperature": 0.0}, "temperature 0.0 is not allowed: it must be positive and finite"),
        ({"epochs": 0}, "epochs 0 is not allowed: it must be positive"),
        ({"image_size": 0}, "image-size 0 is not allowed: images have at least 1 pixel on a side"),
        ({"batch_size": 1}, "batch-size 1 is not allowed: batch normalisation needs more than one window"),
        ({"seeds": (1, 1)}, "seeds [1, 1] are not allowed: give at least one, each once"),
        ({"teacher": ()}, "no teacher is named: give at least one, as wrn28-3 or wrn28-3:gasf"),
        (
            {"teacher": ("wrn28-3:gafs",)},
            "unknown view 'gafs': did you mean 'gasf'? "
            "Valid: signal, gasf, gadf, mtf, rp, jrp, qgaf, pi, spectrogram, scalogram, or several images joined by +, as gasf+gadf+mtf",
        ),
        (
            {"teacher": ("wrn28-3", "wrn28-3:gasf")},
            "teacher 'wrn28-3:gasf' is named twice: name it once and give it the weight of both",
        ),
        (
            {"teacher": ("wrn28-3=0.5",)},
            "teacher 'wrn28-3=0.5' means two teachers, wrn28-3:gasf and wrn28-3:signal: weigh each of them, or use alpha",
        ),
        *(
            (
                {"teacher": (text,)},
                f"teacher '{text}' names more than one: separate them by spaces on the command line, and give them as a list "
                "in a file or in Python",
            )
            for text in ("wrn16-1,wrn28-3", "wrn16-1:gasf,wrn16-1:signal", "wrn16-1:gasf=0.4,wrn16-1:signal=0.6")
        ),
        (
            {"teacher": ("wrn28-3:gasf=0.5", "wrn28-3:signal")},
            "1 of 2 teachers have a weight: weigh all of them (wrn28-3:gasf, wrn28-3:signal) or none",
        ),
        (
            {"teacher": ("wrn28-3:gasf=0.5", "wrn28-3:signal=0.3")},
            "the weights of the teachers sum to 0.8, not 1: give wrn28-3:gasf=0.625, wrn28-3:signal=0.375",
        ),
        (
            {"teacher": ("wrn28-3:gasf=0", "wrn28-3:signal=0")},
            "the weights of the teachers sum to 0, not 1: give wrn28-3:gasf=0.5, wrn28-3:signal=0.5",
        ),
        (
            {"teacher": ("wrn28-3:gasf=x",)},
            "teacher 'wrn28-3:gasf=x' has the weight 'x': give a number from 0 to 1",
        ),
        (
            {"teacher": ("wrn28-3:gasf=0.5", "wrn28-3:signal=0.5"), "alpha": 0.3},
            "alpha and weights of teachers (NETWORK:VIEW=WEIGHT) say the same thing: give one of them",
        ),
        (
            {"teacher": ("wrn28-3:gasf",), "alpha": 0.3},
            "alpha weighs one image teacher against one signal teacher, but the only teacher is wrn28-3:gasf: "
            "leave it out, or name one of each",
        ),
        (
            {"student": "wrn17-1"},
            "depth 17 is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; nearest: 16 and 22",
        ),
        (
            {"student": "minirocket"},
            "student minirocket is not allowed, as it can only teach: choose one of wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, "
            "se16-1, inception, patch",
        ),
        (
            {"teacher": ("minirockt:signal",)},
            "unknown network 'minirockt': did you mean 'minirocket'? Valid: wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, "
            "inception, patch, resnet18, mobilenetv3, minirocket, hydra, or any of wrnD-K, dsD-K, seD-K with D = 6 n + 4, or "
            "these with -gn",
        ),
        (
            {"teacher": ("resnet18",)},
            "network 'resnet18' looks at images, not at the signal: use it as resnet18:gasf or on another image, or choose "
            "for the signal one of wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, inception, patch",
        ),
        (
            {"teacher": ("inception:gasf+mtf=0.5", "wrn16-1:signal=0.5")},
            "network 'inception' looks at the signal, not at images: use it as inception:signal, or choose for images one of "
            "wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, patch, resnet18, mobilenetv3",
        ),
        (
            {"student": "mobilenetv3"},
            "network 'mobilenetv3' looks at images, not at the signal: use it as mobilenetv3:gasf or on another image, or "
            "choose for the signal one of wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, inception, patch",
        ),
        (
            {"scaling": "fixd"},
            "unknown scaling 'fixd': did you mean 'fixed'? Valid: fixed, window, fixed:UNIT=HALFWIDTH,...",
        ),
    ],
)
def test_impossible_runs_are_refused_in_one_sentence(options, message):
    with pytest.raises(UserError) as error:
        Run(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluate": "val"}, "unknown evaluate 'val': did you mean 'validation'? Valid: test, validation"),
        ({"protocol": None}, "protocol takes a text, but got None: leave it out"),
        ({"precision": "fp16"}, "unknown precision 'fp16': did you mean 'bf16'? Valid: auto, bf16, fp32"),
        (
            {"warm_start": "no"},
            "warm-start takes true or false, but got the text 'no': write true or false, without quotes",
        ),
        ({"patience": 1.5}, "patience takes a whole number, but got the number 1.5: write it without a fraction"),
        ({"seeds": (0.5,)}, "seeds takes a whole number, but got the number 0.5: write it without a fraction"),
        ({"seeds": True}, "seeds takes a whole number, but got true: give one"),
        ({"lambda_": "0.5"}, "lambda takes a number, but got the text '0.5': write it without quotes"),
        ({"folds": 5}, "folds takes a text, but got the number 5: put it in quotes"),
        ({"augment": ["jitter"]}, "augment takes a text, but got a list: give one value"),
        ({"data": Path("here")}, f"data takes a text, but got {Path('here')!r}: give one"),
        ({"read": {}}, "read takes tsimage.ReadOptions, but got a table: give one"),
        ({"learning_rate": 10**400}, "learning-rate inf is not allowed: it must be positive and finite"),
    ],
)
def test_values_of_another_type_are_refused_in_one_sentence(says, options, message):
    with says(message):
        Run(**options)


def test_numbers_of_numpy_and_whole_numbers_make_the_same_run():
    plain = Run(lambda_=1.0, seeds=(0, 1), epochs=3, balanced=True, temperature=2.0)
    numpy = Run(lambda_=1, seeds=np.arange(2), epochs=np.int64(3), balanced=np.bool_(True), temperature=np.float32(2))
    assert numpy == plain
    assert numpy.hash() == plain.hash()


def test_each_network_is_named_on_what_it_looks_at():
    teachers = ("resnet18:gasf", "inception:signal", "patch:gadf+mtf", "patch:signal", "wrn16-1-gn:rp")
    assert list(names(Run(teacher=teachers, student="se16-1-gn"))) == list(teachers)


def test_formula_shows_effective_numbers_by_teacher():
    assert Run(alpha=0.25, lambda_=0.6, temperature=2).formula() == (
        "L = 0.4 CE + 0.6 x 2^2 x [0.25 KL(wrn28-3:gasf) + 0.75 KL(wrn28-3:signal)]"
    )


def test_every_option_changes_the_hash_and_so_the_folder():
    changes = {
        "teacher": ("wrn16-1:gasf+mtf", "wrn28-3:signal"),
        "student": "wrn16-3",
        "data": "hapt",
        "read": ReadOptions(channels=("acc*",)),
        "lambda_": 0.5,
        "temperature": 3.0,
        "alpha": 0.4,
        "image_size": 48,
        "scaling": "window",
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "lambda_to": 0.1,
        "temperature_to": 1.0,
        "loss": "kd+sp",
        "weighing": "aver",
        "warm_start": True,
        "optimizer": "adamw",
        "course": "steps",
        "warmup_epochs": 2,
        "label_smoothing": 0.1,
        "balanced": True,
        "ema": 0.99,
        "patience": 4,
        "augment": "jitter",
        "teaching": "live",
        "seeds": (0, 1),
        "shared_teachers": True,
        "folds": "loso",
        "select": ("lambda=0.1,0.5",),
        "protocol": "lab",
        "evaluate": "validation",
        "device": "cpu",
        "precision": "fp32",
    }
    assert set(changes) == set(Run.__dataclass_fields__)
    base = {"teacher": ("wrn28-3:gasf+mtf", "wrn28-3:signal")}
    hashes = {Run(**base).hash(), *(Run(**base | {name: value}).hash() for name, value in changes.items())}
    assert len(hashes) == len(changes) + 1
    assert Run().folder() == Run().folder()


def test_json_calls_lambda_by_its_name():
    content = Run(read=ReadOptions(channels=("acc*",))).to_json()
    assert content["lambda"] == 0.7
    assert content["read"]["channels"] == ["acc*"]
    json.dumps(content, allow_nan=False)


def test_views_are_the_signal_and_every_stack():
    for name in ("signal", "gasf", "gadf", "mtf", "gasf+gadf+mtf"):
        assert check_view(name) == name
    with pytest.raises(
        UserError, match=r"view 'signal\+gasf' stacks the signal with images: name two teachers, one for each"
    ):
        check_view("signal+gasf")
    with pytest.raises(UserError, match="names an image twice"):
        check_view("gasf+gasf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"teacher": ("wrn16-1:mtf",), "scaling": "window"},
            "scaling window does nothing for teachers on mtf: leave it out",
        ),
        (
            {"teacher": ("wrn16-1:signal",), "image_size": 64},
            "image-size 64 does nothing for teachers on signal: leave it out",
        ),
    ],
)
def test_options_that_do_nothing_are_refused(options, message):
    with pytest.raises(UserError) as error:
        Run(**options)
    assert str(error.value) == message


def test_one_teacher_may_be_a_string():
    assert Run(teacher="wrn16-1").teachers() == Run(teacher=("wrn16-1",)).teachers()


@pytest.mark.parametrize(
    ("loss", "lab"),
    [
        ("kd", "kd(reduction=elementmean)"),
        ("kd(temperature=2)", "kd(reduction=elementmean, temperature=2)"),
        ("kd+sp(beta=3)", "kd(reduction=elementmean)+sp(beta=3)"),
        ("sp+kd", "sp+kd(reduction=elementmean)"),
        ("kd(reduction=batchmean)", "kd(reduction=batchmean)"),
        ("dkd", "dkd"),
    ],
)
def test_protocol_lab_divides_kd_by_the_classes_unless_told_otherwise(loss, lab):
    assert Run(loss=loss, protocol="lab").loss == lab
    assert Run(loss=lab, protocol="lab").loss == lab


def test_a_course_that_is_given_is_kept():
    assert Run(protocol="lab").effective_course == "steps"
    assert Run(protocol="lab", course="cosine").effective_course == "cosine"
    assert Run().effective_course == "cosine"


@pytest.mark.parametrize(
    ("text", "source", "weight"),
    [("wrn16-1:gasf@a/b=c", "a/b=c", None), ("wrn16-1:gasf@a=0.5", "a", 0.5), ("wrn16-1:gasf@a=b=0.5", "a=b", 0.5)],
)
def test_a_folder_of_teachers_may_have_an_equals_sign(text, source, weight):
    given = (text,) if weight is None else (text, "wrn16-1:signal=0.5")
    teacher = Run(teacher=given).teachers()[0]
    assert (teacher.source, teacher.weight) == (source, weight or 1.0)


def test_values_of_select_may_have_commas_in_brackets():
    assert parse_select(["loss=kd,kd+sp(beta=7, merge=raw)"]) == {"loss": ["kd", "kd+sp(beta=7, merge=raw)"]}
