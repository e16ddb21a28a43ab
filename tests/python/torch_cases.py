# SPDX-License-Identifier: Apache-2.0
"""What tests/python/test_torch_operators.py compares with eager PyTorch: for each family of operators, cases by name.

A case is a function of tensors and the tensors. All cases of a family are exported as one module whose inputs they are.
"""

import torch_elementwise  # noqa: F401
import torch_layers  # noqa: F401
import torch_selection  # noqa: F401
import torch_sequences  # noqa: F401
import torch_shapes  # noqa: F401
from torch_inputs import FAMILIES

__all__ = ["FAMILIES"]
