// SPDX-License-Identifier: Apache-2.0
// The list of operators, generated from the file names of this folder.
#include "ir/op.h"

namespace lathe {

namespace ops {
#define LATHE_OP_ENTRY(stem) const OpInfo& op_##stem();
#include "ops_list.inc"
#undef LATHE_OP_ENTRY
}  // namespace ops

std::span<const OpInfo* const> all_ops() {
  static const std::vector<const OpInfo*> list = {
#define LATHE_OP_ENTRY(stem) &ops::op_##stem(),
#include "ops_list.inc"
#undef LATHE_OP_ENTRY
  };
  return list;
}

const OpInfo* find_op(std::string_view name) {
  for (const OpInfo* op : all_ops())
    if (op->name == name) return op;
  return nullptr;
}

}  // namespace lathe
