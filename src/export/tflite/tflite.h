// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "ir/graph.h"

namespace lathe::tflite {

/// A model as LiteRT stores it.
struct Written {
  std::vector<std::byte> file;
  size_t nodes = 0;
};

/// Writes the graph in builtin operators of LiteRT: fused programs, epilogues and attention are taken apart; inputs,
/// outputs and values keep their names. Shapes must be constant. kUnsupported lists every node that LiteRT cannot
/// express, or the size that is not known.
Result<Written> write(const Graph& graph);

}  // namespace lathe::tflite
