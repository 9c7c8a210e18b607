"""What updates learn from: one store a file."""

from iacjax.buffers.latest import latest

__all__ = ["latest"]
