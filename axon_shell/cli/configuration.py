"""`axon-shell config`: where config.toml is, what is in force and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..config import config_path, read_config
from .shared import as_json, tell_problems


@click.group("config")
def config_() -> None:
    """The configuration."""


@config_.command()
@as_json
def path(as_json: bool) -> None:
    """Print where config.toml is looked for."""
    found = config_path()
    click.echo(json.dumps({"path": str(found), "exists": found.exists()}) if as_json else found)


@config_.command()
@as_json
def show(as_json: bool) -> None:
    """Print the configuration in force: defaults, the file and AXON_OFFLINE."""
    values = asdict(read_config().config)
    if as_json:
        click.echo(json.dumps(values))
        return
    import tomlkit

    click.echo(tomlkit.dumps(values), nl=False)


@config_.command()
@as_json
def check(as_json: bool) -> int:
    """Say what is wrong with config.toml and with the models, SAEs and plugins that it names."""
    from ..plugins import catalogue_from

    found = read_config()
    problems = catalogue_from(found).problems
    if as_json:
        click.echo(json.dumps([asdict(problem) for problem in problems]))
    else:
        tell_problems(problems)
        if not problems:
            click.echo(f"{found.path}: no problems" if found.exists else f"{found.path} does not exist: all is default")
    return 1 if problems else 0
