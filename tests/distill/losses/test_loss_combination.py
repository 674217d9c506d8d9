import pytest
import torch
from torch.nn import functional as F

from distill.losses import LOSSES, build_modules, combine, kd, knowledge_distillation, parse_losses
from distill.trace import Trace

ONE = torch.ones(1)


def random_logits(seed, *scales):
    generator = torch.Generator().manual_seed(seed)
    logits = [scale * torch.randn(64, 14, generator=generator) for scale in scales]
    return logits, torch.randint(0, 14, (64,), generator=generator)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_kd_alone_is_knowledge_distillation_bit_for_bit(seed, lambda_):
    (z, *teachers), labels = random_logits(seed, 3.0, 1.0, 5.0)
    ours, plain = z.clone().requires_grad_(), z.clone().requires_grad_()
    weights = torch.tensor([0.3, 0.7])
    traces = [Trace(logits=t) for t in teachers]
    parts = combine(parse_losses("kd"), Trace(logits=ours), traces, labels, weights, lambda_=lambda_)
    formula = knowledge_distillation(plain, labels, teachers, [0.3, 0.7], lambda_=lambda_)
    parts["loss"].backward()
    formula["loss"].backward()
    assert torch.equal(parts["loss"], formula["loss"])
    assert torch.equal(parts["cross_entropy"], formula["cross_entropy"])
    assert torch.equal(ours.grad, plain.grad)


@pytest.mark.parametrize("name", [loss.name for loss in LOSSES.values() if loss.kind == "logits"])
def test_lambda_zero_is_cross_entropy_bit_for_bit_and_so_is_its_gradient(name):
    (z, teacher), labels = random_logits(9, 3.0, 2.0)
    ours, plain = z.clone().requires_grad_(), z.clone().requires_grad_()
    parts = combine(parse_losses(name), Trace(logits=ours), [Trace(logits=teacher)], labels, ONE, lambda_=0.0)
    cross_entropy = F.cross_entropy(plain, labels)
    parts["loss"].backward()
    cross_entropy.backward()
    assert torch.equal(parts["loss"], cross_entropy)
    assert torch.equal(ours.grad, plain.grad)


def test_no_term_is_cross_entropy_bit_for_bit():
    (z,), labels = random_logits(2, 1.0)
    parts = combine((), Trace(logits=z), [], labels, torch.ones(0))
    assert torch.equal(parts["loss"], F.cross_entropy(z, labels))
    assert set(parts) == {"loss", "cross_entropy"}


def test_all_terms_add_up(batch):
    terms = parse_losses("dist(tau=2)+at(beta=3)+sp(beta=700)+rkd(beta=0.5)+dcd(beta=2)+hint(beta=4)")
    modules = build_modules(terms, batch.student, batch.teachers).double()
    arguments = (batch.student, batch.teachers, batch.labels, batch.per_window)
    parts = combine(terms, *arguments, lambda_=0.4, modules=modules)
    expected = (
        0.6 * F.cross_entropy(batch.student.logits, batch.labels)
        + 0.4 * parts["dist"]
        + 3 * parts["at"]
        + 700 * parts["sp"]
        + 0.5 * parts["rkd"]
        + 2 * parts["dcd"]
        + 4 * parts["hint"]
    )
    torch.testing.assert_close(parts["loss"], expected)
    torch.testing.assert_close(parts["dist"], LOSSES["dist"].term(*arguments, tau=2.0)["dist"])
    assert {"intra_1", "angle_0", "contrast_1", "hint_0", "sp_1", "at_0"} <= set(parts)


def test_without_a_term_of_logits_lambda_weighs_nothing(batch):
    arguments = (batch.student, batch.teachers, batch.labels, batch.per_teacher)
    parts = combine(parse_losses("sp(beta=10)"), *arguments, lambda_=0.9)
    torch.testing.assert_close(parts["loss"], parts["cross_entropy"] + 10 * parts["sp"])


def test_the_weight_of_dkd_grows_over_20_epochs(batch):
    arguments = (batch.student, batch.teachers, batch.labels, batch.per_teacher)

    def distilled(losses, epoch):
        parts = combine(parse_losses(losses), *arguments, lambda_=1.0, epoch=epoch)
        return (parts["loss"] / parts[losses]).item()

    assert distilled("dkd", 1) == pytest.approx(0.05)
    assert distilled("dkd", 10) == pytest.approx(0.5)
    assert distilled("dkd", 20) == distilled("dkd", 200) == distilled("dkd", None) == pytest.approx(1.0)
    assert distilled("kd", 1) == pytest.approx(1.0)


def test_label_smoothing_and_class_weights_are_those_of_the_cross_entropy(batch):
    class_weights = torch.tensor([1.0, 2.0, 0.5, 4.0], dtype=torch.float64)
    parts = combine(
        parse_losses("kd"),
        batch.student,
        [batch.image],
        batch.labels,
        ONE,
        lambda_=0.25,
        label_smoothing=0.2,
        class_weights=class_weights,
    )
    log_p = batch.student.logits.log_softmax(1)
    w = class_weights[batch.labels]
    hard = -(w * log_p[range(5), batch.labels]).sum() / w.sum()
    smooth = -(class_weights * log_p).sum() / 4 / w.sum()
    torch.testing.assert_close(parts["cross_entropy"], 0.8 * hard + 0.2 * smooth)
    plain = kd(batch.student, [batch.image], batch.labels, ONE)["kd"]
    torch.testing.assert_close(parts["loss"], 0.75 * parts["cross_entropy"] + 0.25 * plain)


def test_half_precision_is_widened(batch):
    def halved(trace):
        return Trace(
            logits=trace.logits.bfloat16(),
            maps=tuple(m.bfloat16() for m in trace.maps),
            embedding=trace.embedding.bfloat16(),
        )

    terms = parse_losses("kd+sp+hint+rkd")
    student, teachers = halved(batch.student), [halved(t) for t in batch.teachers]
    modules = build_modules(terms, student, teachers)
    parts = combine(terms, student, teachers, batch.labels, batch.per_teacher, modules=modules)
    assert {part.dtype for part in parts.values()} == {torch.float32}


def test_terms_need_a_teacher(batch, says):
    with says("losses kd+sp(beta=7) compare with teachers: name at least one teacher"):
        combine(parse_losses("kd+sp(beta=7)"), batch.student, [], batch.labels, torch.ones(0))
