"""The command ``epp``."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from epp import __version__
from epp.demo import StackOptions, run_demo
from epp.demo.envoy import BodyMode
from epp.demo.process import PartError
from epp.demo.stack import MODEL, MODEL_SERVER_PORTS
from epp.flags import Duration, go_options, ignored, options_of
from epp.kube.objects import NEW_POOL_GROUP, POOL_VERSIONS
from epp.observability import make_logger
from epp.observability.logs import adopt_library_logs
from epp.plugin import ConfigurationError, Rejection
from epp.settings import Settings
from epp.simulator import EngineSettings, run_servers

EXIT_BAD_START = 2
"""A wrong flag or configuration, as click itself exits on wrong usage."""

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "EPP"})
@click.version_option(__version__, prog_name="epp")
def main() -> None:
    """Endpoint Picker: names the model server for every LLM request that Envoy asks about."""


@main.command()
@options_of(Settings)
@go_options
def serve(**flags: Any) -> None:  # noqa: ANN401 - one for each field of Settings
    """Run the picker."""
    from epp.app import serve as run  # noqa: PLC0415 - grpc takes its time to import, and other commands do without

    without_effect = ignored(flags)
    settings = Settings(**flags)
    if settings.config_file is not None and settings.config_text is not None:
        raise click.UsageError("--config-file and --config-text exclude each other")
    log = make_logger(settings.v)
    adopt_library_logs(log)
    for flag, reason in without_effect.items():
        log.warning("flag_ignored", flag=flag, reason=reason)
    _exit_on_failed_start(lambda: asyncio.run(run(settings, log)))


def _exit_on_failed_start(run: Callable[[], T]) -> T:
    """Run; when that fails for a reason that a person can mend, print each problem on a line and exit with 2."""
    try:
        return run()
    except (ConfigurationError, PartError, OSError) as error:
        failures: list[BaseException] = [error]
    except BaseExceptionGroup as group:
        failures = list(_leaves(group))
        if not all(isinstance(failure, ConfigurationError | PartError | OSError) for failure in failures):
            raise
    for failure in failures:
        for line in str(failure).splitlines():
            click.echo(f"epp: {line}", err=True)
    sys.exit(EXIT_BAD_START)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for exception in group.exceptions:
        if isinstance(exception, BaseExceptionGroup):
            yield from _leaves(exception)
        else:
            yield exception


@main.command("check-config")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--against", metavar="PAGE", help="Metrics page of an engine, a URL or a file: does it fit together?")
@click.option("--strict", is_flag=True, help="Exit 1 for advice too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is printed.")
def check_config(file: Path, against: str | None, strict: bool, form: str) -> None:  # noqa: FBT001 - click's
    """Tell whether FILE is a valid EndpointPickerConfig: exit 0, or 1 after printing every problem.

    What is valid and will hurt all the same is printed as advice.
    """
    from epp.checking import check_text  # noqa: PLC0415 - plugins are imported when they are asked for
    from epp.engine_page import page_of  # noqa: PLC0415 - likewise

    try:
        page = None if against is None else asyncio.run(page_of(against))
    except ConfigurationError as error:
        click.echo(f"epp: {error}", err=True)
        sys.exit(1)
    try:
        report = check_text(file.read_text(), page)
    except (UnicodeDecodeError, OSError) as error:
        click.echo(f"{file}: {error}", err=True)
        sys.exit(1)
    if form == "json":
        click.echo(report.as_json(str(file)))
    else:
        for line in report.complaints(str(file)):
            click.echo(line, err=True)
        for line in report.summary(str(file)):
            click.echo(line)
    sys.exit(1 if report.errors or (strict and report.advice) else 0)


@main.command()
@click.argument("request", type=click.Path(allow_dash=True, exists=True, dir_okay=False))
@click.option("--config-file", type=click.Path(exists=True, dir_okay=False), help="EndpointPickerConfig; the default.")
@click.option("--endpoint", "endpoints", multiple=True, help="A live model server as HOST:PORT; repeatable.")
@click.option(
    "--snapshot",
    type=click.Path(exists=True, dir_okay=False),
    help="In their place what a picker's /debug/endpoints has said.",
)
@click.option("--path", default="/v1/chat/completions", show_default=True, help="Path of the request.")
@click.option("--header", "-H", "headers", multiple=True, help="A header of the request as NAME: VALUE; repeatable.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is printed.")
def explain(  # noqa: PLR0913 - one for each option
    *,
    request: str,
    config_file: str | None,
    endpoints: tuple[str, ...],
    snapshot: str | None,
    path: str,
    headers: tuple[str, ...],
    form: str,
) -> None:
    """Show which endpoint the request in file REQUEST would get, and why; - reads it from standard input."""
    from epp import explaining  # noqa: PLC0415 - plugins are imported when they are asked for

    if bool(endpoints) == (snapshot is not None):
        raise click.UsageError(
            "give either --endpoint, as often as there are servers, or --snapshot; "
            "a discovery in the configuration is not asked"
        )
    question = explaining.read_question(request, path=path, headers=headers, endpoints=endpoints, snapshot=snapshot)
    try:
        text = None if config_file is None else Path(config_file).read_text()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{config_file}: {error}") from error
    run = partial(explaining.explain, text, question, file=config_file or "FILE")
    try:
        document = _exit_on_failed_start(lambda: asyncio.run(run()))
    except Rejection as rejection:
        click.echo(f"epp: the request is refused with {rejection.refusal.status}: {rejection.message}", err=True)
        sys.exit(1)
    click.echo(explaining.as_json(document) if form == "json" else explaining.as_table(document))


@main.command()
@click.option("--pool-name", required=True, help="InferencePool that is looked at.")
@click.option(
    "--pool-namespace",
    default="",
    envvar="NAMESPACE",
    help="Its namespace; that of the kubeconfig's context, or of the pod.",
)
@click.option(
    "--pool-group",
    type=click.Choice(list(POOL_VERSIONS)),
    default=NEW_POOL_GROUP,
    show_default=True,
    help="Its API group: v1 of the first, v1alpha2 of the second.",
)
@click.option("--gateway", metavar="NAME", help="Look at this Gateway only, not at all that lead to the pool.")
@click.option("--url", help="Where to send the request; the Gateway's address when left out.")
@click.option("--model", metavar="NAME", help="Model of the request; the first that is served when left out.")
@click.option(
    "--timeout", type=Duration(least_s=0.1), default="10s", show_default=True, help="How long any answer may take."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is printed.")
def doctor(*, form: str, timeout: float, **flags: Any) -> None:  # noqa: ANN401 - one for each option
    """Look for what keeps requests from a pool's model servers: pool, picker, rights, servers, routes, one request.

    Exit 1 when something is wrong, 2 when there is no cluster. Changes nothing.
    """
    from epp.doctor import Question, examine  # noqa: PLC0415 - grpc takes its time to import

    report = _exit_on_failed_start(lambda: asyncio.run(examine(Question(timeout_s=timeout, **flags))))
    click.echo(report.as_json() if form == "json" else report.as_table())
    sys.exit(1 if report.has_failed else 0)


@main.command("config-schema")
def print_schema() -> None:
    """Print a JSON schema of EndpointPickerConfig files, for editors, with the parameters of the installed plugins."""
    from epp.registry import Registry  # noqa: PLC0415 - plugins are imported when they are asked for
    from epp.schema import config_schema  # noqa: PLC0415 - likewise

    click.echo(msgspec.json.format(msgspec.json.encode(config_schema(Registry.installed()))).decode())


@main.command()
@click.argument("name", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or programs.",
)
def plugins(name: str | None, form: str) -> None:
    """List the installed plugin types, or show the one of this NAME: what it is, and its parameters."""
    from epp.catalogue import Form, catalogue  # noqa: PLC0415 - plugins are imported when they are asked for
    from epp.registry import Registry  # noqa: PLC0415 - likewise

    click.echo(_exit_on_failed_start(lambda: catalogue(Registry.installed(), name, Form(form))))


@main.command()
@click.option(
    "--port",
    multiple=True,
    type=click.IntRange(1, 65_535),
    help="Port of a model server; repeatable.",
    default=MODEL_SERVER_PORTS,
    show_default=True,
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--model",
    multiple=True,
    default=(MODEL,),
    show_default=True,
    help="Model name that the servers answer to; repeatable.",
)
@options_of(EngineSettings)
def simulate(port: tuple[int, ...], host: str, model: tuple[str, ...], **flags: float) -> None:
    """Run simulated model servers: OpenAI's chat completions, completions and models, and vLLM's metrics."""
    engine = EngineSettings(**flags)  # type: ignore[arg-type] # click has converted each to its field's type
    _exit_on_failed_start(lambda: asyncio.run(run_servers(engine, host=host, ports=port, models=model)))


@main.command()
@click.option(
    "--body-mode",
    type=click.Choice([mode.value for mode in BodyMode]),
    default=BodyMode.FULL_DUPLEX.value,
    show_default=True,
    help="How Envoy shows request bodies to the picker.",
)
@click.option("--traffic", is_flag=True, help="Send conversations that share prompt beginnings.")
@click.option("--duration", type=Duration(), help="Stop after this time, such as 20s; at Ctrl-C when left out.")
@click.option(
    "--config-file",
    type=click.Path(exists=True, dir_okay=False),
    help="EndpointPickerConfig of the picker; its pool is the demo's.",
)
def demo(body_mode: str, traffic: bool, duration: float | None, config_file: str | None) -> None:  # noqa: FBT001 - click's
    """Run simulated model servers, the picker and a real Envoy on loopback, and show where requests go."""
    picker_flags = ("--config-file", config_file) if config_file else ()
    options = StackOptions(body_mode=BodyMode(body_mode), picker_flags=picker_flags)
    errors = _exit_on_failed_start(
        lambda: asyncio.run(run_demo(options, traffic=traffic, duration_s=duration, echo=click.echo))
    )
    sys.exit(1 if errors else 0)
