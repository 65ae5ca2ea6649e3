"""An authority of our own, and what it says of the servers here."""

from pathlib import Path


def write_certificates(folder: Path, hosts: list[str]) -> None:
    """`authority.pem`, and `server.pem` with a key."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
