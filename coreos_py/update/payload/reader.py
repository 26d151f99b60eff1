"""Follow a payload as it arrives and say whether every byte of it is what was promised. Pure.

    verifier = Verifier(size=..., sha256=..., check_signature=key.verify)
    verifier.feed(data) ...        # raises PayloadError at the first byte that cannot be right
    verified = verifier.finish()   # only now may anything be written to a partition

Digests of the operations are checked while they arrive, so that a broken transfer ends early; size,
digest and signature of the whole at the end, in update_engine 0.4.10's order and with its codes.
What is kept in memory is the manifest and the signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import Manifest, Operation

SIGNATURES_MAX = 1 << 16

SignatureCheck = Callable[[bytes, bytes], bool]
"""(SHA-256 digest, signature) to whether the signature is good."""


class Verified(NamedTuple):
    """A payload that may be applied."""

    manifest: Manifest
    metadata_size: int
    is_signed: bool  # a public key was there and the signature is its owner's


class Verifier:
    """Reads one payload from its first byte to its last."""

    def __init__(
        self, *, size: int, sha256: bytes, check_signature: SignatureCheck | None = None
    ) -> None:
        self._size = size
        self._sha256 = sha256
        self._check_signature = check_signature
        self._whole = hashlib.sha256()
        self._signed_digest = b""
        self._head = bytearray()
        self._head_size = head.HEAD_SIZE
        self._steps: Iterator[tuple[int, Operation]] = iter(())
        self._step: tuple[int, Operation] | None = None
        self._step_hash = hashlib.sha256()
        self._left = 0  # of the current operation's data
        self._signatures = bytearray()
        self._signatures_left = 0
        self.received = 0
        self.manifest: Manifest | None = None
        self.metadata_size = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the file."""
        self.received += len(data)
        if self.received > self._size:
            raise self._wrong_size()
        view = memoryview(data)
        while view and self.manifest is None:
            view = self._feed_head(view)
        while view and self._step is not None:
            view = self._feed_operation(view)
        if view:
            self._feed_signatures(view)

    def finish(self) -> Verified:
        """Everything has arrived."""
        if self.received != self._size or self.manifest is None or self._step is not None:
            raise self._wrong_size()
        if self._signatures_left:
            raise self._wrong_size()
        if self._whole.digest() != self._sha256:
            text = "the payload is not the one that the server announced"
            raise PayloadError(ErrorCode.PAYLOAD_HASH_MISMATCH, text)
        if self._check_signature is not None:
            self._finish_signature(self._check_signature)
        return Verified(self.manifest, self.metadata_size, self._check_signature is not None)

    def _feed_head(self, view: memoryview) -> memoryview:
        take = self._head_size - len(self._head)
        self._head += view[:take]
        self._whole.update(view[:take])
        if len(self._head) < self._head_size:
            magic = head.MAGIC[: len(self._head)]
            if bytes(self._head[: len(magic)]) != magic:
                head.manifest_length(bytes(self._head))  # raises
            return view[take:]
        if self._head_size == head.HEAD_SIZE:
            self._head_size += head.manifest_length(bytes(self._head))
            if self._head_size > self._size:
                text = "the manifest is longer than the payload"
                raise PayloadError(ErrorCode.DOWNLOAD_INVALID_METADATA_SIZE, text)
        else:
            self._begin(head.decode(bytes(self._head[head.HEAD_SIZE :])))
        return view[take:]

    def _begin(self, manifest: Manifest) -> None:
        head.check(manifest)
        self.metadata_size = self._head_size
        self._signatures_left = manifest.signatures_size or 0
        if self._signatures_left > SIGNATURES_MAX:
            text = f"a signature of {self._signatures_left} bytes is refused"
            raise PayloadError(ErrorCode.DOWNLOAD_SIGNATURE_MISSING_IN_MANIFEST, text)
        expected = self.metadata_size + head.data_end(manifest) + self._signatures_left
        if expected != self._size:
            text = f"the manifest describes {expected} bytes, the server announced {self._size}"
            raise PayloadError(ErrorCode.PAYLOAD_SIZE_MISMATCH, text)
        self.manifest = manifest
        self._head.clear()
        steps = enumerate(operation for _, operation in manifest.steps())
        self._steps = ((index, item) for index, item in steps if item.data_length)
        self._next_step()

    def _next_step(self) -> None:
        self._step = next(self._steps, None)
        if self._step is None:
            self._signed_digest = self._whole.digest()
            return
        self._left = self._step[1].data_length
        self._step_hash = hashlib.sha256()

    def _feed_operation(self, view: memoryview) -> memoryview:
        assert self._step is not None
        part = view[: self._left]
        self._whole.update(part)
        self._step_hash.update(part)
        self._left -= len(part)
        if not self._left:
            index, operation = self._step
            if self._step_hash.digest() != operation.data_sha256:
                text = f"the data of operation {index} is not what the manifest says"
                raise PayloadError(ErrorCode.DOWNLOAD_OPERATION_HASH_MISMATCH, text)
            self._next_step()
        return view[len(part) :]

    def _feed_signatures(self, view: memoryview) -> None:
        if len(view) > self._signatures_left:
            raise self._wrong_size()
        self._whole.update(view)
        self._signatures += view
        self._signatures_left -= len(view)

    def _finish_signature(self, check_signature: SignatureCheck) -> None:
        if not self._signatures:
            text = "the payload is not signed, and this machine has a public key"
            raise PayloadError(ErrorCode.SIGNED_PAYLOAD_EXPECTED, text)
        for signature in head.decode_signatures(bytes(self._signatures)):
            if check_signature(self._signed_digest, signature):
                return
        text = "the payload's signature is not by the owner of this machine's public key"
        raise PayloadError(ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION, text)

    def _wrong_size(self) -> PayloadError:
        text = f"{self.received} bytes of payload, the server announced {self._size}"
        return PayloadError(ErrorCode.PAYLOAD_SIZE_MISMATCH, text)
