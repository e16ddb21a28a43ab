// SPDX-License-Identifier: Apache-2.0
// Operators that make constants or change the shape alone.
#include <algorithm>
#include <numeric>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "ops/expand.h"
#include "ops/reshape.h"
#include "ops/transpose.h"

namespace lathe::onnx {

Result<Values> constant(Node& n) {
  if (const auto* a = n.attr("value")) {
    if (a->tensors.size() != 1) return damaged("attribute value is not a tensor");
    LATHE_TRY(Tensor t, n.importer().tensor(a->tensors[0]));
    return n.done(n.b.constant(std::move(t)));
  }
  if (const auto* a = n.attr("value_float")) return n.done(n.b.scalar(DType::kF32, static_cast<double>(a->f)));
  if (const auto* a = n.attr("value_int")) return n.done(n.b.i64(a->i));
  if (const auto* a = n.attr("value_ints")) return n.done(n.b.i64s(a->ints));
  if (const auto* a = n.attr("value_floats"))
    return n.done(n.b.constant(Tensor::of<float>(DType::kF32, {static_cast<int64_t>(a->floats.size())}, a->floats)));
  if (const auto* a = n.attr("value_string")) return n.done(n.b.constant(Tensor::of_strings({}, {std::string(a->s)})));
  if (n.attr("value_strings")) {
    auto strings = n.strings("value_strings");
    const auto count = static_cast<int64_t>(strings.size());
    return n.done(n.b.constant(Tensor::of_strings({count}, std::move(strings))));
  }
  if (n.attr("sparse_value")) return unsupported("sparse tensors are not supported");
  return damaged("a constant without a value");
}

Result<Values> constant_of_shape(Node& n) {
  Tensor value = Tensor::zeros(DType::kF32, {});
  if (const auto* a = n.attr("value")) {
    if (a->tensors.size() != 1) return damaged("attribute value is not a tensor");
    LATHE_TRY(value, n.importer().tensor(a->tensors[0]));
    if (value.count() != 1) return damaged("attribute value must have one element");
    value = value.reshaped({});
  }
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {n.b.constant(std::move(value)), n.b.sizes(n.in(0))}));
}

namespace {

// Sizes that depend on data, with 0 (copy the input's) and -1 (what is left) worked out when the model runs.
ValueId resolved(Node& n, ValueId sizes, bool allow_zero) {
  auto& b = n.b;
  const auto count = b.shape(sizes).size() == 1 ? b.shape(sizes)[0].as_const() : std::nullopt;
  if (!count || *count > 64) return sizes;
  sizes = b.cast(sizes, DType::kI64);
  const ValueId x = b.op("Shape", {n.in(0)});
  if (!allow_zero) {
    ValueId copied = n.rank(0) > *count ? b.slice(x, 0, 0, *count) : x;
    if (n.rank(0) < *count)
      copied = b.concat({x, b.i64s(std::vector<int64_t>(static_cast<size_t>(*count - n.rank(0)), 0))}, 0);
    sizes = b.op("Where", {b.op("Equal", {sizes, b.i64(0)}), copied, sizes});
  }
  const ValueId left = b.op("Equal", {sizes, b.i64(-1)});
  const ValueId others = b.reduce("prod", b.op("Where", {left, b.i64(1), sizes}), {0}, true);
  const ValueId rest = b.op("Div", {b.reduce("prod", x, {0}, true), b.op("Max", {others, b.i64(1)})});
  return b.sizes(b.op("Where", {left, rest, sizes}));
}

}  // namespace

Result<Values> reshape(Node& n) {
  ValueId shape = n.in(1);
  if (const auto given = n.ints("shape"); given && n.opset() < 5) shape = n.b.i64s(*given);
  if (shape == kNoId) return damaged("there is no shape");
  // What the rule can tell of the result is written down plainly: sizes without 0 and -1.
  auto op = std::make_shared<ops::Reshape>();
  op->allow_zero = n.i("allowzero", 0) != 0;
  const ValueInfo infos[] = {n.b.info(n.in(0)), n.b.info(shape)};
  const auto out = op->infer(infos, [](std::string_view s) { return Dim::symbol(std::string(s)); });
  if (out && is_static((*out)[0].shape)) return n.done(n.b.reshape(n.in(0), (*out)[0].shape));
  if (!content_of(n.b.info(shape))) shape = resolved(n, shape, op->allow_zero);
  return n.done(n.b.add(std::move(op), {n.in(0), shape}));
}

