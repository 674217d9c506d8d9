import math

import pytest
import torch

from distill.rates import annealed, check_course, learning_rate


def rates(steps, **options):
    return [learning_rate(step, steps, 0.05, **options) for step in range(steps)]


@pytest.mark.parametrize("steps", [7, 10, 100, 333])
def test_one_cycle_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps, cycle_momentum=False)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(steps, course="one-cycle") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("steps", [2, 5, 100])
def test_cosine_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - 1, eta_min=1e-4)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(steps) == pytest.approx(expected, rel=1e-9)


def test_steps_are_those_published():
    """0.05 until E/18, 0.01 until E/3, 0.001 until 2E/3, then 0.0001."""
    assert rates(180, course="steps") == pytest.approx([0.05] * 10 + [0.01] * 50 + [0.001] * 60 + [0.0001] * 60)


def test_a_warm_up_rises_to_where_the_course_begins():
    made = rates(20, warmup=5)
    assert made[:5] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert made[5:] == rates(15)


@pytest.mark.parametrize("course", ["cosine", "one-cycle", "steps", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_shortest_trainings_have_a_rate(course, steps):
    assert all(0 < rate <= 0.05 * (1 + 1e-12) and math.isfinite(rate) for rate in rates(steps, course=course))


def test_annealing_goes_from_end_to_end():
    assert [annealed(4.0, 1.0, step, 7) for step in (0, 2, 6)] == [4.0, 3.0, 1.0]
    assert annealed(0.7, 0.7, 3, 7) == pytest.approx(0.7)
    assert annealed(4.0, 1.0, 0, 1) == 4.0


def test_errors_say_what_is_allowed(says):
    check_course("steps", 10, 9)
    with says(
        "unknown learning-rate course 'cosin': did you mean 'cosine'? Valid: auto, cosine, one-cycle, steps, constant"
    ):
        check_course("cosin", 10, 0)
    with says("warmup-epochs 10 are not allowed: from 0 to less than the 10 epochs"):
        check_course("cosine", 10, 10)
    with says("warmup-epochs do nothing sensible under course one-cycle, which rises by itself: leave them out"):
        check_course("one-cycle", 10, 1)
