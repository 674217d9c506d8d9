"""How models stand noise, lost samples and sensors that are worn askew, drift or fail."""

from distill.stress.bench import read_stress, stress
from distill.stress.comparing import compared, summary
from distill.stress.curves import stress_curves
from distill.stress.registry import CONDITIONS, Condition, Sensors, damaged
from distill.stress.told import Stress

__all__ = [
    "CONDITIONS",
    "Condition",
    "Sensors",
    "Stress",
    "compared",
    "damaged",
    "read_stress",
    "stress",
    "stress_curves",
    "summary",
]
