"""Learning rates: numbers worked by hand, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from caffelite.errors import NotFiniteError, UsageError
from caffelite.solver.policies import POLICIES, current_step, learning_rate, objections


def parameters(policy, **fields):
    defaults = {"base_lr": 0.5, "gamma": 0.1, "power": 2.0, "stepsize": 4, "max_iter": 10, "stepvalue": []}
    return SimpleNamespace(**defaults | fields, lr_policy=policy)


@pytest.mark.parametrize(
    "policy, iteration, rate",
    [
        ("fixed", 1000, 0.5),
        ("step", 3, 0.5),
        ("step", 4, 0.05),
        ("step", 8, 0.005),
        ("exp", 0, 0.5),
        ("exp", 3, 0.0005),
        ("inv", 10, 0.125),
        ("poly", 0, 0.5),
        ("poly", 5, 0.125),
        ("poly", 10, 0.0),
        ("sigmoid", 4, 0.25),
        ("sigmoid", 14, 0.5 / (1 + 2.718281828459045**-1)),
        ("sigmoid", 0, 0.5 / (1 + 2.718281828459045**0.4)),
    ],
)
def test_rates(policy, iteration, rate):
    assert learning_rate(parameters(policy), iteration) == pytest.approx(rate, rel=1e-12)


def test_sigmoid_rises():
    p = parameters("sigmoid")
    rates = [learning_rate(p, iteration) for iteration in range(0, 100000, 1000)]
    assert rates == sorted(rates) and rates[-1] == 0.5


def test_sigmoid_far_below_its_middle_does_not_overflow():
    assert learning_rate(parameters("sigmoid", stepsize=10**6, gamma=1.0), 0) == 0


def test_multistep_takes_one_step_an_evaluation():
    p = parameters("multistep", stepvalue=[2, 3, 3])
    steps, step = [], 0
    for iteration in range(6):
        step = current_step(p, iteration, step)
        steps.append(step)
    assert steps == [0, 0, 1, 2, 3, 3]
    assert learning_rate(p, 5, 2) == pytest.approx(0.005)


def test_other_policies_keep_their_step():
    assert current_step(parameters("fixed", stepvalue=[0]), 5, 0) == 0


def test_poly_ends_at_max_iter():
    with pytest.raises(UsageError, match="iteration 11: it ends at max_iter 10"):
        learning_rate(parameters("poly"), 11)


def test_a_rate_that_overflows_is_named():
    with pytest.raises(NotFiniteError, match='iteration 100000: the learning rate of lr_policy "exp"'):
        learning_rate(parameters("exp", gamma=3.0), 100000)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"lr_policy": "multi_step"}, "did you mean 'multistep'?"),
        ({"lr_policy": ""}, "expected one of fixed, step, exp, inv, multistep, poly, sigmoid, got ''"),
        ({"lr_policy": "step", "stepsize": 0}, 'expected stepsize > 0 with lr_policy "step", got 0'),
        ({"lr_policy": "sigmoid", "gamma": -0.5}, 'expected gamma >= 0 with lr_policy "sigmoid", got -0.5'),
        ({"lr_policy": "poly", "max_iter": 0}, 'expected max_iter > 0 with lr_policy "poly", got 0'),
    ],
)
def test_objections(fields, message):
    p = parameters("fixed")
    vars(p).update(fields)
    assert any(message in str(objection) for objection in objections(p))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_objections_to_good_ones(policy):
    assert list(objections(parameters(policy))) == []
