// SPDX-License-Identifier: Apache-2.0
// Convolutions, pools, and the operators that move between space, depth and batch. NHWC is the canonical layout; NCHW
// is wrapped in transposes.
#include "ops/conv.h"

#include <algorithm>

#include "import/tensorflow/handlers.h"
#include "ops/conv_transpose.h"
#include "ops/pad.h"
#include "ops/pool.h"
#include "ops/slice.h"

namespace lathe::tensorflow {

namespace {

constexpr int64_t kMost = int64_t{1} << 31;

bool channels_first(const Node& n) { return n.s("data_format", "NHWC").starts_with("NC"); }

ValueId to_nhwc(Node& n, ValueId x) { return channels_first(n) ? n.b.transpose(x, {0, 2, 3, 1}) : x; }
ValueId from_nhwc(Node& n, ValueId x) { return channels_first(n) ? n.b.transpose(x, {0, 3, 1, 2}) : x; }

// The two spatial numbers of an attribute with one for each dimension.
Result<std::vector<int64_t>> spatial(const Node& n, std::string_view name) {
  const auto all = n.ints(name);
  if (all.empty()) return std::vector<int64_t>{1, 1};
  if (all.size() != 4) return damaged("attribute " + std::string(name) + " must have four numbers");
  const size_t h = channels_first(n) ? 2 : 1;
  const int64_t batch = all[0], channel = all[channels_first(n) ? 1 : 3];
  if (batch != 1 || channel != 1) return unsupported(std::string(name) + " over batch or channels are not supported");
  if (all[h] < 1 || all[h + 1] < 1 || all[h] >= kMost || all[h + 1] >= kMost)
    return damaged("attribute " + std::string(name) + " must be positive");
  return std::vector<int64_t>{all[h], all[h + 1]};
}

// Begins, then ends. `sizes`: the (larger) spatial sizes that the windows slide over.
Result<std::vector<int64_t>> padding(const Node& n, const std::vector<int64_t>& kernel,
                                     const std::vector<int64_t>& strides, const std::vector<int64_t>& dilations,
                                     const Shape& sizes) {
  const auto mode = n.s("padding", "");
  std::vector<int64_t> pads(4, 0);
  if (mode == "VALID") return pads;
  if (mode == "EXPLICIT") {
    const auto all = n.ints("explicit_paddings");
    if (all.size() != 8 || !std::ranges::all_of(all, [](int64_t p) { return p >= 0 && p < kMost; }))
      return damaged("explicit_paddings must be eight numbers");
    const size_t h = channels_first(n) ? 4 : 2;
    return std::vector<int64_t>{all[h], all[h + 2], all[h + 1], all[h + 3]};
  }
  if (mode != "SAME") return damaged("padding \"" + std::string(mode) + "\" is not known");
  for (size_t d = 0; d < 2; ++d) {
    const int64_t reach = (kernel[d] - 1) * dilations[d] + 1;
    int64_t total = reach - strides[d];  // where the stride divides the size
    if (const auto size = sizes[d].as_const())
      total = ((*size + strides[d] - 1) / strides[d] - 1) * strides[d] + reach - *size;
    else if (strides[d] != 1)
      return unsupported("padding SAME with a stride needs known sizes, but the input's dimension is " +
                         sizes[d].str() + "; give them with --shape");
    total = std::max<int64_t>(total, 0);
    pads[d] = total / 2;
    pads[2 + d] = total - total / 2;
  }
  return pads;
}

}  // namespace

// Filters are [h, w, C / group, M], of DepthwiseConv2dNative [h, w, C, multiplier].
Result<Items> conv(Node& n) {
  LATHE_CHECK(n.needs(2));
  if (n.rank(0) != 4 || n.rank(1) != 4) return unsupported("takes two tensors of rank 4");
  const bool depthwise = n.canonical() == "depthwise";
  const ValueId x = to_nhwc(n, n.in(0));
  LATHE_TRY(const auto strides, spatial(n, "strides"));
  LATHE_TRY(const auto dilations, spatial(n, "dilations"));
  const auto filter = static_dims(n.shape(1));
  const Shape s = n.b.shape(x);
  if (!n.b.ok()) return n.done(x);
  if (!filter) return unsupported("the filter's shape " + shape_str(n.shape(1)) + " is not constant");
  if (std::ranges::any_of(*filter, [](int64_t d) { return d < 1 || d >= kMost; }))
    return damaged("the filter's shape " + shape_str(n.shape(1)) + " is impossible");
  const auto channels = s[3].as_const();
  if (!channels) return unsupported("the number of channels is " + s[3].str() + ", not constant");
  if ((*filter)[2] == 0 || *channels % (*filter)[2] != 0 || (depthwise && *channels != (*filter)[2]))
    return damaged("filter " + shape_str(n.shape(1)) + " does not fit " + std::to_string(*channels) + " channels");
  LATHE_TRY(const auto pads, padding(n, {(*filter)[0], (*filter)[1]}, strides, dilations, Shape{s[1], s[2]}));
  ValueId w = kNoId;
  if (depthwise) {
    w = n.b.reshape(n.b.transpose(n.in(1), {2, 3, 0, 1}), {(*filter)[2] * (*filter)[3], (*filter)[0], (*filter)[1], 1});
  } else {
    w = n.b.transpose(n.in(1), {3, 0, 1, 2});
  }
  const ValueId y = n.b.make<ops::Conv>({x, w}, [&](ops::Conv& c) {
    c.strides = strides;
    c.pads = pads;
    c.dilations = dilations;
    c.group = depthwise ? *channels : *channels / (*filter)[2];
  });
  return n.done(from_nhwc(n, y));
}

// Conv2DBackpropInput: the sizes of the result, the filter [h, w, M, C], and x.
Result<Items> conv_transpose(Node& n) {
  LATHE_CHECK(n.needs(3));
  if (n.rank(1) != 4 || n.rank(2) != 4) return unsupported("takes tensors of rank 4");
  const ValueId x = to_nhwc(n, n.in(2));
  LATHE_TRY(const auto strides, spatial(n, "strides"));
  LATHE_TRY(const auto dilations, spatial(n, "dilations"));
  const auto filter = static_dims(n.shape(1));
  if (!filter) return unsupported("the filter's shape " + shape_str(n.shape(1)) + " is not constant");
  if (std::ranges::any_of(*filter, [](int64_t d) { return d < 1 || d >= kMost; }))
    return damaged("the filter's shape " + shape_str(n.shape(1)) + " is impossible");
  LATHE_TRY(const auto given, n.sizes(0, "the result's shape"));
  const size_t h = given.size() == 2 ? 0 : channels_first(n) ? 2 : 1;
  if (given.size() != 4 && given.size() != 2) return damaged("the result's shape must have four numbers");
  const Shape from = n.b.shape(x);
  if (!n.b.ok()) return n.done(x);
  std::vector<int64_t> pads(4, 0), extra(2, 0);
  const Shape sizes = {given[h], given[h + 1]};
  const std::vector<int64_t> kernel = {(*filter)[0], (*filter)[1]};
  if (n.s("padding", "") != "VALID") {
    LATHE_TRY(pads, padding(n, kernel, strides, dilations, sizes));
  }
  for (size_t d = 0; d < 2; ++d) {
    const int64_t reach = (kernel[d] - 1) * dilations[d] + 1;
    const Dim full = (from[1 + d] - 1) * strides[d] + reach;
    const auto rest = (sizes[d] - (full - pads[d] - pads[2 + d])).as_const();
    if (!rest || *rest < 0 || *rest >= strides[d] + reach)
      return unsupported("the result's size " + sizes[d].str() + " does not follow from the input's " +
                         from[1 + d].str());
    extra[d] = *rest;
  }
  const ValueId w = n.b.transpose(n.in(1), {2, 0, 1, 3});
  const ValueId y = n.b.make<ops::ConvTranspose>({x, w}, [&](ops::ConvTranspose& c) {
    c.strides = strides;
    c.pads = pads;
    c.dilations = dilations;
    c.output_padding = extra;
  });
  return n.done(from_nhwc(n, y));
}

Result<Items> pool(Node& n) {
  LATHE_CHECK(n.needs(1));
  if (n.rank(0) != 4) return unsupported("takes a tensor of rank 4");
  if (n.input_count() > 1) return unsupported("window sizes that are inputs are not supported");
  LATHE_TRY(const auto kernel, spatial(n, "ksize"));
  LATHE_TRY(const auto strides, spatial(n, "strides"));
  const ValueId x = to_nhwc(n, n.in(0));
  const Shape s = n.b.shape(x);
  if (!n.b.ok()) return n.done(x);
  LATHE_TRY(const auto pads, padding(n, kernel, strides, {1, 1}, Shape{s[1], s[2]}));
  const ValueId y = n.b.make<ops::Pool>({x}, [&](ops::Pool& p) {
    p.kind = n.canonical();
    p.kernel = kernel;
    p.strides = strides;
    p.pads = pads;
  });
  return n.done(from_nhwc(n, y));
}

// SpaceToBatchND pads, cuts the leading spatial dimensions into blocks and moves the position in a block to the front
// of the batch; BatchToSpaceND is the way back. How dilated convolutions used to be written.
Result<Items> space_batch(Node& n) {
  LATHE_CHECK(n.needs(3));
  LATHE_TRY(const auto block, n.integers(1, "block_shape"));
  LATHE_TRY(const auto edges, n.integers(2, "paddings"));
  const auto m = static_cast<int64_t>(block.size());
  if (edges.size() != 2 * block.size() || m + 1 > n.rank(0)) return damaged("block_shape does not fit the input");
  if (!std::ranges::all_of(block, [](int64_t b) { return b > 0 && b < kMost; }) ||
      !std::ranges::all_of(edges, [](int64_t e) { return e >= 0 && e < kMost; }))
    return damaged("blocks must be positive, and paddings not negative");
  const auto rank = static_cast<size_t>(n.rank(0));
  int64_t volume = 1;
  for (const int64_t b : block)
    if (__builtin_mul_overflow(volume, b, &volume) || volume >= kMost) return damaged("blocks are too large");
  if (n.op() == "SpaceToBatchND") {
    std::vector<int64_t> pads(2 * rank, 0);
    for (size_t d = 0; d < block.size(); ++d) {
      pads[1 + d] = edges[2 * d];
      pads[rank + 1 + d] = edges[2 * d + 1];
    }
    const ValueId x = n.b.make<ops::Pad>({n.in(0), n.b.i64s(pads)}, [](ops::Pad&) {});
    const Shape s = n.b.shape(x);
    if (!n.b.ok()) return n.done(x);
    Shape split = {s[0]}, merged = {s[0] * volume};
    std::vector<int64_t> perm;
    for (int64_t d = 0; d < m; ++d) {
      const auto k = static_cast<size_t>(d);
      const Dim& size = s[1 + k];
      if (size.is_const() && size.value() % block[k] != 0) return damaged("blocks do not divide the padded input");
      split.insert(split.end(), {floor_div(size, block[k]), Dim(block[k])});
      merged.push_back(floor_div(size, block[k]));
      perm.push_back(2 + 2 * d);
    }
    perm.push_back(0);
    for (int64_t d = 0; d < m; ++d) perm.push_back(1 + 2 * d);
    for (size_t d = 1 + block.size(); d < rank; ++d) {
      perm.push_back(static_cast<int64_t>(d) + m);
      split.push_back(s[d]);
      merged.push_back(s[d]);
    }
    return n.done(n.b.reshape(n.b.transpose(n.b.reshape(x, split), perm), merged));
  }
  const Shape s = n.shape(0);
  if (s[0].is_const() && s[0].value() % volume != 0) return damaged("blocks do not divide the batch");
  Shape split, merged = {floor_div(s[0], volume)};
  std::vector<int64_t> perm = {m};
  for (const int64_t b : block) split.emplace_back(b);
  split.push_back(merged[0]);
  for (int64_t d = 0; d < m; ++d) perm.insert(perm.end(), {m + 1 + d, d});
  for (size_t d = 1; d < rank; ++d) {
    split.push_back(s[d]);
    merged.push_back(d <= block.size() ? s[d] * block[d - 1] : s[d]);
    if (d > block.size()) perm.push_back(static_cast<int64_t>(d) + m);
  }
  ValueId y = n.b.reshape(n.b.transpose(n.b.reshape(n.in(0), split), perm), merged);
  for (int64_t d = 0; d < m; ++d) {
    const auto k = static_cast<size_t>(d);
    if (edges[2 * k] != 0 || edges[2 * k + 1] != 0)
      y = n.b.slice(y, 1 + d, edges[2 * k], edges[2 * k + 1] == 0 ? INT64_MAX : -edges[2 * k + 1]);
  }
  return n.done(y);
}

Result<Items> depth_space(Node& n) {
  LATHE_CHECK(n.needs(1));
  const int64_t k = n.i("block_size", 0);
  if (k < 1 || k > 1 << 20) return damaged("block_size " + std::to_string(k) + " is out of range");
  const ValueId x = to_nhwc(n, n.in(0));
  const Shape s = n.b.shape(x);
  if (s.size() != 4) return unsupported("takes a tensor of rank 4");
  if (n.op() == "DepthToSpace") {
    if (s[3].is_const() && s[3].value() % (k * k) != 0) return damaged("blocks do not divide the channels");
    const Dim depth = floor_div(s[3], k * k);
    const ValueId moved = n.b.transpose(n.b.reshape(x, {s[0], s[1], s[2], k, k, depth}), {0, 1, 3, 2, 4, 5});
    return n.done(from_nhwc(n, n.b.reshape(moved, {s[0], s[1] * k, s[2] * k, depth})));
  }
  for (const Dim& d : {s[1], s[2]})
    if (d.is_const() && d.value() % k != 0) return damaged("blocks do not divide the input");
  const Dim h = floor_div(s[1], k), w = floor_div(s[2], k);
  const ValueId moved = n.b.transpose(n.b.reshape(x, {s[0], h, k, w, k, s[3]}), {0, 1, 3, 2, 4, 5});
  return n.done(from_nhwc(n, n.b.reshape(moved, {s[0], h, w, s[3] * (k * k)})));
}

}  // namespace lathe::tensorflow
