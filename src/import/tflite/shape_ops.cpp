// SPDX-License-Identifier: Apache-2.0
// Operators on shapes, and those that change the shape alone or by permuting dimensions.
#include <algorithm>

#include "import/tflite/handlers.h"
#include "ops/expand.h"
#include "ops/reshape.h"
#include "ops/shape.h"

namespace lathe::tflite {

// The shape is input 1, or in old files an option.
Result<Values> reshape(Node& n) {
  ValueId shape = kNoId;
  if (n.has(1)) {
    shape = n.as_i64(1);
  } else if (const auto* o = n.options<fb::ReshapeOptions>()) {
    auto to = tflite::integers(o->new_shape());
    if (to == std::vector<int64_t>{0}) to.clear();  // how old converters wrote scalars
    shape = n.b.i64s(to);
  }
  // A complex tensor has a dimension more here, of its two parts.
  if (n.in_tensor(0).type() == fb::TensorType::COMPLEX64) shape = n.b.concat({shape, n.b.i64s({2})}, 0);
  if (shape == kNoId) return n.b.ok() ? Result<Values>(damaged("there is no shape")) : n.done(kNoId);
  auto op = std::make_shared<ops::Reshape>();
  op->allow_zero = true;
  const ValueInfo infos[] = {n.b.info(n.in(0)), n.b.info(shape)};
  const auto out = op->infer(infos, [](std::string_view s) { return Dim::symbol(std::string(s)); });
  if (out && is_static((*out)[0].shape)) return n.done(n.b.reshape(n.in(0), (*out)[0].shape));
  return n.done(n.b.add(std::move(op), {n.in(0), shape}));
}

Result<Values> squeeze(Node& n) {
  const auto* o = n.options<fb::SqueezeOptions>();
  const auto given = tflite::integers(o ? o->squeeze_dims() : nullptr);
  LATHE_TRY(const auto axes, Node::axes(given, n.rank(0)));
  Shape target;
  for (int64_t d = 0; d < n.rank(0); ++d) {
    const Dim size = n.shape(0)[static_cast<size_t>(d)];
    const bool listed = std::ranges::binary_search(axes, d);
    if (listed && size.is_const() && !size.equals(1))
      return damaged("dimension " + std::to_string(d) + " of " + shape_str(n.shape(0)) + " is not 1");
    if (!(listed || (given.empty() && size.equals(1)))) target.push_back(size);
  }
  return n.done(n.b.reshape(n.in(0), target));
}

Result<Values> expand_dims(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0) + 1));
  Shape target = n.shape(0);
  target.insert(target.begin() + axis, Dim(1));
  return n.done(n.b.reshape(n.in(0), target));
}

Result<Values> shape_of(Node& n) {
  return n.done(n.b.cast(n.b.add(std::make_shared<ops::ShapeOf>(), {n.in(0)}), n.out_dtype(0)));
}

Result<Values> rank_of(Node& n) { return n.done(n.b.scalar(DType::kI32, static_cast<double>(n.rank(0)))); }

Result<Values> fill(Node& n) {
  const ValueId value = n.b.reshape(n.in(1), {});
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {value, n.as_i64(0)}));
}

Result<Values> range(Node& n) {
  if (n.input_count() != 3) return damaged("takes 3 inputs");
  Values scalars;
  for (const ValueId v : n.inputs()) scalars.push_back(n.b.reshape(v, {}));
  return n.done(n.b.op("Range", std::move(scalars)));
}

Result<Values> broadcast_to(Node& n) {
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {n.in(0), n.as_i64(1)}));
}

