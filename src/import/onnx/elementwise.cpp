// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/handlers.h"
#include "ops/bit_cast.h"
#include "ops/cast.h"

namespace lathe::onnx {

Result<Values> generic(Node& n) {
  const OpInfo* info = find_op(n.canonical());
  if (!info) return unsupported("operator " + std::string(n.canonical()) + " is not supported");
  std::shared_ptr<Op> op = info->make();
  n.copy_attributes(*op);
  Values inputs = n.inputs();
  while (!inputs.empty() && inputs.back() == kNoId) inputs.pop_back();
  return n.done(n.b.add_all(std::move(op), std::move(inputs)));
}

// Before opset 7 the second operand was broadcast only on request, from dimension `axis` on.
Result<Values> binary(Node& n) {
  if (n.opset() >= 7 || n.i("broadcast", 0) == 0 || !n.attr("axis")) return generic(n);
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0)));
  Shape aligned = n.shape(1);
  while (axis + static_cast<int64_t>(aligned.size()) < n.rank(0)) aligned.emplace_back(1);
  return n.done(n.b.op(n.canonical(), {n.in(0), n.b.reshape(n.in(1), aligned)}));
}

// Before opset 7 a vector of slopes was one for each channel.
Result<Values> prelu(Node& n) {
  if (n.opset() >= 7 || n.rank(1) != 1 || n.rank(0) < 2) return generic(n);
  Shape slopes(static_cast<size_t>(n.rank(0) - 1), Dim(1));
  slopes[0] = n.shape(1)[0];
  return n.done(n.b.op("PRelu", {n.in(0), n.b.reshape(n.in(1), slopes)}));
}

Result<Values> identity(Node& n) { return n.done(n.in(0)); }

namespace {

ValueId cast_to(Node& n, DType to) {
  if (n.dtype(0) == to) return n.in(0);
  return n.b.make<ops::Cast>({n.in(0)}, [&](ops::Cast& c) {
    n.copy_attributes(c);
    c.to = to;
  });
}

}  // namespace

Result<Values> cast(Node& n) {
  const int64_t to = n.i("to", 0);
  if (to < 0 || !dtype_valid(static_cast<uint64_t>(to)))
    return unsupported("cast to element type " + std::to_string(to) + " is not supported");
  if (n.dtype(0) == DType::kString || static_cast<DType>(to) == DType::kString)
    return unsupported("casts from and to strings are not supported");
  return n.done(cast_to(n, static_cast<DType>(to)));
}

Result<Values> cast_like(Node& n) {
  if (n.dtype(0) == DType::kString || n.dtype(1) == DType::kString)
    return unsupported("casts from and to strings are not supported");
  return n.done(cast_to(n, n.dtype(1)));
}

Result<Values> bit_cast(Node& n) {
  const int64_t to = n.i("to", 0);
  if (to < 0 || !dtype_valid(static_cast<uint64_t>(to)))
    return unsupported("cast to element type " + std::to_string(to) + " is not supported");
  if (n.dtype(0) == static_cast<DType>(to)) return n.done(n.in(0));
  return n.done(n.b.make<ops::BitCast>({n.in(0)}, [&](ops::BitCast& c) { c.to = static_cast<DType>(to); }));
}

// The bounds are attributes before opset 11.
Result<Values> clip(Node& n) {
  Values inputs = {n.in(0), n.in(1), n.in(2)};
  if (n.attr("min")) inputs[1] = n.b.scalar(n.dtype(0), n.f("min", 0));
  if (n.attr("max")) inputs[2] = n.b.scalar(n.dtype(0), n.f("max", 0));
  while (inputs.back() == kNoId) inputs.pop_back();
  if (inputs.size() == 1) return n.done(inputs[0]);
  if (inputs[1] == kNoId) return n.done(n.b.op("Min", {inputs[0], inputs[2]}));
  return n.done(n.b.op("Clip", std::move(inputs)));
}

}  // namespace lathe::onnx