Result<Values> flatten(Node& n) {
  const int64_t rank = n.rank(0), axis = n.i("axis", 1) < 0 ? n.i("axis", 1) + rank : n.i("axis", 1);
  if (axis < 0 || axis > rank)
    return damaged("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  const Shape s = n.shape(0);
  return n.done(n.b.reshape(n.in(0), {product({s.begin(), s.begin() + axis}), product({s.begin() + axis, s.end()})}));
}

Result<Values> squeeze(Node& n) {
  if (computed(n, 1)) return squeeze_computed(n);
  LATHE_TRY(const auto given, n.axes_of(1));
  Shape target;
  if (given) {
    LATHE_TRY(const auto axes, Node::axes(*given, n.rank(0)));
    for (int64_t d = 0; d < n.rank(0); ++d) {
      const Dim size = n.shape(0)[static_cast<size_t>(d)];
      if (!std::ranges::binary_search(axes, d))
        target.push_back(size);
      else if (size.is_const() && !size.equals(1))
        return damaged("dimension " + std::to_string(d) + " of " + shape_str(n.shape(0)) + " is not 1");
    }
  } else {
    const Shape s = n.shape(0);
    std::ranges::copy_if(s, std::back_inserter(target), [](const Dim& d) { return !d.equals(1); });
  }
  return n.done(n.b.reshape(n.in(0), target));
}

Result<Values> unsqueeze(Node& n) {
  if (computed(n, 1)) return unsqueeze_computed(n);
  LATHE_TRY(const auto given, n.axes_of(1));
  if (!given) return damaged("axes are missing");
  const int64_t rank = n.rank(0) + static_cast<int64_t>(given->size());
  LATHE_TRY(const auto axes, Node::axes(*given, rank));
  Shape target;
  const Shape s = n.shape(0);
  auto from = s.begin();
  for (int64_t d = 0; d < rank; ++d) target.push_back(std::ranges::binary_search(axes, d) ? Dim(1) : *from++);
  return n.done(n.b.reshape(n.in(0), target));
}

Result<Values> transpose(Node& n) {
  std::vector<int64_t> perm(static_cast<size_t>(n.rank(0)));
  for (size_t d = 0; d < perm.size(); ++d) perm[d] = n.rank(0) - 1 - static_cast<int64_t>(d);
  if (auto given = n.ints("perm")) perm = *std::move(given);
  return n.done(n.b.transpose(n.in(0), std::move(perm)));
}

namespace {

Result<int64_t> block_size(const Node& n) {
  const int64_t block = n.i("blocksize", 0);
  if (block < 1 || block > 1 << 20) return damaged("blocksize " + std::to_string(block) + " is out of range");
  if (n.rank(0) != 4) return damaged("the input must have rank 4");
  return block;
}

}  // namespace

Result<Values> depth_to_space(Node& n) {
  LATHE_TRY(const int64_t b, block_size(n));
  const Shape s = n.shape(0);
  const Dim depth = floor_div(s[1], b * b);
  if (s[1].is_const() && s[1].value() % (b * b) != 0)
    return damaged("the channels are not a multiple of blocksize squared");
  const bool crd = n.s("mode", "DCR") == "CRD";
  const ValueId split =
      n.b.reshape(n.in(0), crd ? Shape{s[0], depth, b, b, s[2], s[3]} : Shape{s[0], b, b, depth, s[2], s[3]});
  const ValueId moved =
      n.b.transpose(split, crd ? std::vector<int64_t>{0, 1, 4, 2, 5, 3} : std::vector<int64_t>{0, 3, 4, 1, 5, 2});
  return n.done(n.b.reshape(moved, {s[0], depth, s[2] * b, s[3] * b}));
}

Result<Values> space_to_depth(Node& n) {
  LATHE_TRY(const int64_t b, block_size(n));
  const Shape s = n.shape(0);
  for (const Dim& d : {s[2], s[3]})
    if (d.is_const() && d.value() % b != 0) return damaged("height and width must be multiples of blocksize");
  const Dim h = floor_div(s[2], b), w = floor_div(s[3], b);
  const ValueId split = n.b.reshape(n.in(0), {s[0], s[1], h, b, w, b});
  const bool crd = n.s("mode", "DCR") == "CRD";
  const ValueId moved =
      n.b.transpose(split, crd ? std::vector<int64_t>{0, 1, 3, 5, 2, 4} : std::vector<int64_t>{0, 3, 5, 1, 2, 4});
  return n.done(n.b.reshape(moved, {s[0], s[1] * (b * b), h, w}));
}

Result<Values> eye_like(Node& n) {
  const auto dims = static_dims(n.shape(0));
  if (!dims || dims->size() != 2)
    return unsupported("the shape " + shape_str(n.shape(0)) + " must be constant and a matrix");
  const int64_t raw = n.i("dtype", static_cast<int64_t>(n.dtype(0)));
  if (raw < 1 || !dtype_valid(static_cast<uint64_t>(raw)))
    return damaged("dtype " + std::to_string(raw) + " is not known");
  if (!importer::checked_bytes(static_cast<DType>(raw), *dims, size_t{1} << 32))
    return unsupported("the matrix is too large");
  Tensor eye = Tensor::zeros(static_cast<DType>(raw), *dims);
  const int64_t k = n.i("k", 0);
  for (int64_t i = 0; i < (*dims)[0]; ++i)
    if (k > -(*dims)[0] && k < (*dims)[1] && i + k >= 0 && i + k < (*dims)[1]) eye.set(i * (*dims)[1] + i + k, 1);
  return n.done(n.b.constant(std::move(eye)));
}

}  // namespace lathe::onnx
