"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from tsimage.errors import UserError


def main_for(program: str, description: str, commands: dict[str, Callable[..., Any]], args: Sequence[str] | None) -> None:
    """Run one of `commands`; a user's mistake is one sentence on stderr and exit code 2.

    `--debug` shows the traceback instead. Interrupting exits with 130.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands, prog=program, description=description, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
        )
    except UserError as error:
        if "--debug" in arguments:
            raise
        sys.stderr.write(f"{program}: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted; the same command continues with what is done\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
