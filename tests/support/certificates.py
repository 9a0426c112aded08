"""Certificates for tests: an authority, and what it signs. Made with the ``openssl`` program."""

import subprocess
from pathlib import Path


def make_authority(folder: Path) -> None:
    """Write ``ca.pem`` and ``ca.key``."""
    _openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",  # Python 3.13 insists
    )  # fmt: skip


def make_certificate(folder: Path, name: str, host: str) -> None:
    """Write ``<name>.pem`` and ``<name>.key``, signed by the authority in the folder."""
    extensions = f"subjectAltName = DNS:{host}\nauthorityKeyIdentifier = keyid\n"
    (folder / f"{name}.ext").write_text(extensions)
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext",
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
