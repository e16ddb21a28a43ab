// SPDX-License-Identifier: Apache-2.0
// Operators that make constants, tell shapes or change the shape alone.
#include <algorithm>

#include "import/tensorflow/handlers.h"
#include "import/tensorflow/importer.h"
#include "ops/expand.h"
#include "ops/range.h"
#include "ops/reshape.h"
#include "ops/shape.h"

namespace lathe::tensorflow {

Result<Items> constant(Node& n) {
  const auto* a = n.attr("value");
  if (!a || a->kind != proto::Attr::Kind::kTensor) return damaged("a constant without a value");
  std::vector<float> imaginary;
  LATHE_TRY(Tensor t, n.importer().tensor(a->tensor, &imaginary));
  const auto dims = t.dims();
  const ValueId re = n.b.constant(std::move(t));
  if (imaginary.empty()) return n.done(re);
  return n.done(Items{Item(re, n.b.constant(Tensor::of<float>(DType::kF32, dims, imaginary)))});
}

Result<Items> reshape(Node& n) {
  LATHE_CHECK(n.needs(2));
  const ValueId shape = n.b.cast(n.in(1), DType::kI64);
  if (!n.b.ok()) return n.done(shape);
  // Where the sizes can be told they are written down plainly, and what computed them is dead.
  auto op = std::make_shared<ops::Reshape>();
  op->allow_zero = true;
  const ValueInfo infos[] = {n.b.info(n.in(0)), n.b.info(shape)};
  bool fresh = false;
  const auto out = op->infer(infos, [&](std::string_view s) {
    fresh = true;
    return Dim::symbol(std::string(s));
  });
  if (!out) return std::unexpected(out.error());
  if (!fresh) {
    const Shape target = (*out)[0].shape;
    const Shape have = n.shape(0);
    // One size that is none of the input's may be left to be computed; two may not.
    const auto unknown = std::ranges::count_if(
        target, [&](const Dim& d) { return !d.is_const() && std::ranges::find(have, d) == have.end(); });
    if (unknown <= 1) return n.done(n.b.reshape(n.in(0), target));
  }
  return n.done(n.b.add(std::move(op), {n.in(0), shape}));
}

Result<Items> squeeze(Node& n) {
  LATHE_CHECK(n.needs(1));
  auto axes = n.ints("squeeze_dims");
  if (axes.empty()) axes = n.ints("axis");
  const Shape s = n.shape(0);
  std::vector<bool> drop(s.size(), false);
  for (const int64_t given : axes) {
    LATHE_TRY(const int64_t a, Node::axis(given, n.rank(0)));
    const auto k = static_cast<size_t>(a);
    if (s[k].is_const() && !s[k].equals(1))
      return damaged("dimension " + std::to_string(a) + " of " + shape_str(s) + " is not 1");
    drop[k] = true;
  }
  Shape target;
  for (size_t d = 0; d < s.size(); ++d)
    if (axes.empty() ? !s[d].equals(1) : !drop[d]) target.push_back(s[d]);
  return n.done(n.b.reshape(n.in(0), target));
}

Result<Items> expand_dims(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0) + 1));
  Shape s = n.shape(0);
  s.insert(s.begin() + axis, Dim(1));
  return n.done(n.b.reshape(n.in(0), s));
}

Result<Items> transpose(Node& n) {
  LATHE_TRY(auto perm, n.integers(1, "the permutation"));
  if (static_cast<int64_t>(perm.size()) != n.rank(0)) return damaged("the permutation does not fit the input");
  for (int64_t& p : perm) {
    LATHE_TRY(p, Node::axis(p, n.rank(0)));
  }
  return n.done(n.b.transpose(n.in(0), std::move(perm)));
}

// Shape and ShapeN; of 32 bits unless out_type says otherwise.
Result<Items> shape_of(Node& n) {
  LATHE_CHECK(n.needs(1));
  DType type = DType::kI32;
  if (n.attr("out_type")) {
    LATHE_TRY(type, n.type("out_type"));
  }
  Items out;
  for (const Item& i : n.items())
    out.emplace_back(n.b.cast(n.b.add(std::make_shared<ops::ShapeOf>(), {i.value}), type));
  return n.done(std::move(out));
}

// Size (the number of elements) and Rank.
Result<Items> size_of(Node& n) {
  LATHE_CHECK(n.needs(1));
  DType type = DType::kI32;
  if (n.attr("out_type")) {
    LATHE_TRY(type, n.type("out_type"));
  }
  const ValueId v = n.op() == "Rank" ? n.b.i64(n.rank(0)) : n.b.op("Size", {n.in(0)});
  return n.done(n.b.cast(v, type));
}

Result<Items> fill(Node& n) {
  LATHE_CHECK(n.needs(2));
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {n.in(1), n.b.cast(n.in(0), DType::kI64)}));
}

// ZerosLike and OnesLike.
Result<Items> like(Node& n) {
  LATHE_CHECK(n.needs(1));
  const ValueId value = n.number(n.op() == "OnesLike" ? 1 : 0);
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {value, n.b.shape_value(n.shape(0), {n.in(0)}, false)}));
}

Result<Items> broadcast_to(Node& n) {
  LATHE_CHECK(n.needs(2));
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {n.in(0), n.b.cast(n.in(1), DType::kI64)}));
}

Result<Items> range(Node& n) {
  LATHE_CHECK(n.needs(3));
  return n.done(n.b.add(std::make_shared<ops::Range>(), n.values()));
}

// MatrixBandPart: zero beyond num_lower diagonals below and num_upper above the main one; negative: all of them stay.
Result<Items> band_part(Node& n) {
  LATHE_TRY(const int64_t lower, n.integer(1, "num_lower"));
  LATHE_TRY(const int64_t upper, n.integer(2, "num_upper"));
  if (n.rank(0) < 2) return damaged("takes matrices");
  const auto s = n.shape(0);
  const auto rows = s[s.size() - 2].as_const(), columns = s.back().as_const();
  if (!rows || !columns || *rows * *columns > int64_t{1} << 26)
    return unsupported("the matrices' sizes must be constant");
  Tensor band = Tensor::zeros(DType::kBool, {*rows, *columns});
  for (int64_t r = 0; r < *rows; ++r)
    for (int64_t c = 0; c < *columns; ++c)
      band.set_i64(r * *columns + c, (lower < 0 || r - c <= lower) && (upper < 0 || c - r <= upper) ? 1 : 0);
  if (n.dtype(0) == DType::kBool) return n.done(n.b.op("And", {n.in(0), n.b.constant(std::move(band))}));
  return n.done(n.b.op("Where", {n.b.constant(std::move(band)), n.in(0), n.number(0)}));
}

}  // namespace lathe::tensorflow
