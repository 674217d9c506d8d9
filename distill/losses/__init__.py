"""Losses of distillation by name: pure functions, or modules where they have parameters, that return their named parts.

Every term is called as `term(student, teachers, labels, weights, **options)` with what the networks show of a batch
(`distill.trace.Trace`), and returns its weighed total under its own name and each teacher's unweighed part under
`name_0`, `name_1`, ...; `combine` adds terms to the cross entropy.
"""

from distill.losses.attention import at
from distill.losses.combination import combine
from distill.losses.contrastive import Contrast
from distill.losses.correlation import dist
from distill.losses.decoupled import dkd
from distill.losses.divergence import kd, knowledge_distillation, lskd
from distill.losses.hints import Hint
from distill.losses.registry import LOSSES, Loss
from distill.losses.relational import rkd
from distill.losses.similarity import sp
from distill.losses.terms import Term, build_modules, check, parse_losses

__all__ = [
    "LOSSES",
    "Contrast",
    "Hint",
    "Loss",
    "Term",
    "at",
    "build_modules",
    "check",
    "combine",
    "dist",
    "dkd",
    "kd",
    "knowledge_distillation",
    "lskd",
    "parse_losses",
    "rkd",
    "sp",
]