// The shape that two shapes broadcast to.
Result<Values> broadcast_args(Node& n) {
  const auto a = content_of(n.b.info(n.in(0))), b = content_of(n.b.info(n.in(1)));
  if (!a || !b) return unsupported("shapes that depend on data are not supported");
  const auto rank = static_cast<int64_t>(std::max(a->size(), b->size()));
  const auto padded = [&](size_t i, size_t have) {
    const ValueId v = n.as_i64(i);
    const std::vector<int64_t> ones(static_cast<size_t>(rank) - have, 1);
    return ones.empty() ? v : n.b.concat({n.b.i64s(ones), v}, 0);
  };
  const ValueId x = padded(0, a->size()), y = padded(1, b->size()), one = n.b.i64(1);
  // A dimension of 1 gives way, also to 0.
  const ValueId r = n.b.op("Where", {n.b.op("Equal", {x, one}), y, x});
  return n.done(n.b.cast(r, n.out_dtype(0)));
}

Result<Values> transpose(Node& n) {
  LATHE_TRY(auto perm, n.integers(1, "the permutation"));
  for (int64_t& p : perm) {
    LATHE_TRY(p, Node::axis(p, n.rank(0)));
  }
  return n.done(n.b.transpose(n.in(0), std::move(perm)));
}

namespace {

Result<int64_t> block_size(const Node& n) {
  const auto* s = n.options<fb::SpaceToDepthOptions>();
  const auto* d = n.options<fb::DepthToSpaceOptions>();
  const int64_t block = s ? s->block_size() : d ? d->block_size() : 0;
  if (block < 1 || block > 1 << 15) return damaged("block size " + std::to_string(block) + " is out of range");
  if (n.rank(0) != 4) return damaged("the input must have rank 4");
  return block;
}

}  // namespace

Result<Values> space_to_depth(Node& n) {
  LATHE_TRY(const int64_t b, block_size(n));
  const Shape s = n.shape(0);
  for (const Dim& d : {s[1], s[2]})
    if (d.is_const() && d.value() % b != 0) return damaged("height and width must be multiples of the block size");
  const Dim h = floor_div(s[1], b), w = floor_div(s[2], b);
  const ValueId moved = n.b.transpose(n.b.reshape(n.in(0), {s[0], h, b, w, b, s[3]}), {0, 1, 3, 2, 4, 5});
  return n.done(n.b.reshape(moved, {s[0], h, w, s[3] * (b * b)}));
}

Result<Values> depth_to_space(Node& n) {
  LATHE_TRY(const int64_t b, block_size(n));
  const Shape s = n.shape(0);
  if (s[3].is_const() && s[3].value() % (b * b) != 0)
    return damaged("the channels are not a multiple of the block size squared");
  const Dim depth = floor_div(s[3], b * b);
  const ValueId moved = n.b.transpose(n.b.reshape(n.in(0), {s[0], s[1], s[2], b, b, depth}), {0, 1, 3, 2, 4, 5});
  return n.done(n.b.reshape(moved, {s[0], s[1] * b, s[2] * b, depth}));
}

namespace {

struct Blocks {
  std::vector<int64_t> sizes, from, to;  ///< block, and what is padded or cropped before and after
};

Result<Blocks> blocks(const Node& n) {
  Blocks b;
  LATHE_TRY(b.sizes, n.integers(1, "the block shape"));
  LATHE_TRY(const auto ends, n.integers(2, "the paddings or crops"));
  const size_t dims = b.sizes.size();
  if (dims == 0 || ends.size() != 2 * dims || static_cast<int64_t>(dims) + 1 > n.rank(0))
    return damaged("the block shape does not fit the input");
  const auto fits = [](int64_t v) { return v >= 0 && v < int64_t{1} << 31; };
  if (!std::ranges::all_of(ends, fits) || !std::ranges::all_of(b.sizes, [&](int64_t v) { return v > 0 && fits(v); }))
    return damaged("the block shape and the paddings or crops must be positive");
  for (size_t d = 0; d < dims; ++d) {
    b.from.push_back(ends[2 * d]);
    b.to.push_back(ends[2 * d + 1]);
  }
  return b;
}

}  // namespace

