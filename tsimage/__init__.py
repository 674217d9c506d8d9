"""Time-series imaging for wearable sensors: recordings in, windows and images out.

The public names load on first use, so `import tsimage` is quick and brings neither torch nor pyts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsimage.conversion import convert
    from tsimage.cutting import Recording, Segment, cut
    from tsimage.datasets import load
    from tsimage.errors import UserError
    from tsimage.estimators import ImageTransformer
    from tsimage.fields import (
        fit_markov,
        gadf,
        gasf,
        joint_recurrence_plot,
        mtf,
        persistence_image,
        quantum_gaf,
        recurrence_plot,
        scalogram,
        spectrogram,
    )
    from tsimage.gaps import fill_gaps
    from tsimage.imager import Imager
    from tsimage.inverse import from_gasf, from_pair
    from tsimage.module import ImageModule
    from tsimage.outputs import export
    from tsimage.readers import ReadOptions
    from tsimage.segments import paa
    from tsimage.store import ImageStore, open_store
    from tsimage.windows import Windows

_HOME = {
    "ImageModule": "module",
    "ImageStore": "store",
    "ImageTransformer": "estimators",
    "Imager": "imager",
    "ReadOptions": "readers",
    "Recording": "cutting",
    "Segment": "cutting",
    "UserError": "errors",
    "Windows": "windows",
    "convert": "conversion",
    "cut": "cutting",
    "export": "outputs",
    "fill_gaps": "gaps",
    "fit_markov": "fields",
    "from_gasf": "inverse",
    "from_pair": "inverse",
    "gadf": "fields",
    "gasf": "fields",
    "joint_recurrence_plot": "fields",
    "load": "datasets",
    "mtf": "fields",
    "open_store": "store",
    "paa": "segments",
    "persistence_image": "fields",
    "quantum_gaf": "fields",
    "recurrence_plot": "fields",
    "scalogram": "fields",
    "spectrogram": "fields",
}

__version__ = "0.1.0"
__all__ = [
    "ImageModule",
    "ImageStore",
    "ImageTransformer",
    "Imager",
    "ReadOptions",
    "Recording",
    "Segment",
    "UserError",
    "Windows",
    "convert",
    "cut",
    "export",
    "fill_gaps",
    "fit_markov",
    "from_gasf",
    "from_pair",
    "gadf",
    "gasf",
    "joint_recurrence_plot",
    "load",
    "mtf",
    "open_store",
    "paa",
    "persistence_image",
    "quantum_gaf",
    "recurrence_plot",
    "scalogram",
    "spectrogram",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"tsimage.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tsimage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
