"""The command ``epp``."""

import asyncio
import sys
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from epp import __version__
from epp.demo import StackOptions, run_demo
from epp.demo.envoy import BodyMode
from epp.demo.process import StartError
from epp.observability import make_logger
from epp.observability.logs import adopt_library_logs
from epp.plugin import ConfigurationError
from epp.settings import Duration, Settings, field_docs, parse_duration
from epp.simulator import EngineSettings, run_servers

EXIT_BAD_START = 2
"""A wrong flag or configuration, as click itself exits on wrong usage."""


_Command = Callable[..., None]


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if not isinstance(value, str):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="epp")
def main() -> None:
    """Endpoint Picker: names the model server for every LLM request that Envoy asks about."""


def options_of(struct: type[msgspec.Struct]) -> Callable[[_Command], _Command]:
    """Return a decorator that gives a command one option for each field of a struct."""

    def decorate(command: _Command) -> _Command:
        docs = field_docs(struct)
        for field in reversed(msgspec.structs.fields(struct)):
            command = _option(field, docs.get(field.name, ""))(command)
        return command

    return decorate


def _option(field: msgspec.structs.FieldInfo, doc: str) -> Callable[[_Command], _Command]:
    attributes: dict[str, Any] = {"help": doc, "default": field.default, "show_default": True}
    if field.type is bool:
        # As Go spells them: `--flag`, `--flag=true`, `--flag=false`.
        attributes |= {"type": click.BOOL, "is_flag": False, "flag_value": True}
    elif field.type is Duration:
        attributes |= {"type": _Duration(), "default": f"{field.default:g}s"}
    elif field.type is float:
        attributes |= {"type": click.FLOAT}
    elif field.type is int:
        attributes |= {"type": click.INT}
    elif typing.get_origin(field.type) is tuple:
        attributes |= {"multiple": True, "show_default": False}
    elif isinstance(field.type, types.UnionType):
        attributes |= {"show_default": False}
    names = [f"--{field.name.replace('_', '-')}"] + (["-v"] if field.name == "v" else [])
    return click.option(*names, field.name, **attributes)


@main.command()
@options_of(Settings)
def serve(**flags: Any) -> None:  # noqa: ANN401 - one for each field of Settings
    """Run the picker."""
    from epp.app import serve as run  # noqa: PLC0415 - grpc takes its time to import, and other commands do without

    settings = Settings(**flags)
    if settings.config_file is not None and settings.config_text is not None:
        message = "--config-file and --config-text exclude each other"
        raise click.UsageError(message)
    log = make_logger(settings.v)
    adopt_library_logs(log)
    _exit_on_failed_start(lambda: asyncio.run(run(settings, log)))


def _exit_on_failed_start(run: Callable[[], None]) -> None:
    """Run; when that fails for a reason that a person can mend, print each problem on a line and exit with 2."""
    failures: list[BaseException] = []
    try:
        run()
    except* (ConfigurationError, StartError, OSError) as group:
        failures.extend(_leaves(group.exceptions))
    if failures:
        for failure in failures:
            for line in str(failure).splitlines():
                click.echo(f"epp: {line}", err=True)
        sys.exit(EXIT_BAD_START)


def _leaves(exceptions: Iterable[BaseException]) -> Iterable[BaseException]:
    for exception in exceptions:
        if isinstance(exception, BaseExceptionGroup):
            yield from _leaves(exception.exceptions)
        else:
            yield exception


@main.command("check-config")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_config(file: Path) -> None:
    """Tell whether FILE is a valid EndpointPickerConfig: exit 0, or 1 after printing every problem."""
    from epp.app import assemble_text, make_metrics  # noqa: PLC0415 - as in `serve`

    try:
        assembly = assemble_text(file.read_text(), metrics=make_metrics(), log=make_logger(0, stream=sys.stderr))
    except (ConfigurationError, UnicodeDecodeError) as error:
        for line in str(error).splitlines():
            click.echo(f"{file}: {line}", err=True)
        sys.exit(1)
    for profile in assembly.profiles:
        scorers = ", ".join(f"{one.name} x {one.weight:g}" for one in profile.scorers)
        click.echo(f"{file}: ok: profile {profile.name}: {scorers or 'no scorer'}")


@main.command()
@click.option("--port", multiple=True, type=int, help="Port of a model server; repeatable. [default: 8101 8102 8103]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--model", default="tiny", show_default=True, help="Model name that the servers answer to.")
@options_of(EngineSettings)
def simulate(port: tuple[int, ...], host: str, model: str, **flags: float) -> None:
    """Run simulated model servers: the OpenAI API and vLLM's metrics, without a model."""
    engine = EngineSettings(**flags)  # type: ignore[arg-type] # click has converted each to its field's type
    _exit_on_failed_start(
        lambda: asyncio.run(run_servers(engine, host=host, ports=port or (8101, 8102, 8103), model=model))
    )


@main.command()
@click.option(
    "--body-mode",
    type=click.Choice([mode.value for mode in BodyMode]),
    default=BodyMode.FULL_DUPLEX.value,
    show_default=True,
    help="How Envoy shows request bodies to the picker.",
)
@click.option("--traffic", is_flag=True, help="Send conversations that share prompt beginnings.")
@click.option("--duration", type=_Duration(), help="Stop after this time, such as 20s. [default: at Ctrl-C]")
@click.option("--config-file", type=click.Path(exists=True, dir_okay=False), help="EndpointPickerConfig of the picker.")
def demo(body_mode: str, traffic: bool, duration: float | None, config_file: str | None) -> None:  # noqa: FBT001 - click's
    """Run simulated model servers, the picker and a real Envoy on loopback, and show where requests go."""
    picker_flags = ("--config-file", config_file) if config_file else ()
    options = StackOptions(body_mode=BodyMode(body_mode), picker_flags=picker_flags)
    errors = 0

    def run() -> None:
        nonlocal errors
        errors = asyncio.run(run_demo(options, traffic=traffic, duration_s=duration, echo=click.echo))

    _exit_on_failed_start(run)
    sys.exit(1 if errors else 0)
