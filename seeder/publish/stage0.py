"""Stage 0 at publication: what it weighs and costs, what the kernel says of itself, and signatures.

`/k/<sha256>` is signed for iPXE's `imgverify` as a detached CMS signature in DER without signed attributes
(ipxe.org/crypto, RFC 5652), by a certificate for code signing that iPXE is built with (`TRUST=`). That is not what
nodes trust once they run: that is the manifest.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from seeder.boot_script.load import Stage0, stage0_of
from seeder.initramfs.kernel import kernel_version
from seeder.publish.release_dir import Release
from seeder.site.blobs import Blob
from seeder.site.writer import SiteWriter
from swarmboot.crypto.certificates import key_pem, make_certificate
from swarmboot.errors import KeyFileError, ReleaseError
from swarmboot.host.files import write_whole
from swarmboot.host.folder_lock import alone_in
from swarmboot.release.manifest import UNIFIED, Manifest, Role
from swarmboot.text.units import GOODPUT, format_duration, format_rate, format_size

FOLDER = "stage0"
KEY_NAME, CERTIFICATE_NAME = "stage0.key", "stage0.crt"
NODE_BOOT_S = 10.0
"""How long a node takes, about, from its last byte of stage 0 until it serves others."""

SWARM_FACTOR = 1.3
"""What a swarm takes, about, in units of one image over the server's uplink."""

_HEADER_BYTES = 1 << 16
_LIFE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Stage0Cost:
    """What stage 0 takes a fleet that powers on at once, in seconds: from the server alone, and with neighbours."""

    alone_s: float
    shared_s: float
    images_s: float

    @property
    def is_slower_than_images(self) -> bool:
        """Return whether stage 0 from the server alone would take longer than the images through the swarm."""
        return self.alone_s > self.images_s


def stage0_cost(stage0_bytes: int, image_bytes: int, *, nodes: int, uplink_bytes_per_s: float) -> Stage0Cost:
    """Return what stage 0 costs; `shared_s` is the closed form for one load at a time and neighbours that then serve.

    In the first `NODE_BOOT_S` only the server serves; then each node that has booted serves one load at a time, so that
    after n load times n^2/2 + n further nodes have been served.
    """
    rate = uplink_bytes_per_s * GOODPUT
    load_s = stage0_bytes / rate
    left = max(0.0, nodes - NODE_BOOT_S / load_s)
    alone_s = nodes * load_s
    shared_s = min(alone_s, NODE_BOOT_S + load_s * (math.sqrt(1 + 2 * left) - 1))
    return Stage0Cost(alone_s, shared_s, SWARM_FACTOR * image_bytes / rate)


def cost_lines(manifest: Manifest, *, nodes: int, image_bytes: int, uplink_bytes_per_s: float) -> list[str]:
    """Return what `publish` says of stage 0: its size, and what it costs so many nodes; for 0 nodes the size only."""
    stage0 = stage0_of(manifest)
    if stage0 is None:
        return ["stage 0: none in this release; machines need a kernel and an initramfs from elsewhere"]
    what = "one unified kernel image" if stage0.is_unified else "kernel and initramfs"
    lines = [f"stage 0: {format_size(stage0.size_bytes)}, {what}, before anything of ours runs"]
    if not nodes:
        return lines
    cost = stage0_cost(stage0.size_bytes, image_bytes, nodes=nodes, uplink_bytes_per_s=uplink_bytes_per_s)
    rate = format_rate(uplink_bytes_per_s)
    alone, shared, images = map(format_duration, (cost.alone_s, cost.shared_s, cost.images_s))
    lines.append(f"stage 0 for {nodes} nodes at {rate}: {alone} from the server alone, about {shared} with neighbours")
    if cost.is_slower_than_images:
        lines.append(
            f"warning: from the server alone, stage 0 takes longer than the images ({images}): "
            "make the initramfs smaller, or let booted neighbours serve it: serve --stage0-trust"
        )
    return lines


