"""`aerotile serve`."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import click

from ..command import command
from ..errors import BadInputError
from ..listening import listening_options, needs_extra, write_port
from ..new_files import refuse_own_folders
from ..output import flush_output, json_option, write_json_line, write_line
from ..session import Session


@command(
    "aerotile serve",
    "aerotile serve --base --port 0 --port-file port.txt",
    'aerotile serve --host 192.168.7.2 --name ground-station.local --attribution "Imagery: NASA"',
)
@listening_options(port=8087)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name that leads to this server; may be given again.",
)
@click.option("--base", "by_base", is_flag=True, help="Show the sealed base alone; opens no database.")
@click.option(
    "--attribution",
    "attributions",
    multiple=True,
    metavar="TEXT",
    help="Whom the imagery is owed to; may be given again.",
)
@json_option
@click.pass_obj
def serve(
    session: Session,
    host: str,
    port: int,
    port_file: Path | None,
    names: tuple[str, ...],
    by_base: bool,
    attributions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the map in a browser: imagery, coverage, freshness, sectors, and flights from their record.

    Nothing is changed, and nothing is fetched from elsewhere. Without a store the base in use is shown, for
    which no database is opened. It answers until it is stopped with Ctrl-C or SIGTERM, and anybody who
    reaches the address may look: there are no accounts. docs/serve.md has the addresses of all views.
    """
    with needs_extra("the map page", "serve"):
        from ...composition.serving_parts import ServingRuntime
        from ...map_page.application import MapPage
        from ...map_page.guard import KnownHosts, is_loopback
        from ...web_server import WebServer

    config = session.existing_config("base")
    base_alone = by_base or not config.has_store
    if port_file is not None:
        if not port_file.parent.is_dir():
            raise BadInputError(
                f"no folder {port_file.parent}", remedy="name a port file in a folder that exists"
            )
        refuse_own_folders(port_file, config)
    hosts = KnownHosts(names)
    with (
        ServingRuntime(config, base_alone=base_alone, attributions=attributions) as runtime,
        closing(MapPage(runtime.map_supply)) as page,
    ):
        server = WebServer(page.application(hosts), host=host, port=port)
        hosts.bind(server.address)
        if not is_loopback(server.address):
            click.echo(
                f"warning: {server.url} is reached from other machines; anybody who reaches it may look at "
                "everything, and nothing is encrypted",
                err=True,
            )
        server.start()
        with closing(server):
            write_port(port_file, server.port)
            if as_json:
                layers = [layer.name for layer in runtime.map_supply.layers()]
                write_json_line({"url": server.url, "layers": layers})
            else:
                write_line(f"{server.url} shows the map; Ctrl-C ends it")
            flush_output()
            with suppress(KeyboardInterrupt):  # the way to stop it, not a failure
                server.wait()
