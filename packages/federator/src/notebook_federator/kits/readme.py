"""``README.md`` of a kit: two commands, what helps when they complain, and the same without the script."""

from __future__ import annotations

from urllib.parse import urlsplit

from .container import SiteContainer
from .script import apptainer_line, podman_line
from .texts import filled, template


def readme(container: SiteContainer) -> bytes:
    """The page, as Markdown."""
    url, reads = urlsplit(container.kit.server), container.image.reads_data
    load = "docker load --input images.tar\n" * bool(container.image.configuration)
    node = "export NBFED_NODE=HOSTNAME      # the node with the data: docker node ls\n"
    data = "export NBFED_DATA=/path/to/data\n" * reads
    return filled(
        template("readme.md"),
        site=container.kit.site,
        federation=container.kit.federation,
        host=url.hostname,
        port=url.port or 443,
        folder=" /path/to/data" if reads else "",
        no_folder="" if reads else " only if the coordinator says so",
        name=container.name,
        compose_files=" -f compose.yml -f compose.gpu.yml" if container.image.gpu else "",
        swarm=load + data + node,
        podman=podman_line(container),
        apptainer=apptainer_line(container),
    )
