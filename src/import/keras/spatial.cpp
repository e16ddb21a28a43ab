// SPDX-License-Identifier: Apache-2.0
// Layers with windows. Those of one dimension are computed in two, of which the first has size 1.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "import/keras/layer.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/pad.h"
#include "ops/pool.h"
#include "ops/resize.h"

namespace lathe::keras {

namespace {

/// The input as [N, H, W, C], and the way back.
struct Image {
  Layer& n;
  bool line = false, first = false;
  ValueId x = kNoId;
  Shape shape;

  explicit Image(Layer& layer) : n(layer), x(layer.x()) {
    const int64_t rank = n.b.rank(x);
    line = rank == 3;
    first = n.s("data_format", "channels_last") == "channels_first";
    if (rank != 3 && rank != 4) {
      n.fail_with(Code::kUnsupported, "takes tensors of one or two spatial dimensions");
      return;
    }
    if (first) x = n.b.transpose(x, line ? std::vector<int64_t>{0, 2, 1} : std::vector<int64_t>{0, 2, 3, 1});
    if (line) x = lifted(x);
    shape = n.b.shape(x);
  }
  [[nodiscard]] size_t dims() const { return line ? 1 : 2; }
  [[nodiscard]] bool ok() const { return n.b.ok() && shape.size() == 4; }
  ValueId lifted(ValueId v) const {
    const Shape s = n.b.shape(v);
    return n.b.ok() && s.size() == 3 ? n.b.reshape(v, {s[0], 1, s[1], s[2]}) : v;
  }
  ValueId back(ValueId y) const {
    const Shape s = n.b.shape(y);
    if (!n.b.ok() || s.size() != 4) return y;
    if (line) y = n.b.reshape(y, {s[0], s[2], s[3]});
    return first ? n.b.transpose(y, line ? std::vector<int64_t>{0, 2, 1} : std::vector<int64_t>{0, 3, 1, 2}) : y;
  }
  /// A setting with one number for each spatial dimension.
  std::vector<int64_t> pair(std::string_view key, int64_t otherwise) const {
    std::vector<int64_t> r = n.sizes(key, dims(), otherwise);
    if (line) r.insert(r.begin(), 1);
    return r;
  }
};

// Begins, then ends.
std::vector<int64_t> padding(Image& m, const std::vector<int64_t>& kernel, const std::vector<int64_t>& strides,
                             const std::vector<int64_t>& dilations) {
  const std::string mode = m.n.s("padding", "valid");
  std::vector<int64_t> pads(4, 0);
  if (mode == "valid" || !m.ok()) return pads;
  for (size_t d = m.line ? 1 : 0; d < 2; ++d) {
    const int64_t reach = (kernel[d] - 1) * dilations[d] + 1;
    if (mode == "causal") {
      pads[d] = reach - 1;
      continue;
    }
    if (mode != "same") {
      m.n.fail_with(Code::kDamaged, "padding \"" + mode + "\" is not known");
      return pads;
    }
    int64_t total = reach - strides[d];  // where the stride divides the size
    if (const auto size = m.shape[1 + d].as_const())
      total = ((*size + strides[d] - 1) / strides[d] - 1) * strides[d] + reach - *size;
    else if (strides[d] != 1)
      m.n.fail_with(Code::kUnsupported, "padding \"same\" with a stride needs known sizes; give them with --shape");
    total = std::max<int64_t>(total, 0);
    pads[d] = total / 2;
    pads[2 + d] = total - total / 2;
  }
  return pads;
}

// Kernels are [h, w, C / group, M], of depthwise layers [h, w, C, multiplier].
ValueId convolved(Image& m, ValueId x, ValueId kernel, bool depthwise, const std::vector<int64_t>& strides,
                  const std::vector<int64_t>& dilations, bool padded) {
  Layer& n = m.n;
  const auto k = static_dims(n.b.shape(kernel));
  if (!m.ok() || n.b.rank(x) != 4) return kNoId;
  const auto channels = n.b.shape(x)[3].as_const();
  if (!k || k->size() != 4 || !channels || std::ranges::any_of(*k, [](int64_t d) { return d < 1; }) ||
      (depthwise ? *channels != (*k)[2] : *channels % (*k)[2] != 0)) {
    n.fail_with(Code::kDamaged, "a kernel of " + shape_str(n.b.shape(kernel)) + " does not fit the input's channels");
    return kNoId;
  }
  const auto pads = padded ? padding(m, {(*k)[0], (*k)[1]}, strides, dilations) : std::vector<int64_t>(4, 0);
  const ValueId w = depthwise
                        ? n.b.reshape(n.b.transpose(kernel, {2, 3, 0, 1}), {(*k)[2] * (*k)[3], (*k)[0], (*k)[1], 1})
                        : n.b.transpose(kernel, {3, 0, 1, 2});
  return n.b.make<ops::Conv>({x, w}, [&](ops::Conv& c) {
    c.strides = strides;
    c.dilations = dilations;
    c.pads = pads;
    c.group = depthwise ? *channels : *channels / (*k)[2];
  });
}

ValueId kernel_of(Image& m, ValueId w) {
  return m.line ? [&] {
    const Shape s = m.n.b.shape(w);
    return m.n.b.ok() && s.size() == 3 ? m.n.b.reshape(w, {1, s[0], s[1], s[2]}) : w;
  }()
                : w;
}

}  // namespace

Result<Values> conv(Layer& n) {
  const bool depthwise = n.variant() == "depthwise", bias = n.flag("use_bias", true);
  Image m(n);
  const Values w = n.weights("", bias ? 2 : 1);
  ValueId y = convolved(m, m.x, kernel_of(m, w[0]), depthwise, m.pair("strides", 1), m.pair("dilation_rate", 1), true);
  if (bias) y = n.b.op("Add", {y, w[1]});
  return n.done(activated(n, m.back(y), "activation"));
}

Result<Values> separable(Layer& n) {
  const bool bias = n.flag("use_bias", true);
  Image m(n);
  const Values w = n.weights("", bias ? 3 : 2);
  ValueId y = convolved(m, m.x, kernel_of(m, w[0]), true, m.pair("strides", 1), m.pair("dilation_rate", 1), true);
  y = convolved(m, y, kernel_of(m, w[1]), false, {1, 1}, {1, 1}, false);
  if (bias) y = n.b.op("Add", {y, w[2]});
  return n.done(activated(n, m.back(y), "activation"));
}

// Kernels are [h, w, M, C]. The result is stride times as large ("same"), or as large as all windows together.
Result<Values> conv_transpose(Layer& n) {
  const bool bias = n.flag("use_bias", true);
  Image m(n);
  const Values w = n.weights("", bias ? 2 : 1);
  const ValueId kernel = kernel_of(m, w[0]);
  const auto strides = m.pair("strides", 1), dilations = m.pair("dilation_rate", 1);
  if (n.setting("output_padding")) return unsupported("output_padding is not supported");
  const auto k = static_dims(n.b.shape(kernel));
  if (!m.ok()) return n.done(kNoId);
  if (!k || k->size() != 4) return damaged("the kernel must have constant sizes");
  const std::string mode = n.s("padding", "valid");
  std::vector<int64_t> pads(4, 0), extra(2, 0);
  for (size_t d = 0; d < 2; ++d) {
    const int64_t reach = ((*k)[d] - 1) * dilations[d] + 1, over = reach - strides[d];
    if (m.line && d == 0) continue;
    if (mode == "same") {
      pads[d] = std::max<int64_t>(over, 0) / 2;
      pads[2 + d] = std::max<int64_t>(over, 0) - pads[d];
    }
    if (over < 0) extra[d] = -over;
  }
  const ValueId filter = n.b.transpose(kernel, {2, 0, 1, 3});
  ValueId y = n.b.make<ops::ConvTranspose>({m.x, filter}, [&](ops::ConvTranspose& c) {
    c.strides = strides;
    c.dilations = dilations;
    c.pads = pads;
    c.output_padding = extra;
  });
  if (bias) y = n.b.op("Add", {y, w[1]});
  return n.done(activated(n, m.back(y), "activation"));
}

Result<Values> pool(Layer& n) {
  Image m(n);
  const auto kernel = m.pair("pool_size", 2);
  auto strides = n.setting("strides") ? m.pair("strides", 1) : kernel;
  const auto pads = padding(m, kernel, strides, {1, 1});
  const ValueId y = n.b.make<ops::Pool>({m.x}, [&](ops::Pool& p) {
    p.kind = n.variant();
    p.kernel = kernel;
    p.strides = strides;
    p.pads = pads;
  });
  return n.done(m.back(y));
}

Result<Values> global_pool(Layer& n) {
  const bool first = n.s("data_format", "channels_last") == "channels_first";
  const int64_t rank = n.b.rank(n.x());
  if (rank < 3) return damaged("takes a tensor with spatial dimensions");
  std::vector<int64_t> axes;
  for (int64_t d = first ? 2 : 1; d < (first ? rank : rank - 1); ++d) axes.push_back(d);
  return n.done(n.b.reduce(n.variant(), n.x(), axes, n.flag("keepdims", false)));
}

namespace {

// [[top, bottom], [left, right]], [height, width] or one number; of one dimension [begin, end] or one number.
Result<std::vector<int64_t>> edges(Image& m, std::string_view key) {
  const Json* j = m.n.setting(key);
  std::vector<int64_t> all;
  const auto add = [&](const auto& self, const Json& e) -> void {
    if (e.is_array() && e.size() <= 2)
      for (const Json& inner : e) self(self, inner);
    else
      all.push_back(e.is_number_integer() ? e.get<int64_t>() : -1);
  };
  if (j) add(add, *j);
  const size_t dims = m.dims();
  if (all.size() == 1) all.assign(2 * dims, all[0]);
  if (dims == 2 && all.size() == 2) all = {all[0], all[0], all[1], all[1]};
  if (all.size() != 2 * dims || std::ranges::any_of(all, [](int64_t v) { return v < 0 || v >= int64_t{1} << 31; }))
    return damaged("setting \"" + std::string(key) + "\" is out of range");
  if (dims == 1) all.insert(all.begin(), {0, 0});
  return all;
}

}  // namespace

Result<Values> pad(Layer& n) {
  Image m(n);
  LATHE_TRY(const auto e, edges(m, "padding"));
  return n.done(m.back(n.b.make<ops::Pad>({m.x, n.b.i64s({0, e[0], e[2], 0, 0, e[1], e[3], 0})}, [](ops::Pad&) {})));
}

Result<Values> crop(Layer& n) {
  Image m(n);
  LATHE_TRY(const auto e, edges(m, "cropping"));
  ValueId y = m.x;
  for (size_t d = 0; d < 2; ++d)
    if (e[2 * d] != 0 || e[2 * d + 1] != 0)
      y = n.b.slice(y, static_cast<int64_t>(d) + 1, e[2 * d], e[2 * d + 1] == 0 ? INT64_MAX : -e[2 * d + 1]);
  return n.done(m.back(y));
}

// UpSampling and Resizing.
Result<Values> upsample(Layer& n) {
  Image m(n);
  const std::string mode = n.s("interpolation", n.variant() == "Resizing" ? "bilinear" : "nearest");
  if (mode != "nearest" && mode != "bilinear") return unsupported("interpolation \"" + mode + "\" is not supported");
  if (!m.ok()) return n.done(kNoId);
  auto op = std::make_shared<ops::Resize>();
  op->mode = mode == "nearest" ? "nearest" : "linear";
  op->coordinate = mode == "nearest" ? "asymmetric" : "half_pixel";
  op->nearest_mode = "floor";
  if (n.variant() == "Resizing") {
    for (const char* key : {"crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"})
      if (n.flag(key, false)) return unsupported(std::string(key) + " is not supported");
    const auto height = m.shape[1].as_const(), width = m.shape[2].as_const();
    if (!height || !width) return unsupported("needs known sizes; give them with --shape");
    op->coordinate = "half_pixel";
    op->nearest_mode = "round_prefer_ceil";
    // The batch may be open: factors, from which the sizes follow exactly.
    const auto factor = [](int64_t from, int64_t to) {
      double f = static_cast<double>(to) / static_cast<double>(from);
      while (std::floor(static_cast<double>(from) * f) < static_cast<double>(to)) f = std::nextafter(f, INFINITY);
      return f;
    };
    if (*height < 1 || *width < 1) return damaged("takes an image");
    op->scales = {1, factor(*height, n.sizes("height", 1, 1)[0]), factor(*width, n.sizes("width", 1, 1)[0]), 1};
  } else {
    const auto factors = m.pair("size", 2);
    op->scales = {1, static_cast<double>(factors[0]), static_cast<double>(factors[1]), 1};
  }
  const ValueId x = n.b.dtype(m.x) == DType::kF32 ? m.x : n.b.cast(m.x, DType::kF32);
  return n.done(m.back(n.b.add(std::move(op), {x})));
}

}  // namespace lathe::keras
