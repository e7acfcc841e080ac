"""What can go wrong between a lock and a pushed image."""

from __future__ import annotations

from nbfed_site.contracts import BadInput, CannotConnect, NbfedError


class RegistryUnreachable(CannotConnect):
    """The registry does not answer: no network, wrong name or port, or an untrusted certificate."""

    code = "NE210"


class RegistryDenied(CannotConnect):
    """The registry refuses the caller: wrong credentials, or they do not allow this (401, 403)."""

    code = "NE211"


class RepositoryUnknown(CannotConnect):
    """The registry has no such repository or image, or does not make one on push (404)."""

    code = "NE212"


class RegistryBusy(CannotConnect):
    """The registry asked to come back later, more often than the retries last (429)."""

    code = "NE213"


class RegistryFailed(CannotConnect):
    """The registry failed, or broke off an upload, more often than the retries last (5xx)."""

    code = "NE214"


class RegistryFull(CannotConnect):
    """The registry takes no blob of this size, or the quota is used up (413, DENIED with a quota)."""

    code = "NE215"


class WheelUnreachable(CannotConnect):
    """A wheel of the lock cannot be downloaded."""

    code = "NE216"


class EngineMissing(CannotConnect):
    """No Docker or Podman to load an image into, or it does not answer."""

    code = "NE217"


class ReferenceInvalid(BadInput):
    """Not the name of an image or repository as the OCI distribution specification writes them."""

    code = "NE410"


class BaseUnsuitable(BadInput):
    """The base image has no suitable Python, or is made for another platform."""

    code = "NE412"


class WheelDamaged(BadInput):
    """A wheel is not the file that the lock names: its hash or its contents do not fit."""

    code = "NE413"


class TagTaken(BadInput):
    """The tag names another image already, and replacing it was not asked for."""

    code = "NE414"


class SignatureInvalid(BadInput):
    """An image is not signed with the expected key."""

    code = "NE416"


class BlobDamaged(NbfedError):
    """Bytes from the cache or a registry do not have the digest they are named by."""

    code = "NE504"
