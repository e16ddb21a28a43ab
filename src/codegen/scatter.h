// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/blocks.h"
#include "codegen/numeric.h"

namespace lathe::codegen {

/// What ScatterElements and ScatterND share: the output starts as a copy of x, then takes the updates one after the
/// other (several may fall on one place, and their order counts).
class Scatter {
 public:
  static Result<Scatter> make(Lowering& lowering, const Node& node, const std::string& reduction) {
    Scatter s;
    s.reduction_ = reduction;
    s.type_ = lowering.dtype(node.inputs[0]);
    LATHE_TRY(s.bytes_, element_bytes(s.type_));
    if (reduction != "none" && !Numeric::supports(s.type_))
      return fail(Code::kUnsupported,
                  "a scatter with reduction of " + std::string(dtype_name(s.type_)) + " is not generated yet");
    StridedCopy copy;
    copy.bytes = s.bytes_;
    copy.axes = {{product(lowering.shape(node.inputs[0])), 1, 1}};
    LATHE_CHECK(lower_copy(lowering, node, lowering.buffer(node.inputs[0]), lowering.buffer(node.outputs[0]), copy));
    return s;
  }
  [[nodiscard]] int bytes() const { return bytes_; }
  /// to[0, count) takes from[0, count).
  void put(Emitter& e, Val to, Val from, Val count) const {
    if (reduction_ == "none") return emit_copy(e, to, from, count, bytes_);
    Numeric num{e, type_};
    e.for_vectors(count, num.lanes(), [&](Val i, int n, Val mask) {
      Val place = e.at(to, e.mul(i, bytes_));
      Val a = num.load(place, n, mask), b = num.load(e.at(from, e.mul(i, bytes_)), n, mask);
      num.store(reduction_ == "add"   ? num.add(a, b)
                : reduction_ == "mul" ? num.mul(a, b)
                : reduction_ == "min" ? num.min(a, b)
                                      : num.max(a, b),
                place, mask);
    });
  }

 private:
  std::string reduction_;
  DType type_ = DType::kF32;
  int bytes_ = 4;
};

}  // namespace lathe::codegen
