"""Keys: who signs a record, and whose signatures are believed. DSSE envelopes, signed and verified by securesystemslib.

`SYNTHMILL_SIGNING_KEY`: a private key (PEM, without passphrase; Ed25519, ECDSA or RSA), as `openssl genpkey -algorithm ed25519` makes it.
`SYNTHMILL_TRUSTED_KEYS`: a public key, or a folder of them (PEM), that signatures must be by; unless set, `keys/` of the workspace.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schema.errors import UsageError
from schema.settings import root

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

REMEDY = "make one with `openssl genpkey -algorithm ed25519 -out FILE`"


@dataclass(frozen=True)
class Signing:
    """Who signs, and the public key (PEM) that shows it."""

    signer: "CryptoSigner"
    public: str


def signing_key() -> Path | None:
    value = os.environ.get("SYNTHMILL_SIGNING_KEY")
    return Path(value).expanduser() if value else None


def signer() -> Signing | None:
    """Signs with SYNTHMILL_SIGNING_KEY; None where that is not set. Raises UsageError for a key that is not there or is none."""
    path = signing_key()
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"SYNTHMILL_SIGNING_KEY names {path}, which cannot be read ({error.strerror}): {REMEDY}, or unset it") from None
    return _signer(content, str(path))


@cache
def _signer(content: bytes, place: str) -> Signing:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import CryptoSigner

    try:
        private = load_pem_private_key(content, password=None)
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return Signing(CryptoSigner(private), public.decode())
    except (ValueError, TypeError, UnsupportedAlgorithm, UnsupportedLibraryError) as error:
        raise UsageError(f"SYNTHMILL_SIGNING_KEY: {place} is not a private key that can sign ({error}): {REMEDY}") from None


@dataclass(frozen=True)
class Trusted:
    """Public keys by id. `named`: whether somebody said whom to believe; else only that the signature fits its key is known."""

    keys: dict[str, Any]
    names: dict[str, str]
    named: bool


def trusted() -> Trusted:
    """The keys that signatures must be by, and the signing key's own. Raises UsageError for one that cannot be read."""
    given = os.environ.get("SYNTHMILL_TRUSTED_KEYS")
    place = Path(given).expanduser() if given else root() / "keys"
    if given and not place.exists():
        raise UsageError(f"SYNTHMILL_TRUSTED_KEYS names {place}, which is not there: give a public key (PEM), or a folder of them")
    found = keys_at(place)
    if given and not found.named:
        raise UsageError(f"SYNTHMILL_TRUSTED_KEYS names {place}, where no public key (*.pem) is: give one, or a folder of them")
    own = signer()
    if own is not None and own.signer.public_key.keyid not in found.keys:
        keyid = own.signer.public_key.keyid
        return Trusted({**found.keys, keyid: own.signer.public_key}, {**found.names, keyid: "SYNTHMILL_SIGNING_KEY"}, found.named)
    return found


def keys_at(place: Path) -> Trusted:
    """The public key of a file, or those of a folder (*.pem). Raises UsageError for one that cannot be read."""
    files = [place] if place.is_file() else sorted(filter(Path.is_file, place.glob("*.pem")))
    keys = {path: read_public(path.read_bytes(), str(path)) for path in files}
    return Trusted({key.keyid: key for key in keys.values()}, {key.keyid: path.stem for path, key in keys.items()}, bool(files))


def read_public(content: bytes, place: str) -> "SSlibKey":
    """Raises UsageError for what is no public key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        return SSlibKey.from_crypto(load_pem_public_key(content))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{place} is not a public key ({error}): `openssl pkey -in PRIVATE -pubout` writes one") from None
