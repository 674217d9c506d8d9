"""pyts, the oracle of the parity tests, imported as plain Python.

Importing `pyts.image` otherwise compiles its loops eagerly for 20 to 40 s; the numbers are the same. Only pyts is
left uncompiled: our own kernels are tested compiled.
"""

import numba

numba.config.DISABLE_JIT = 1
import pyts.image  # noqa: E402
import pyts.multivariate.image  # noqa: E402
import pyts.preprocessing._discretizer  # noqa: E402

numba.config.DISABLE_JIT = 0
pyts.preprocessing._discretizer.List = list  # decides at run time whether numba is on
