// SPDX-License-Identifier: Apache-2.0
#include "import/channels.h"

namespace lathe::importer {

ValueId to_channels_last(Builder& b, ValueId x) {
  std::vector<int64_t> perm = {0};
  for (int64_t d = 2; d < b.rank(x); ++d) perm.push_back(d);
  perm.push_back(1);
  const ValueId y = b.transpose(x, std::move(perm));
  if (!b.ok() || b.rank(y) != 3) return y;
  const Shape s = b.shape(y);
  return b.reshape(y, {s[0], 1, s[1], s[2]});
}

ValueId to_channels_first(Builder& b, ValueId y, int64_t rank) {
  if (!b.ok()) return kNoId;
  if (rank == 3) {
    const Shape s = b.shape(y);
    y = b.reshape(y, {s[0], s[2], s[3]});
  }
  std::vector<int64_t> perm = {0, rank - 1};
  for (int64_t d = 1; d < rank - 1; ++d) perm.push_back(d);
  return b.transpose(y, std::move(perm));
}

}  // namespace lathe::importer
