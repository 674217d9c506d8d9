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
    from tsimage.fields import gadf, gasf, mtf
    from tsimage.imager import Imager
    from tsimage.readers import ReadOptions
    from tsimage.segments import paa
    from tsimage.store import ImageStore, open_store
    from tsimage.windows import Windows

_HOME = {
    "ImageStore": "store",
    "Imager": "imager",
    "ReadOptions": "readers",
    "Recording": "cutting",
    "Segment": "cutting",
    "UserError": "errors",
    "Windows": "windows",
    "convert": "conversion",
    "cut": "cutting",
    "gadf": "fields",
    "gasf": "fields",
    "load": "datasets",
    "mtf": "fields",
    "open_store": "store",
    "paa": "segments",
}

__version__ = "0.1.0"
__all__ = [
    "ImageStore",
    "Imager",
    "ReadOptions",
    "Recording",
    "Segment",
    "UserError",
    "Windows",
    "convert",
    "cut",
    "gadf",
    "gasf",
    "load",
    "mtf",
    "open_store",
    "paa",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"tsimage.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tsimage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
