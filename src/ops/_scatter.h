// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/_data.h"

namespace lathe::ops {

/// A copy of x whose elements are combined with updates one by one.
class Scatterer {
 public:
  /// `reduction`: none | add | mul | min | max.
  Scatterer(const Tensor& x, const Tensor& updates, const std::string& reduction);
  void put(int64_t i, int64_t update);
  Result<Tensor> take();
  static Status check(const std::string& reduction, DType dtype);

 private:
  const Tensor& updates_;
  const std::string& reduction_;
  Elements plain_;
  Tensor sums_;
};

}  // namespace lathe::ops
