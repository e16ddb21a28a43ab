// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "codegen/lowering.h"

namespace lathe::codegen {

/// What a kernel that computes sizes from data is made of: a long-tail function (src/codegen/longtail/sizes.cpp) that
/// sees `buffers`, then `arguments`, then a pointer to each of `tables` (arrays of sizes), and writes `symbols`.
struct SizesCall {
  std::string function;
  std::vector<BufferId> buffers;
  std::vector<Dim> arguments;
  std::vector<std::vector<Dim>> tables;
  std::vector<std::string> symbols;
};
Status lower_sizes(Lowering& lowering, const Node& node, SizesCall call);

/// A kernel that calls a long-tail function with arguments and tables, as above.
int table_kernel(Lowering& lowering, const std::string& function, const std::vector<Dim>& scalars,
                 const std::vector<Dim>& arguments, const std::vector<std::vector<Dim>>& tables);

/// For each dimension of output `output` whether it is the node itself that names its size: a symbol that stands for
/// data, which the node's code must define.
std::vector<bool> fresh_dims(const Lowering& lowering, const Node& node, size_t output = 0);
bool any_fresh(const Lowering& lowering, const Node& node, size_t output = 0);

/// A size that only the code of `node` knows: a symbol of the plan alone.
Dim local_symbol(const Node& node, const std::string& what, size_t i = 0);
/// The names under which a kernel defines the sizes of output 0: where the graph knows a size otherwise, a name that
/// nobody reads.
std::vector<std::string> size_symbols(const Lowering& lowering, const Node& node);
/// Numbers that may be negative are kept in symbols with this added.
inline constexpr int64_t kSignedBias = int64_t{1} << 40;

}  // namespace lathe::codegen
