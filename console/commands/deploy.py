"""`shoal deploy policies`: least privilege for each role, as files for the broker and the store."""

from pathlib import Path
from typing import Annotated

import typer

from console.access.policy_files import write_policies
from console.output import err, print_json
from model_store.process_settings import ProcessSettings, load_settings

deploy = typer.Typer(help="Files for a deployment on servers of your own.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deploy, name="deploy")


@deploy.callback()
def _keep_subcommands() -> None:
    """Files for a deployment on servers of your own."""


@deploy.command()
def policies(
    out: Annotated[Path, typer.Option(help="folder for the files; readable by its owner only")],
    limit_databases: Annotated[
        bool, typer.Option(help="keep roles to their databases; only Valkey from 9.1 on reads such a file")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="the paths, for scripts")] = False,
) -> None:
    """Write users and policies for producer, worker, trainer, console and an administrator.

    Servers, buckets and queues are those of the settings. Passwords and keys are made once and kept in the
    folder; DEPLOY_WORKER__PASSWORD, ..__ACCESS_KEY, ..__SECRET_KEY and so on for the others give your own.
    """
    files = write_policies(out, load_settings(ProcessSettings), limit_databases=limit_databases)
    if as_json:
        print_json([str(file) for file in files])
        return
    for file in files:
        err.print(str(file), highlight=False)
    err.print("how to use them: docs/security.md", highlight=False)
