import pytest
import torch

from distill.losses import LOSSES, Term, build_modules, check, parse_losses
from distill.models import build_model
from distill.trace import Trace


def labels_of(text):
    return [term.label for term in parse_losses(text)]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("kd", ["kd"]),
        (" kd + sp ", ["kd", "sp"]),
        ("kd(temperature=4)+sp(beta=3000)", ["kd", "sp"]),
        ("sp(merge=raw, beta=700)", ["sp(beta=700,merge=raw)"]),
        ("kd(reduction=elementmean,temperature=2.5)", ["kd(temperature=2.5,reduction=elementmean)"]),
        ("dkd(beta=2)+at+rkd(angle=0)", ["dkd(beta=2)", "at", "rkd(angle=0)"]),
        ("hint(stage=3)+dcd(dim=64)", ["hint(stage=3)", "dcd(dim=64)"]),
        ("kd()+at(beta=1e+3)", ["kd", "at"]),
    ],
)
def test_losses_are_read_and_named(text, labels):
    assert labels_of(text) == labels
    assert labels_of("+".join(labels)) == labels  # a label is the name of what it names


def test_beta_is_the_weight_of_features_and_an_option_of_logits():
    sp, dkd = parse_losses("sp(beta=700)+dkd(beta=2)")
    assert sp == Term(loss=LOSSES["sp"], weight=700.0)
    assert dkd == Term(loss=LOSSES["dkd"], given=(("beta", 2.0),))
    assert dkd.options == {"alpha": 1.0, "beta": 2.0, "temperature": 4.0}
    assert parse_losses("at")[0].weight == 1000.0


NAMES = ", ".join([*LOSSES, "or several joined by +, as kd+sp"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kdd", f"unknown loss 'kdd': did you mean 'kd'? Valid: {NAMES}"),
        ("", f"unknown loss '': Valid: {NAMES}"),
        ("kd+", f"unknown loss '': Valid: {NAMES}"),
        (
            "kd(temprature=4)",
            "unknown option of the loss kd 'temprature': did you mean 'temperature'? Valid: temperature, reduction",
        ),
        ("at(p=2)", "unknown option of the loss at 'p': Valid: beta"),
        ("sp(merge=rw)", "unknown merge of the loss sp 'rw': did you mean 'raw'? Valid: normalised, raw"),
        (
            "rkd(distance=0,angle=0)",
            "loss rkd compares nothing where distance and angle are 0: give one of them above 0",
        ),
        ("kd+dkd(alpha=0,beta=0)", "loss dkd compares nothing where alpha and beta are 0: give one of them above 0"),
        ("kd(temperature=0)", "option temperature of the loss kd is '0': give a number above 0"),
        ("kd(temperature=inf)", "option temperature of the loss kd is 'inf': give a number above 0"),
        ("kd(temperature=warm)", "option temperature of the loss kd is 'warm': give a number above 0"),
        ("dkd(alpha=-1)", "option alpha of the loss dkd is '-1': give a number of at least 0"),
        ("sp(beta=0)", "option beta of the loss sp is '0': give a number above 0"),
        ("hint(stage=0)", "option stage of the loss hint is '0': give a whole number of at least 1"),
        ("hint(stage=1.5)", "option stage of the loss hint is '1.5': give a whole number of at least 1"),
        ("sp+kd+sp(beta=2)", "losses 'sp+kd+sp(beta=2)' name sp twice: give it once, with the options that count"),
        (
            "kd+sp+dkd",
            "losses 'kd+sp+dkd' hold kd and dkd: lambda weighs one loss of logits against the labels, so give one of them",
        ),
        (
            "kd(temperature)",
            "losses 'kd(temperature)' are not understood at 'temperature': give each option once, as temperature=VALUE",
        ),
        (
            "sp(beta=1,beta=2)",
            "losses 'sp(beta=1,beta=2)' are not understood at 'beta=2': give each option once, as beta=VALUE",
        ),
        ("kd[2]x(", "losses 'kd[2]x(' are not understood at 'kd[2]x(': write them as kd(temperature=2)+sp(beta=700)"),
    ],
)
def test_mistakes_are_told_in_one_sentence(text, error, says):
    with says(error):
        parse_losses(text)


