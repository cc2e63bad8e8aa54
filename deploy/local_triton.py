"""A real Triton Inference Server on this machine, without a container: for trials and for the tests.

The server, its HTTP and gRPC front ends, scheduler, batcher and Python backend are NVIDIA's own, from a PyPI wheel.
The onnxruntime backend is a stand-in (:mod:`tokenward.deploy.standin_onnxruntime`): test equipment, not for production.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .probe import probe
from .triton_wheel import LocalTritonError, cached_numpy, cached_server, library_folder

# All that a model may import beside NumPy 1.26: what a container would need as well.
_MODEL_PACKAGES = ("tokenizers", "onnxruntime")


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1; 0 is replaced by a free one."""

    http: int = 0
    grpc: int = 0
    metrics: int = 0


class LocalTriton:
    """The server over one model repository; a context manager.

    Args:
        repository: the model repository.
        ports: where to listen, on 127.0.0.1 only.
        options: further options of ``tritonserver``.
        patience: seconds to wait for the models to answer.
        note: told what takes time.

    Attributes:
        ports: the ports in use, once started.
        log: the server's log file.
    """

    def __init__(
        self,
        repository: str | Path,
        ports: Ports = Ports(),
        options: Sequence[str] = (),
        patience: float = 120.0,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not Path(repository).is_dir():
            raise LocalTritonError(f"no model repository at '{repository}': write one with 'tokenward deploy triton'")
        if not any(Path(repository).glob("*/config.pbtxt")):
            raise LocalTritonError(f"'{repository}' holds no model: write one with 'tokenward deploy triton'")
        self.repository = Path(repository).resolve()
        self.ports = ports
        self._options = list(options)
        self._patience = patience
        self._note = note
        self._scratch = tempfile.TemporaryDirectory(prefix="tokenward-triton-", ignore_cleanup_errors=True)
        self._folder = Path(self._scratch.name)
        self.log = self._folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http_url(self) -> str:
        """``host:port`` as tritonclient wants it."""
        return f"127.0.0.1:{self.ports.http}"

    @property
    def grpc_url(self) -> str:
        """``host:port`` as tritonclient wants it."""
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics."""
        return f"http://127.0.0.1:{self.ports.metrics}/metrics"

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            LocalTritonError: it is not running.
        """
        if self._process is None:
            raise LocalTritonError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until every guarded model answers.

        Raises:
            LocalTritonError: it cannot be fetched, ends at once, or does not answer in time.
        """
        server = cached_server(self._note)
        backends, interpreter = self._backends(server), self._interpreter()
        self.ports = _free_ports(self.ports)
        command = [str(server / "bin" / "tritonserver"), f"--model-repository={self.repository}"]
        command += [f"--backend-directory={backends}", "--disable-auto-complete-config", "--exit-timeout-secs=5"]
        for kind in ("http", "grpc", "metrics"):
            command += [f"--{kind}-address=127.0.0.1", f"--{kind}-port={getattr(self.ports, kind)}"]
        command += ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"]
        command += ["--backend-config=python,shm-default-byte-size=1048576"]
        command += [f"--backend-config=python,shm-region-prefix-name={self._shared_memory()}", *self._options]
        libraries = [library_folder(), str(server.parents[1] / "nvidia_pytriton.libs")]
        environment = os.environ | {
            "PATH": f"{interpreter}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": ":".join(libraries),  # the stub's own path to them is lost with the copy
        }
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the caller alone, who then ends the server in order.
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int | None:
        """End the server in order and return its exit status; None where it was not running."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server and its models at once, as a crash would."""
        self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the server ends by itself and return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def close(self) -> None:
        """Stop the server and remove what it needed (the log too)."""
        self.stop()
        self._scratch.cleanup()

    def __enter__(self) -> LocalTriton:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self, first: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if first == signal.SIGTERM:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the server, if it is still there, and models it left behind
        for region in Path("/dev/shm").glob(f"{self._shared_memory()}*"):
            region.unlink(missing_ok=True)
        return process.wait()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + self._patience
        reason = "it has not loaded its models"
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                raise LocalTritonError(f"the server ended while starting: {self._complaint()}")
            try:
                for model in guarded_models(f"http://{self.http_url}"):
                    probe(model, f"http://{self.http_url}")
                return
            except (OSError, ValueError) as error:
                reason = str(error)
            time.sleep(0.1)
        raise LocalTritonError(f"the server gave no answer in {self._patience:g} s ({reason}): {self._complaint()}")

    def _complaint(self) -> str:
        """The last error in the server's log, or its last line."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()] or ["it wrote no log"]
        return next((line for line in reversed(lines) if line.startswith("E")), lines[-1])

    def _backends(self, server: Path) -> Path:
        """A backend folder of our own: the wheel's Python backend with this Python's stub, and the stand-in."""
        backends = self._folder / "backends"
        if not backends.exists():
            (backends / "onnxruntime").mkdir(parents=True)
            shutil.copyfile(Path(__file__).with_name("standin_onnxruntime.py"), backends / "onnxruntime" / "model.py")
            (backends / "python").mkdir()
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            stub = server / "python_backend_stubs" / python / "triton_python_backend_stub"
            for file in (stub, *(server / "backends" / "python").glob("*.*")):
                shutil.copy(file, backends / "python")  # the server refuses links that lead out of the folder
        return backends

    def _interpreter(self) -> Path:
        """The interpreter that models run in: NumPy 1.26, and of the project's environment only what a model needs."""
        root = self._folder / "interpreter"
        if not root.exists():
            venv.EnvBuilder(symlinks=True).create(root)
            site = next(root.glob("lib/python*/site-packages"))
            (site / "numpy.pth").write_text(f"{cached_numpy(self._note)}\n")
            for package in _MODEL_PACKAGES:
                found = importlib.util.find_spec(package)
                if found is None or found.origin is None:
                    raise LocalTritonError(f"models need the package {package}: pip install 'tokenward[cpu]'")
                (site / package).symlink_to(Path(found.origin).parent)
        return root / "bin"

    def _shared_memory(self) -> str:
        return f"{self._folder.name.replace('-', '_')}_"


def guarded_models(url: str) -> list[str]:
    """Names of the loaded models that take texts.

    Raises:
        OSError: the server does not answer, or a model is still being loaded.
    """
    index = urllib.request.Request(f"{url}/v2/repository/index", b"{}")
    with urllib.request.urlopen(index, timeout=5) as response:
        models = json.load(response)
    names = []
    for model in models:
        if model.get("state") == "READY":
            with urllib.request.urlopen(f"{url}/v2/models/{model['name']}", timeout=5) as response:
                if [entry["name"] for entry in json.load(response)["inputs"]] == ["TEXT"]:
                    names.append(model["name"])
        elif model.get("state"):
            raise OSError(f"model {model['name']} is {model['state'].lower()}")
    return names


def _free_ports(ports: Ports) -> Ports:
    """Choose free ports; all are held until all are known, so that no two are the same."""
    with ExitStack() as held:

        def choose(port: int) -> int:
            sock = held.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise LocalTritonError(f"port {port} is taken: choose another") from error
            return int(sock.getsockname()[1])

        return Ports(choose(ports.http), choose(ports.grpc), choose(ports.metrics))
