// SPDX-License-Identifier: Apache-2.0
// Pad(zeros or zero points, spatial dimensions) → Conv      becomes      Conv with larger pads
// An average Pool that counts its padding likewise; a maximum does not see zeros as padding and is left alone.
#include <algorithm>

#include "ops/conv.h"
#include "ops/pad.h"
#include "ops/pool.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const Node& node = g.node(n);
  const auto* conv = node.as<ops::Conv>();
  const auto* pool = node.as<ops::Pool>();
  if (!conv && !pool) return false;
  const ValueId x = node.inputs[0];
  const auto* pad = made_by<ops::Pad>(g, x);
  if (!pad || pad->mode != "constant" || sole_user(g, x) != n) return false;
  const auto& in = g.node(g.value(x).producer).inputs;
  const std::optional<double> value = in.size() > 2 && in[2] != kNoId ? uniform_value(g, in[2]) : 0.0;
  if (value != std::optional(conv ? static_cast<double>(conv->x_zero) : 0.0)) return false;
  const auto amounts = integers_of(g.info(in[1]));
  if (!amounts) return false;
  const size_t rank = amounts->size() / 2, spatial = rank - 2;
  for (const size_t d : {size_t{0}, rank - 1})
    if ((*amounts)[d] != 0 || (*amounts)[d + rank] != 0) return false;
  auto sum = [&](std::vector<int64_t> pads) {
    for (size_t d = 0; d < spatial; ++d) {
      pads[d] += (*amounts)[d + 1];
      pads[d + spatial] += (*amounts)[d + 1 + rank];
    }
    return pads;
  };
  std::shared_ptr<const Op> wider;
  if (conv) {
    if (conv->pads.size() != 2 * spatial) return false;
    auto op = std::make_shared<ops::Conv>(*conv);
    op->pads = sum(conv->pads);
    wider = op;
  } else {
    const bool none = std::all_of(pool->pads.begin(), pool->pads.end(), [](int64_t p) { return p == 0; });
    const bool crops = std::any_of(amounts->begin(), amounts->end(), [](int64_t p) { return p < 0; });
    if (pool->kind != "average" || crops || pool->ceil_mode || pool->pads.size() != 2 * spatial ||
        (!none && !pool->count_include_pad))
      return false;
    auto op = std::make_shared<ops::Pool>(*pool);
    op->pads = sum(pool->pads);
    op->count_include_pad = true;
    wider = op;
  }
  auto inputs = node.inputs;
  inputs[0] = in[0];
  LATHE_TRY(const ValueId y, g.add(wider, inputs, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_pad_into_window() {
  static const Rule rule{"pad_into_window", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
