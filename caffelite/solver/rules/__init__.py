"""Update rules by the name that ``type`` gives them in a solver file."""

from __future__ import annotations

from caffelite.solver.rules.adadelta import AdaDelta
from caffelite.solver.rules.adagrad import AdaGrad
from caffelite.solver.rules.adam import Adam
from caffelite.solver.rules.base import Rule
from caffelite.solver.rules.nesterov import Nesterov
from caffelite.solver.rules.rmsprop import RmsProp
from caffelite.solver.rules.sgd import Sgd

RULES: dict[str, type[Rule]] = {
    "SGD": Sgd,
    "Nesterov": Nesterov,
    "AdaGrad": AdaGrad,
    "RMSProp": RmsProp,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
}
