"""Connections to registries and package indexes: proxies and certificates as the environment says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

    import urllib3

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0


def pool(host_url: str, root_certificates: Path | None = None) -> urllib3.PoolManager | urllib3.ProxyManager:
    """Connections to ``scheme://host[:port]``, through its proxy where the environment names one.

    ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are honoured, lower case too. Trusted are
    the system's certificates, or those of ``SSL_CERT_FILE``, and ``root_certificates`` (PEM) with them.
    Retries and redirections are urllib3's own unless a call gives ``retries``.
    """
    import urllib3

    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    proxy = _proxy(host_url)
    secure = "https" in (urlsplit(host_url).scheme, urlsplit(proxy or "").scheme)
    context = _context(root_certificates) if secure else None
    if proxy is None:
        return urllib3.PoolManager(maxsize=8, timeout=timeout, ssl_context=context)
    address, headers = _proxy_address(proxy)
    return urllib3.ProxyManager(
        address,
        maxsize=8,
        timeout=timeout,
        ssl_context=context,
        proxy_ssl_context=context,
        proxy_headers=headers,
    )


def _context(root_certificates: Path | None) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if root_certificates is not None:
        context.load_verify_locations(cafile=root_certificates)
    return context


def _proxy(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{found}" if found and "://" not in found else found


def _proxy_address(proxy: str) -> tuple[str, dict[str, str]]:
    """The proxy's address without user and password, and the header that carries these."""
    from urllib.parse import unquote

    import urllib3

    parts = urlsplit(proxy)
    if parts.username is None:
        return proxy, {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return address, dict(urllib3.make_headers(proxy_basic_auth=login))
