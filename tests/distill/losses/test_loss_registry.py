import pickle

import pytest
import torch

from distill.losses import LOSSES, build_modules, check, parse_losses
from distill.losses.registry import Range
from distill.trace import Trace

ZERO_WHEN_EQUAL = [name for name in LOSSES if name not in ("dcd", "hint")]  # their projections and adapters are random


def prepared(name, student, teachers):
    """The term, by its registered name with its defaults, as a function of the student's tensors."""
    (term,) = parse_losses(name)
    check(term, student, teachers, [f"teacher-{k}:gasf" for k in range(len(teachers))])
    modules = build_modules([term], student, teachers).double()

    def function(student, teachers, labels, weights):
        if term.loss.is_module:
            return modules[name](student, teachers, labels, weights)
        return term.loss.term(student, teachers, labels, weights, **term.options)

    return function


def tensors(trace):
    return (trace.logits, *trace.maps, trace.embedding)


def trace_of(logits, *rest):
    return Trace(logits=logits, maps=rest[:-1], embedding=rest[-1])


@pytest.mark.parametrize("weights", ["per_teacher", "per_window"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_the_derivative_it_should(name, weights, batch):
    term = prepared(name, batch.student, batch.teachers)
    inputs = tuple(x.clone().requires_grad_() for x in tensors(batch.student))

    def total(*inputs):
        return term(trace_of(*inputs), batch.teachers, batch.labels, getattr(batch, weights))[name]

    assert torch.autograd.gradcheck(total, inputs, fast_mode=True)  # along random directions


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_reaches_a_teacher_and_one_reaches_the_student(name, batch):
    student = trace_of(*(x.clone().requires_grad_() for x in tensors(batch.student)))
    teachers = [trace_of(*(x.clone().requires_grad_() for x in tensors(t))) for t in batch.teachers]
    parts = prepared(name, student, teachers)(student, teachers, batch.labels, batch.per_teacher)
    sum(parts.values()).backward()
    assert all(x.grad is None for teacher in teachers for x in tensors(teacher))
    reached = {"logits": (student.logits,), "maps": student.maps, "embedding": (student.embedding,)}[LOSSES[name].needs]
    assert any(x.grad is not None and x.grad.abs().sum() > 0 for x in reached)


@pytest.mark.parametrize("name", ZERO_WHEN_EQUAL)
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(name, batch):
    inputs = tuple(x.clone().requires_grad_() for x in tensors(batch.student))
    term = prepared(name, batch.student, [batch.student])
    parts = term(trace_of(*inputs), [batch.student], batch.labels, torch.ones(1))
    assert all(abs(part.item()) < 1e-6 for part in parts.values())
    others = term(trace_of(*inputs), [batch.signal], batch.labels, torch.ones(1))
    assert others[name].item() > 1e-3
    gradients = torch.autograd.grad(parts[name], inputs, allow_unused=True)
    assert all(g is None or g.abs().max() < 1e-6 for g in gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_are_named_scalars_of_each_teacher(name, batch):
    term = prepared(name, batch.student, batch.teachers)
    parts = term(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    assert {name, f"{name}_0", f"{name}_1"} <= set(parts)
    assert all(part.shape == () for part in parts.values())
    stems = {part.rpartition("_")[0] for part in parts if part != name}
    assert set(parts) == {name} | {f"{stem}_{k}" for stem in stems for k in (0, 1)}


@pytest.mark.parametrize("name", LOSSES)
def test_a_teacher_of_weight_zero_is_not_heard(name, batch):
    term = prepared(name, batch.student, batch.teachers)
    parts = term(batch.student, batch.teachers, batch.labels, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(parts[name], parts[f"{name}_1"])


@pytest.mark.parametrize("name", LOSSES)
def test_equal_columns_of_weights_are_one_weight_for_all_windows(name, batch):
    term = prepared(name, batch.student, batch.teachers)
    once = term(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    repeated = term(batch.student, batch.teachers, batch.labels, batch.per_teacher[:, None].expand(2, 5))
    torch.testing.assert_close(once, repeated)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_option_has_a_range_that_holds_its_default(loss):
    assert set(loss.allowed) == set(loss.options)
    assert all(default in loss.allowed[option] for option, default in loss.options.items())
    assert loss.weight > 0
    assert loss.paper.startswith("arXiv:")
    doc = loss.term.__doc__
    assert loss.paper in doc


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_travels_by_its_name(loss):
    assert pickle.loads(pickle.dumps(loss)) is loss


def test_published_defaults():
    assert LOSSES["kd"].options == {"temperature": 4.0, "reduction": "batchmean"}
    assert LOSSES["lskd"].options == {"temperature": 2.0, "weight": 9.0}
    assert LOSSES["dkd"].options == {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}
    assert LOSSES["dist"].options == {"beta": 1.0, "gamma": 1.0, "tau": 1.0}
    assert LOSSES["rkd"].options == {"distance": 25.0, "angle": 50.0}
    assert {loss.name: loss.weight for loss in LOSSES.values() if loss.kind == "features"} == {
        "at": 1000.0,
        "sp": 3000.0,
        "rkd": 1.0,
        "dcd": 1.0,
        "hint": 100.0,
    }


def test_ranges_are_of_finite_numbers():
    assert 0 in Range(low=0)
    assert 0 not in Range(low=0, allowed=False)
    assert float("inf") not in Range(low=0)
    assert float("nan") not in Range(low=0)
