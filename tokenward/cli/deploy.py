"""`tokenward deploy`: an artifact on Triton Inference Server, and the files to run it in containers."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from ..runtime.confirmation import Fallback
from ..runtime.verdict import Mode

Repository = Annotated[Path, typer.Argument(help="Model repository.", metavar="REPO")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    deploy = typer.Typer(help="Put an artifact on Triton Inference Server.", no_args_is_help=True)
    deploy.command(epilog="Example: `tokenward deploy triton artifacts/demo/guarded --out models --name sentiment`")(
        triton
    )
    deploy.command("local-triton", epilog="Example: `tokenward deploy local-triton models`")(local_triton)
    deploy.command(epilog="Example: `tokenward deploy containers models --out containers --image reg.example/guard:1`")(
        containers
    )
    app.add_typer(deploy, name="deploy")


def triton(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.", metavar="ARTIFACT")],
    out: Annotated[Path, typer.Option(help="Model repository; it may hold other models.")],
    name: Annotated[str | None, typer.Option(help="Model that clients call. [default: the artifact's folder]")] = None,
    labels: Annotated[str | None, typer.Option(help="Class names in order, separated by commas.")] = None,
    max_batch: Annotated[int, typer.Option(help="Most texts in a request and in a merged batch.")] = 32,
    queue_delay_us: Annotated[int, typer.Option(help="How long a request may wait for batch mates.")] = 1000,
    queue_size: Annotated[
        int, typer.Option(help="Refuse requests when so many wait; may stall others. 0: no limit.")
    ] = 0,
    queue_timeout_ms: Annotated[
        int, typer.Option(help="Refuse requests that waited so long; may stall others. 0: no limit.")
    ] = 0,
    instances: Annotated[int, typer.Option(help="Python processes, and graph instances per device.")] = 1,
    gpu: Annotated[int, typer.Option(help="GPUs that the graph runs on; 0: CPU.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of a graph on CPU; 0: one per core.")] = 0,
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="For servers without the onnxruntime backend.")
    ] = False,
    mode: Annotated[Mode, typer.Option(help="What requests get that do not say a mode.")] = "enforce",
    fallback: Annotated[Fallback, typer.Option(help="What happens when second looks cost too much.")] = "repair",
    max_text_bytes: Annotated[int, typer.Option(help="Refuse longer texts.")] = 20_000,
) -> None:
    """Write the artifact as models of a Triton model repository."""
    from ..deploy.repository import write_repository
    from ..deploy.settings import TritonSettings
    from .console import results

    chosen: dict[str, Any] = {
        "name": name or artifact.resolve().name,
        "labels": tuple(label.strip() for label in labels.split(",")) if labels is not None else None,
        "max_batch": max_batch,
        "queue_delay_us": queue_delay_us,
        "queue_size": queue_size,
        "queue_timeout_ms": queue_timeout_ms,
        "instances": instances,
        "gpus": gpu,
        "threads": threads,
        "self_contained": self_contained,
        "mode": mode,
        "fallback": fallback,
        "max_text_bytes": max_text_bytes,
    }
    written = write_repository(artifact, out, TritonSettings(**chosen))
    console = results()
    for folder in written:
        console.print(f"[green]✓[/] {folder}", soft_wrap=True)
    console.print(f"try it here: tokenward deploy local-triton {out}", soft_wrap=True)


def local_triton(
    repository: Repository,
    http_port: Annotated[int, typer.Option(help="0: any free port.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="0: any free port.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="0: any free port.")] = 8002,
) -> None:
    """Run a real Triton server here, without a container, until Ctrl-C.

    The server is NVIDIA's, fetched into your cache on first use. Its onnxruntime backend is a stand-in of this
    project: good for trials and tests, not for production.
    """
    from ..deploy.local_triton import LocalTriton, Ports
    from .console import notes, results

    ports = Ports(http_port, grpc_port, metrics_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server must not outlive this command
    with LocalTriton(repository, ports, note=notes().print) as server:
        console = results()
        console.print(f"HTTP    {server.http_url}\ngRPC    {server.grpc_url}\nmetrics {server.metrics_url}")
        console.print(f"log     {server.log}", soft_wrap=True)
        notes().print("test equipment: the onnxruntime backend is a stand-in; Ctrl-C ends the server")
        try:
            status = server.wait()
        except KeyboardInterrupt:
            return
    raise typer.Exit(status)


def containers(
    repository: Repository,
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    image: Annotated[str, typer.Option(help="Name and tag that the image gets.")],
    name: Annotated[str, typer.Option(help="Name of the Kubernetes objects.")] = "tokenward",
    gpu: Annotated[int, typer.Option(help="GPUs for each server.")] = 0,
    replicas: Annotated[int, typer.Option(help="Fewest servers.")] = 2,
    max_replicas: Annotated[int, typer.Option(help="Most servers.")] = 8,
    queue_target_us: Annotated[int, typer.Option(help="Add servers when requests queue for longer.")] = 20_000,
) -> None:
    """Write Dockerfile, compose file with Prometheus and Grafana, and Kubernetes and KServe manifests."""
    from ..deploy.containers import ContainerSettings, write_containers
    from .console import results

    settings = ContainerSettings(image, name, gpu, replicas, max_replicas, queue_target_us)
    console = results()
    for file in write_containers(repository, out, settings):
        console.print(f"[green]✓[/] {file}", soft_wrap=True)