BARE = Trace(logits=torch.zeros(2, 3))


@pytest.mark.parametrize("name", [loss.name for loss in LOSSES.values() if loss.needs != "logits"])
def test_a_network_that_shows_too_little_is_refused(name, batch, says):
    (term,) = parse_losses(name)
    what = {"maps": "feature maps", "embedding": "an embedding"}[term.loss.needs]
    with says(f"loss '{name}' needs {what} and teacher 'minirocket:signal' has none: choose kd, lskd, dkd or dist"):
        check(term, batch.student, [batch.image, BARE], ["wrn16-1:gasf", "minirocket:signal"])
    with says(f"loss '{name}' needs {what} and the student has none: choose kd, lskd, dkd or dist"):
        check(term, BARE, [batch.image], ["wrn16-1:gasf"])


@pytest.mark.parametrize("name", [loss.name for loss in LOSSES.values() if loss.needs == "logits"])
def test_logits_are_enough_for_losses_of_logits(name):
    check(parse_losses(name)[0], BARE, [BARE], ["minirocket:signal"])


def test_stages_must_match(batch, says):
    deep = Trace(logits=batch.image.logits, maps=(*batch.image.maps, batch.image.maps[-1]))
    for name in ("at", "sp"):
        with says(
            f"loss '{name}' compares stage by stage and teacher 'resnet:gasf' has 4 stages where the student has 3: "
            "choose kd, lskd, dkd or dist"
        ):
            check(parse_losses(name)[0], batch.student, [deep], ["resnet:gasf"])
    check(parse_losses("hint(stage=3)")[0], batch.student, [deep], ["resnet:gasf"])
    with says("loss 'hint' takes stage 4 and the student has 3: give a stage from 1 to 3"):
        check(parse_losses("hint(stage=4)")[0], batch.student, [deep], ["resnet:gasf"])


def test_images_without_time_on_both_axes_are_refused_where_time_is_compared(batch, says):
    refusal = ", of which not both axes are that time: choose sp, rkd, dcd, kd, lskd, dkd or dist"
    oblong = Trace(logits=batch.image.logits, maps=(torch.ones(5, 2, 4, 2), *batch.image.maps[1:]))
    for name in ("at", "hint"):
        term = parse_losses(name)[0]
        start = f"loss '{name}' compares a signal with an image over time and teacher "
        with says(f"{start}'wrn16-1:gasf+scalogram' looks at scalogram{refusal}"):
            check(term, batch.student, [batch.image], ["wrn16-1:gasf+scalogram"])
        with says(f"{start}'cnn:gasf' looks at maps of 4 x 2{refusal}"):
            check(term, batch.student, [oblong], ["cnn:gasf"])
        check(term, batch.student, [batch.image], ["wrn16-1:gasf+rp(dimension=2)"])
        check(term, batch.image, [batch.image], ["wrn16-1:spectrogram"])  # both see the same image
    check(parse_losses("sp")[0], batch.student, [batch.image], ["wrn16-1:spectrogram"])


def test_terms_with_parameters_fit_real_networks():
    student = build_model("wrn16-1", dims=1, in_channels=3, classes=4).trace(torch.randn(2, 3, 50))
    teacher = build_model("wrn16-3", dims=2, in_channels=3, classes=4).trace(torch.randn(2, 3, 32, 32))
    terms = parse_losses("kd+hint+dcd+at+sp+rkd")
    for term in terms:
        check(term, student, [teacher], ["wrn16-3:gasf"])
    modules = build_modules(terms, student, [teacher])
    assert list(modules) == ["hint", "dcd"]
    assert sum(p.numel() for p in modules["hint"].parameters()) == 32 * 96 + 2 * 96
    assert sum(p.numel() for p in modules["dcd"].parameters()) == 65 * 128 + 193 * 128 + 1
