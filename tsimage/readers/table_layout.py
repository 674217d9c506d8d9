"""Which columns the options name, and whether all tables of one set have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tsimage.errors import UserError, unknown
from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions
from tsimage.windows import matching

_LONG = ("channel_column", "value_column")
_NAMED = 10


class TableLayout:
    """How the tables of one set are laid out; all have the same columns, in any order."""

    def __init__(self, options: ReadOptions, is_one: bool) -> None:
        self.options, self.is_one = options, is_one
        self._named = named_columns(options)
        self._first: object = None
        self._channels: tuple[str, ...] = ()
        self._dialects: dict[str, list[str]] = {}
        self._not_asked: Counter[str] = Counter()

    def columns(self, file: object, columns: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
        """Return the columns to read, and the channels: columns, or patterns of the words in the channel column."""
        for what, name in self._named.items():
            if name not in columns:
                raise self._missing(file, what, name, columns)
        if long_columns(self.options) is not None:
            channels, read = self.options.channels, list(self._named.values())
            self._first = self._first or file
            return list(dict.fromkeys(read)), self._channels or channels
        taken = set(self._named.values()) - set(self.options.channels)
        free = tuple(column for column in columns if column not in taken)
        for name in self._channels:
            if name not in free:
                raise self._missing(file, "channel", name, columns)
        channels = matching(f"channel column in {file}", self.options.channels, free)
        extra = [name for name in channels if self._channels and name not in self._channels]
        if extra:
            raise UserError(
                f"{file}: column '{extra[0]}' is one of the channels {', '.join(self.options.channels)} but {self._first} "
                "does not have it: every file needs the same channels; name those that all have"
            )
        self._channels = self._channels or channels
        self._first = self._first or file
        return list(dict.fromkeys([*self._named.values(), *self._channels])), self._channels

    def settle(self, channels: tuple[str, ...]) -> None:
        """Hold the channels that the first long table has against all others."""
        if channels:
            self._channels = channels

    def leave_out(self, rows: Mapping[str, int]) -> None:
        """Take down how many rows of a long table are of channels that were not asked for."""
        self._not_asked.update(rows)

    def describe(self, file: str, dialect: str) -> None:
        """Take down how a text is written."""
        self._dialects.setdefault(dialect, []).append(file)

    def say(self, ledger: Ledger) -> None:
        """State how the texts are written, files of one kind together, and which channels were not asked for."""
        if self._not_asked:
            names = sorted(self._not_asked)
            more = "" if len(names) <= _NAMED else f" and {len(names) - _NAMED:,} more"
            ledger.say(
                f"{self._not_asked.total():,} rows of the channel{'s'[: len(names) > 1]} {', '.join(names[:_NAMED])}{more} "
                "were not asked for and are not counted"
            )
        for dialect, files in self._dialects.items():
            more = "" if len(files) == 1 else f" and {len(files) - 1:,} more"
            ledger.say(f"{files[0]}{more}: {dialect}")

    def _missing(self, file: object, what: str, name: str, columns: tuple[str, ...]) -> UserError:
        if self._first is None:
            return unknown(f"{what} column in {file}", name, columns)
        return UserError(
            f"{file}: there is no {what} column '{name}', which {self._first} has (here are {', '.join(columns)}): every file "
            "needs the same columns; name them alike, or leave the file out"
        )


def check_table_options(path: object, options: ReadOptions, from_path: tuple[str, ...]) -> None:
    """Refuse options that contradict each other or lack another.

    Raises
    ------
    UserError
        In one sentence.
    """
    if options.time is None and options.rate is None:
        raise UserError(f"{path}: the sampling rate is unknown: name the time column or give the rate in Hz")
    if options.subject is not None and options.subject == options.recording:
        raise UserError(
            f"{path}: subject and recording are the same column '{options.subject}': name it as subject only"
        )
    if options.time_unit is not None and options.time is None:
        raise UserError(f"{path}: time-unit {options.time_unit} needs the name of the time column (option time)")
    for what in from_path:
        column = getattr(options, what)
        if column is not None:
            raise UserError(
                f"{path}: the {what} is told twice, by path-pattern '{options.path_pattern}' and by column '{column}': "
                "keep one of them"
            )
    lacking = [name for name in (*_LONG, "time") if getattr(options, name) is None]
    if options.layout == "long":
        if lacking:
            raise UserError(
                f"{path}: a long table has one row per sample and channel: name its columns of the channel, the value and "
                f"the time (missing are the options {', '.join(lacking).replace('_', '-')})"
            )
    elif len(set(lacking) & set(_LONG)) < len(_LONG):
        raise UserError(
            f"{path}: channel-column and value-column are for long tables: pass layout 'long', or leave them out"
        )


def long_columns(options: ReadOptions) -> tuple[str, str] | None:
    """Return the columns of the channel and of the value in a long table; None for a wide one."""
    if options.layout == "wide" or options.channel_column is None or options.value_column is None:
        return None
    return options.channel_column, options.value_column


def named_columns(options: ReadOptions) -> dict[str, str]:
    """Return the columns that the options name one by one: what they hold, and their name."""
    named = {what: getattr(options, what) for what in ("time", "label", "subject", "recording", *_LONG)}
    if options.label == "":
        del named["label"]
    return {what.removesuffix("_column"): name for what, name in named.items() if name is not None}


def text_columns(options: ReadOptions) -> list[str]:
    """Return the columns that stay as they are written ('01' is not 1)."""
    named = named_columns(options)
    return list(dict.fromkeys(named[what] for what in ("label", "subject", "recording", "channel") if what in named))
