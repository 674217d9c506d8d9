"""A grid done from Python, in this process."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from distill.grid import GridPlan, prepare
from distill.grid_table import grid_table
from distill.gridfile import Grid, read_grid
from distill.keeping import Keeping
from distill.progress import Progress
from distill.worker import Worker, check_together
from tsimage.windows import Windows


def run_grid(
    grid: Grid | str | Path,
    folder: str | Path | None = None,
    windows: Windows | None = None,
    progress: Progress | None = None,
    keeping: Keeping | None = None,
    together: int = 1,
) -> pd.DataFrame:
    """Do what is missing of a grid in this process, and return its table.

    Parameters
    ----------
    grid : Grid, str or Path
        As `distill.read_grid` returns it, or the path of its TOML file.
    folder : str or Path, optional
        Of the grid; by default below `runs/`, named by the file.
    windows : Windows, optional
        In place of the data that the runs name.
    progress : Progress, Plain or Terminal, optional
        Who is told; by default nobody.
    keeping : Keeping, optional
        How trainings are kept on disk while they go on.
    together : int
        Train up to so many networks of one kind in the same steps; what comes out differs by rounding. It is meant for GPUs,
        where small networks are bound by launches; on a CPU it loses a tenth.

    Returns
    -------
    DataFrame
        One row per model of every run; see `distill.grid_table.grid_table`.

    Raises
    ------
    UserError
        For anything wrong in the file or the data, an impossible run, or a folder of something else; a training that fails is
        kept as `failed.json`, and its runs are `missing` in the table.
    """
    check_together(together)
    made = grid if isinstance(grid, Grid) else read_grid(grid)
    plan = GridPlan(made.runs, Path("runs") / made.name if folder is None else Path(folder), windows)
    prepare(plan)
    Worker(plan, progress or Progress(), keeping, together=together).work()
    return grid_table(plan.folder)
