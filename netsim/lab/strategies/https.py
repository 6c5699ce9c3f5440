"""N times one HTTPS download: curl on every node, nginx on the server. The line no boot may ever be slower than."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netsim.lab.rack.layout import SERVER_ADDRESS
from netsim.lab.strategies.certificate import write_certificate
from netsim.lab.strategies.strategy import NodeProgram

if TYPE_CHECKING:
    from pathlib import Path

    from netsim.lab.rack.layout import Node
    from netsim.lab.strategies.strategy import RunContext

PORT = 8443


def nginx_configuration(root: Path, *, listen: str, tls: tuple[Path, Path] | None = None) -> str:
    """Return a configuration that serves `root` and keeps every file of its own below `root`'s parent.

    `tls` is a certificate and its key; without them it speaks plain HTTP.
    """
    scratch = root.parent
    certificate = f"        ssl_certificate {tls[0]};\n        ssl_certificate_key {tls[1]};\n" if tls else ""
    folders = "".join(
        f"    {kind}_temp_path {scratch}/nginx-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        "daemon off;\nuser root;\nworker_processes 1;\nerror_log stderr;\n"
        f"pid {scratch}/nginx.pid;\n"
        "events { worker_connections 4096; }\n"
        "http {\n    access_log off;\n"
        f"{folders}"
        "    server {\n"
        f"        listen {listen}{' ssl' if tls else ''} backlog=4096;\n"
        f"{certificate}"
        f"        root {root};\n"
        "    }\n}\n"
    )


class Https:
    """Plain HTTPS from one server."""

    tools: ClassVar[dict[str, str]] = {"nginx": "nginx-light", "curl": "curl"}
    moves_whole_release = False

    def serve(self, context: RunContext) -> None:
        """Start nginx on the release directory."""
        certificate_path, key_path = context.directory / "server.pem", context.directory / "server.key"
        write_certificate(SERVER_ADDRESS, certificate_path=certificate_path, key_path=key_path)
        root = context.directory / "served"
        root.mkdir()
        (root / "image").symlink_to(context.payload.image.resolve())
        configuration = context.directory / "nginx.conf"
        listen = f"{SERVER_ADDRESS}:{PORT}"
        configuration.write_text(nginx_configuration(root, listen=listen, tls=(certificate_path, key_path)))
        nginx = context.start_server("nginx", "nginx", "-e", "stderr", "-c", str(configuration))
        context.await_port(nginx, PORT)

    def join(self, context: RunContext, node: Node) -> NodeProgram:
        """Return one curl; the node is complete when it ends."""
        target = context.node_folder(node) / "image"
        return NodeProgram(
            (
                "curl", "--silent", "--show-error", "--fail", "--cacert", str(context.directory / "server.pem"),
                "--output", str(target), f"https://{SERVER_ADDRESS}:{PORT}/image",
            )
        )  # fmt: skip
