"""Pictures of handwritten numbers, and what they say in words."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class CaptionBatch(NamedTuple):
    """Images with their captions: ``inputs``, ``targets`` and ``mask`` are ``(batch, time)``.

    ``images`` is ``(batch, height, width)``, from 0 to 1. The inputs begin with the start token,
    the targets end with the end token; the mask is true up to and including it.
    """

    images: Tensor
    inputs: Tensor
    targets: Tensor
    mask: Tensor

    @property
    def weight(self) -> int:
        """Give the number of targets that count."""
        return int(self.mask.sum())
