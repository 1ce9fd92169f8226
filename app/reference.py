"""Writes the reference of the command line from its own help texts.

python -m app.reference > docs/cli.md
"""

import os

os.environ.pop("SYNTHMILL_COMMAND", None)  # the reference names the command as it is installed

import typer

from app.cli import app

WIDTH = 100
HEAD = """# The command line

Made from the help texts by `./mill python -m app.reference > docs/cli.md`; a test compares the two.
In a checkout `./mill` is the command: `./mill run pneumonia` is `synthmill run pneumonia`. Beside the verbs it has
`./mill test [pytest's arguments]`, `./mill lint`, and `./mill python|dvc|gto|mlflow|prefect ...`, which run these programs
from the environment that it keeps in `.venv`.
"""


def reference() -> str:
    """The whole of docs/cli.md: the help of `synthmill`, then that of each verb."""
    group = typer.main.get_command(app)
    parent = group.make_context("synthmill", [], resilient_parsing=True, terminal_width=WIDTH)
    verbs = [section(f"synthmill {name}", group.get_command(parent, name), parent) for name in group.list_commands(parent)]
    return "\n".join([HEAD, section("synthmill", group), *verbs])


def section(title: str, command, parent: typer.Context | None = None) -> str:
    context = command.make_context(title.split()[-1], [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)
    return f"## {title}\n\n```\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
