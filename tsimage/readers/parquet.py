"""Columns of a parquet file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from tsimage.errors import UserError
from tsimage.readers.delimited import Rows
from tsimage.readers.dialect import UnreadableError

_MOST_VALUES_PER_BYTE = 50
_FREE_VALUES = 2**24  # few constant columns shrink a lot and harm nobody


class ParquetFile:
    """A parquet file whose rows are read when its columns are known.

    Parameters
    ----------
    content : bytes
    file : object
        Name for errors.

    Raises
    ------
    UserError
        If pyarrow is not installed, or the file is damaged or claims more values than such a file can hold.
    """

    def __init__(self, content: bytes, file: object) -> None:
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise UserError(f"{file}: reading parquet needs pyarrow: pip install 'tsimage[parquet]'") from error
        self._label = file
        try:
            self._file = parquet.ParquetFile(io.BytesIO(content))
            self.columns: tuple[str, ...] = tuple(map(str, self._file.schema_arrow.names))
            n_values = self._file.metadata.num_rows * max(1, self._file.metadata.num_columns)
        except (ValueError, OSError, OverflowError, MemoryError, ArrowException) as error:
            raise self._damaged(error) from error
        if len(set(self.columns)) < len(self.columns):
            raise UserError(f"{file}: a column name stands there more than once: give every column a name of its own")
        if n_values > max(_FREE_VALUES, _MOST_VALUES_PER_BYTE * len(content)):
            raise UnreadableError(
                f"{file}: claims {n_values:,} values in {len(content):,} bytes, allowed are {_MOST_VALUES_PER_BYTE} for each "
                "byte: save it anew without repetitions or leave it out"
            )

    def rows(self, columns: Sequence[str]) -> Rows:
        """Read these columns.

        Raises
        ------
        UserError
            If they are damaged, or hold lists or records instead of values.
        """
        from pyarrow import ArrowException, types

        for name in columns:
            if types.is_nested(self._file.schema_arrow.field(name).type):
                raise UserError(f"{self._label}: column '{name}' holds lists or records: write one value a cell")
        try:
            table = self._file.read(columns=list(columns))
            table.validate(full=True)  # text that is no UTF-8 would only be found cell by cell
            frame = table.to_pandas(ignore_metadata=True)
        except (ValueError, OSError, OverflowError, MemoryError, ArrowException) as error:
            raise self._damaged(error) from error
        return Rows(
            columns=frame,
            lines=np.arange(len(frame)),
            order=np.arange(len(frame)),
            n_read=len(frame),
            comments=np.empty(0, dtype=np.int64),
        )

    def _damaged(self, error: BaseException) -> UnreadableError:
        reason = " ".join(str(error).split())
        return UnreadableError(f"{self._label}: not a readable table ({reason}): mend the file or leave it out")
