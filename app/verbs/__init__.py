"""The verbs of the command line. Each is one function of a file here, by who asks for it; what it does is elsewhere."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated

import typer

from app.words import examples

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help=examples("run                       build, gate and publish the built-in dataset", "run pneumonia --dry-run   say what would run")
    + "\n\nTurns private medical images into synthetic datasets that can be shared, and stands behind each one.\n\n"
    "Exit codes: 0 done, 1 error, 2 usage, 3 a gate failed, 4 approval needed, 5 integrity mismatch. "
    "Data goes to stdout, words to stderr. NO_COLOR is honoured; SYNTHMILL_TRACEBACK=1 shows where an error came from.",
)


def verb(*lines: str, name: str | None = None) -> Callable[[Callable], Callable]:
    """Makes a function a verb of the command line: examples first in its help, then its docstring."""

    def add(function: Callable) -> Callable:
        words = inspect.cleandoc(function.__doc__ or "")
        return app.command(name, help=f"{examples(*lines)}\n\n{words}", short_help=re.split(r"\.\s|\.$", words)[0].replace("\n", " "))(
            function
        )

    return add


def dataset_names(incomplete: str) -> list[str]:
    """For the shell's completion: the datasets of params.yaml."""
    from schema.params import load

    return [name for name in load().datasets if name.startswith(incomplete)]


DatasetName = Annotated[str, typer.Argument(metavar="DATASET", help="its name in params.yaml", autocompletion=dataset_names)]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout and nothing else there")]
ForceStage = Annotated[str | None, typer.Option(metavar="STAGE", help="run this stage even if nothing changed, such as 'gate replica'")]
ReleaseSpec = Annotated[
    str, typer.Argument(metavar="RELEASE", help="name@v1.0.0, a range (name@^1) or a stage (name@prod); the name alone for the latest")
]
BUILT_IN = "phantom-cxr"
