// SPDX-License-Identifier: Apache-2.0
#include "ops/roi_align.h"

#include "import/onnx/handlers.h"

namespace lathe::onnx {

// Before opset 16 coordinates were not shifted by half an element.
Result<Values> roi_align(Node& n) {
  const std::string mode = n.s("mode", "avg");
  const std::string coordinates =
      n.s("coordinate_transformation_mode", n.opset() < 16 ? "output_half_pixel" : "half_pixel");
  if (mode != "avg" && mode != "max") return damaged("mode \"" + mode + "\" is not avg or max");
  return n.done(n.b.make<ops::RoiAlign>({n.in(0), n.b.cast(n.in(1), n.dtype(0)), n.b.cast(n.in(2), DType::kI64)},
                                        [&](ops::RoiAlign& o) {
                                          o.kind = mode == "avg" ? "average" : "max";
                                          o.height = n.i("output_height", 1);
                                          o.width = n.i("output_width", 1);
                                          o.samples = n.i("sampling_ratio", 0);
                                          o.scale = n.f("spatial_scale", 1);
                                          o.half_pixel = coordinates == "half_pixel";
                                        }));
}

}  // namespace lathe::onnx