def read_kernel_version(path: Path) -> str:
    """Return what the kernel in a file, or in a unified kernel image, says of itself; nothing if it cannot be told."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if not kernel_version(head) and (start := linux_section(head)):
            file.seek(start)
            head = file.read(_HEADER_BYTES)
    return kernel_version(head)


def linux_section(head: bytes) -> int:
    """Return where the kernel begins in a unified kernel image, from its first 64 KiB; 0 for anything else.

    Follows the PE format and the UAPI group's specification of unified kernel images.
    """
    if head[:2] != b"MZ" or len(head) < 0x40:
        return 0
    (at,) = struct.unpack_from("<I", head, 0x3C)
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 24:
        return 0
    (sections,) = struct.unpack_from("<H", head, at + 6)
    (optional,) = struct.unpack_from("<H", head, at + 20)
    for number in range(sections):
        entry = head[at + 24 + optional + 40 * number :][:40]
        if len(entry) == 40 and entry[:8].rstrip(b"\0") == b".linux":
            return int(struct.unpack_from("<I", entry, 20)[0])
    return 0


def signer(folder: Path) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Return the code-signing key and certificate in a folder, made now if they are not there; raise KeyFileError."""
    key_path, certificate_path = folder / KEY_NAME, folder / CERTIFICATE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):  # a publish to another site may make them at the same moment
            if not key_path.exists():
                _make_signer(folder)
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{folder} holds no usable {KEY_NAME} and {CERTIFICATE_NAME}: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFileError(f"{key_path} is of the wrong kind", expected="an RSA key, which every iPXE understands")
    return key, certificate


def _make_signer(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    now = datetime.now(UTC)
    certificate = make_certificate(
        "swarmboot stage 0",
        key,
        begins=now - timedelta(days=1),
        ends=now + _LIFE,
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        ],
    )
    write_whole(folder / KEY_NAME, key_pem(key), mode=0o600)
    write_whole(folder / CERTIFICATE_NAME, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def signature(data: bytes, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> bytes:
    """Return a detached CMS signature as iPXE's `imgverify` takes it."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(certificate, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoAttributes]
    return builder.sign(serialization.Encoding.DER, options)


def check_signing(release: Release, folder: Path) -> None:
    """Raise what `sign_stage0` would for a release or a key that is not fit for it, before anything is written."""
    kernels = [file.format for file in release.files if file.role is Role.KERNEL]
    has_initramfs = any(file.role is Role.INITRAMFS for file in release.files)
    if not kernels or not (has_initramfs or UNIFIED in kernels):
        raise _lacking()
    if (folder / KEY_NAME).exists():
        signer(folder)


def sign_stage0(writer: SiteWriter, manifest: Manifest, folder: Path) -> None:
    """Sign kernel and initramfs for `imgverify` with the key in `folder`, made if it is not there.

    Raises ReleaseError without stage 0, KeyFileError as `signer` does, BlobError for what was altered in the site.
    """
    stage0 = _required(manifest)
    key, certificate = signer(folder)
    (writer.site / FOLDER).mkdir(exist_ok=True)
    for artifact in stage0.images:
        data = Blob(writer.site, artifact).read()
        writer.write(f"{FOLDER}/{artifact.sha256.hex()}.sig", signature(data, key, certificate))


def signed_line(folder: Path, *, is_dry: bool) -> str:
    """Return what `publish` says of the key in `folder` that signs stage 0, or would."""
    signed = "would be signed" if is_dry else "signed"
    return f"stage 0 {signed} for imgverify; build iPXE with TRUST={folder / CERTIFICATE_NAME} and IMAGE_TRUST_CMD"


def _required(manifest: Manifest) -> Stage0:
    stage0 = stage0_of(manifest)
    if stage0 is None:
        raise _lacking()
    return stage0


def _lacking() -> ReleaseError:
    return ReleaseError("the release has no stage 0", expected="vmlinuz and initramfs.img in it", found="not both")