// [N, (h b), …] → [(b… N), h, …]
Result<Values> space_to_batch(Node& n) {
  LATHE_TRY(const Blocks b, blocks(n));
  const size_t dims = b.sizes.size(), rank = n.shape(0).size();
  std::vector<int64_t> pads(2 * rank, 0);
  for (size_t d = 0; d < dims; ++d) {
    pads[1 + d] = b.from[d];
    pads[rank + 1 + d] = b.to[d];
  }
  ValueId x = n.in(0);
  if (std::ranges::any_of(pads, [](int64_t p) { return p != 0; })) {
    Values inputs = {x, n.b.i64s(pads)};
    if (const Quantization* q = n.quant_in(0)) inputs.push_back(n.scalar(static_cast<double>(q->zero_point())));
    x = n.b.op("Pad", std::move(inputs));
  }
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  Shape split = {s[0]}, out = {s[0]};
  std::vector<int64_t> perm, back = {};
  for (size_t d = 0; d < dims; ++d) {
    const Dim& size = s[d + 1];
    if (size.is_const() && size.value() % b.sizes[d] != 0)
      return damaged("the padded size " + size.str() + " is not a multiple of the block");
    const Dim part = floor_div(size, b.sizes[d]);
    split.insert(split.end(), {part, Dim(b.sizes[d])});
    perm.push_back(static_cast<int64_t>(2 * d + 2));
    back.push_back(static_cast<int64_t>(2 * d + 1));
    out[0] = out[0] * b.sizes[d];
    out.push_back(part);
  }
  perm.push_back(0);
  perm.insert(perm.end(), back.begin(), back.end());
  for (size_t d = dims + 1; d < rank; ++d) {
    perm.push_back(static_cast<int64_t>(split.size()));
    split.push_back(s[d]);
    out.push_back(s[d]);
  }
  return n.done(n.b.reshape(n.b.transpose(n.b.reshape(x, split), perm), out));
}

// [(b… N), h, …] → [N, (h b), …], cropped
Result<Values> batch_to_space(Node& n) {
  LATHE_TRY(const Blocks b, blocks(n));
  const Shape s = n.shape(0);
  const size_t dims = b.sizes.size(), rank = s.size();
  int64_t all = 1;
  Shape split, out;
  for (const int64_t size : b.sizes) {
    if (__builtin_mul_overflow(all, size, &all) || all > int64_t{1} << 31) return damaged("the blocks are too large");
    split.emplace_back(size);
  }
  if (s[0].is_const() && s[0].value() % all != 0) return damaged("the batch is not a multiple of the blocks");
  const Dim batch = floor_div(s[0], all);
  split.push_back(batch);
  out.push_back(batch);
  std::vector<int64_t> perm = {static_cast<int64_t>(dims)};
  for (size_t d = 0; d < dims; ++d) {
    perm.push_back(static_cast<int64_t>(dims + 1 + d));
    perm.push_back(static_cast<int64_t>(d));
    split.push_back(s[d + 1]);
    out.push_back(s[d + 1] * b.sizes[d]);
  }
  for (size_t d = dims + 1; d < rank; ++d) {
    perm.push_back(static_cast<int64_t>(split.size()));
    split.push_back(s[d]);
    out.push_back(s[d]);
  }
  ValueId y = n.b.reshape(n.b.transpose(n.b.reshape(n.in(0), split), perm), out);
  std::vector<int64_t> starts, ends, axes;
  for (size_t d = 0; d < dims; ++d) {
    if (b.from[d] == 0 && b.to[d] == 0) continue;
    const auto size = out[d + 1].as_const();
    if (size && b.from[d] + b.to[d] > *size) return damaged("more is cropped than there is");
    starts.push_back(b.from[d]);
    ends.push_back(b.to[d] == 0 ? int64_t{INT32_MAX} : -b.to[d]);
    axes.push_back(static_cast<int64_t>(d) + 1);
  }
  if (!axes.empty()) y = n.b.op("Slice", {y, n.b.i64s(starts), n.b.i64s(ends), n.b.i64s(axes)});
  return n.done(y);
}

}  // namespace lathe::tflite
