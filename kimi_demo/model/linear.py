"""Linear layers as inference wants them: those of one input joined into one product, their weights
laid out once for the processor.

oneDNN's own layout is read faster by a CPU, which spends a decode step on reading weights, and
rounds every row alike however many there are: company changes nobody's result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS_HINT = 4  # of the products that the layout is made for; any number computes


class FusedLinear:
    """Frozen linear layers side by side. Theirs are the names and shapes, and this one's the only
    values: a layer that was taken over computes nothing by itself any more.
    """

    def __init__(self, layers: Sequence[nn.Linear], rows: range | None = None) -> None:
        """rows: of a single layer's outputs, those that are ever wanted."""
        part = slice(rows.start, rows.stop) if rows else slice(None)
        weight = torch.cat([layer.weight.data for layer in layers])[part]
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self._bias = torch.cat([bias.data for bias in biases])[part] if biases else None
        self._packed = None
        if _packs(weight):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_HINT)
        else:
            self._weight = weight
        for layer in layers:
            layer.weight = nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs of all layers)."""
        if self._packed is None:
            return F.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


class PackedLinear(nn.Module):
    """A frozen linear layer in the processor's own layout, in the place of the plain one."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self._fused = FusedLinear([layer])
        self.weight, self.bias = layer.weight, layer.bias  # names, shapes and their number

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self._fused(x)


def pack_linears(module: nn.Module) -> None:
    """Replaces every frozen linear layer below `module` where a packed one is faster."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and _packs(child.weight):
                setattr(parent, name, PackedLinear(child))


def _packs(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and torch.backends.mkldnn.is_available()
    )
