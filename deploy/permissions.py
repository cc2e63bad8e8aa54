"""Who may read what is deployed."""

from __future__ import annotations

from pathlib import Path


def let_all_read(folder: Path) -> None:
    """Let every user read ``folder`` and all in it, whatever the umask: a container runs as another user."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
