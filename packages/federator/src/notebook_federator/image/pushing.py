"""Images into a repository: layers as soon as they are ready, the tag when all of them are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from . import layer_index
from .errors import RegistryDenied, RepositoryUnknown, TagTaken
from .meter import Progress, layer_event
from .registry import Registry, RegistryContent
from .registry.reading import TITLE
from .registry.reference import DOCKER_HUB, check_tag
from .shapes import CONFIG, MANIFEST, BuiltImage, BytesContent, Descriptor, Layer

AT_ONCE = 4
LAYERS_NAME = "nbfed-layers"
_LEAVE_SECONDS = 2.0


def layers_repository(repository: str, registry: str = "") -> str:
    """The repository for layers that a namespace shares: ``team/demo`` has ``team/nbfed-layers``.

    On Docker Hub it is the repository itself: a push makes new repositories there that anyone may read.
    """
    namespace, slash, _ = repository.rpartition("/")
    return repository if registry == DOCKER_HUB else f"{namespace}{slash}{LAYERS_NAME}"


class _Stopped(Exception):
    """The push is over; what still runs ends here."""


class Push:
    """A push to one repository; held: the uploads that run. A context manager: leaving it ends them.

    A layer with a key, and one of a base image from another registry, goes to the layers repository and is
    mounted from there, so that the next image needs no upload of it. Where nothing may be pushed there, the
    image's own repository takes its place, and progress is told with the state ``note``.
    """

    def __init__(
        self, registry: Registry, repository: str, layers_repository: str | None, progress: Progress
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._shared = layers_repository or repository
        self._progress = progress
        self._lock = threading.Lock()
        self._places = threading.Semaphore(AT_ONCE)
        self._stopped = threading.Event()
        self._uploads: dict[str, Future[None]] = {}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def add(self, layer: Layer) -> None:
        """Start the layer's upload, unless it runs or is done; one that failed is tried again."""
        digest = layer.descriptor.digest
        with self._lock:
            before = self._uploads.get(digest)
            if before is None or (before.done() and before.exception() is not None):
                self._uploads[digest] = self._started(lambda: self._send(layer))

    def known(self, key: str) -> Layer | None:
        """The layer that was made from ``key``, where the registry has it.

        Raises:
            RegistryUnreachable, RegistryBusy, RegistryFailed: there is no answer.
        """
        for repository in dict.fromkeys((self._shared, self._repository)):
            found = layer_index.find(self._registry, repository, key)
            if found is not None:
                return found
        return None

    def finish(self, image: BuiltImage, tag: str, *, replace: bool) -> str:
        """Wait for the image's layers, push configuration and manifest, and let ``tag`` name it; its digest.

        Where the tag names this image already, nothing else is asked or sent. Several images may be finished
        by one push, from several threads too.

        Raises:
            ReferenceInvalid: not a legal tag.
            TagTaken: the tag names another image, and ``replace`` does not allow that.
            BlobDamaged: a layer's content (``where``) is not what it should be: make it again, add it again.
            RegistryUnreachable, RegistryDenied, RepositoryUnknown, RegistryBusy, RegistryFailed,
            RegistryFull: the registry did not take it; no tag was set.
        """
        present = self._registry.find_digest(self._repository, check_tag(tag), writing=True)
        if present == image.digest:
            return image.digest
        if present is not None and not replace:
            raise TagTaken(
                f"{tag} names another image already",
                where=f"{self._registry.name}/{self._repository}:{tag} ({present[:19]})",
                hint="choose another tag, or allow this one to be replaced",
            )
        for layer in image.layers:
            self.add(layer)
        config = Descriptor(CONFIG, json.loads(image.manifest)["config"]["digest"], len(image.config))
        self._registry.push_blob(self._repository, config, BytesContent(image.config))
        self._wait([self._uploads[layer.descriptor.digest] for layer in image.layers])
        return self._registry.push_manifest(self._repository, tag, image.manifest, MANIFEST)

    def _wait(self, uploads: list[Future[None]]) -> None:
        waiting = set(uploads)
        while waiting:  # with a time limit, so that Ctrl-C is heard on Windows
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            for upload in done:
                upload.result()

    def _started(self, work: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()

        def run() -> None:
            with self._places:
                try:
                    self._go_on()
                    work()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(None)

        thread = threading.Thread(target=run, name="push", daemon=True)
        self._threads.append(thread)
        thread.start()
        return future

    def _send(self, layer: Layer) -> None:
        described = layer.descriptor
        titled = replace(described, annotations={**described.annotations, TITLE: layer.title})
        keyed = replace(layer, descriptor=titled, key=layer.key or self._base_key(layer))
        sources = self._same_registry(layer)
        if not keyed.key:
            self._push(self._repository, keyed, sources)
        elif self._registry.has_blob(self._repository, described.digest, writing=True):
            self._tell(keyed, "present")
        elif not self._share(keyed, sources):
            self._push(self._repository, keyed, sources)
            layer_index.record(self._registry, self._repository, keyed)

    def _share(self, layer: Layer, sources: list[str]) -> bool:
        """Put a layer into the shared repository and mount it; False where that is the image's own."""
        shared = self._shared
        if shared == self._repository:
            return False
        try:
            self._push(shared, layer, [source for source in sources if source != shared])
            if self._registry.find_digest(shared, layer_index.tag(layer.key), writing=True) is None:
                layer_index.record(self._registry, shared, layer)
        except (RegistryDenied, RepositoryUnknown) as error:
            self._give_up_sharing(f"no layers are shared in {shared}: {error.what}")
            return False
        if self._push(self._repository, layer, [shared]) == "uploaded":
            self._give_up_sharing(f"{self._registry.name} does not mount blobs of other repositories")
        return True

    def _push(self, repository: str, layer: Layer, sources: list[str]) -> str:
        return self._registry.push_blob(
            repository, layer.descriptor, layer.content, mount_from=sources, progress=self._passed_on
        )

    def _give_up_sharing(self, why: str) -> None:
        with self._lock:
            if self._shared == self._repository:
                return
            self._shared = self._repository
        self._passed_on(layer_event(why, "note", 0, 0))

    def _same_registry(self, layer: Layer) -> list[str]:
        content = layer.content
        found = [self._shared] if layer.key else []
        if isinstance(content, RegistryContent) and content.registry.name == self._registry.name:
            found = [content.repository, *found]
        return [name for name in dict.fromkeys(found) if name != self._repository]

    def _base_key(self, layer: Layer) -> str:
        """The digest's digits for a layer from another registry, which is worth keeping in this one."""
        content = layer.content
        foreign = isinstance(content, RegistryContent) and content.registry.name != self._registry.name
        return layer.descriptor.digest.partition(":")[2] if foreign else ""

    def _tell(self, layer: Layer, state: str) -> None:
        size = layer.descriptor.size
        self._passed_on(layer_event(layer.title, state, size, size))

    def _passed_on(self, event: Mapping[str, Any]) -> None:
        self._go_on()
        with self._lock:
            self._progress(event)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _Stopped
