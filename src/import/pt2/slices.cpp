// SPDX-License-Identifier: Apache-2.0
// Operators that join tensors or take parts of them.
#include "ops/slice.h"

#include <algorithm>
#include <limits>

#include "import/pt2/handlers.h"
#include "ops/concat.h"
#include "ops/gather.h"
#include "ops/pad.h"

namespace lathe::pt2 {

namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

ValueId without(Node& n, ValueId x, int64_t axis) {
  if (!n.b.ok()) return kNoId;
  Shape s = n.b.shape(x);
  s.erase(s.begin() + axis);
  return n.b.reshape(x, s);
}

ValueId element(Node& n, ValueId x, int64_t axis, int64_t at) {
  return without(n, n.b.slice(x, axis, at, at == -1 ? kEnd : at + 1), axis);
}

// Consecutive parts of `sizes`.
Values parts(Node& n, ValueId x, int64_t axis, const std::vector<int64_t>& sizes) {
  Values r;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    if (size < 0) n.fail_with(Code::kDamaged, "a part has a negative size");
    r.push_back(n.b.slice(x, axis, at, at + size));
    at += size;
  }
  return r;
}

// [dims..., size, ...] at windows that start at `starts`: [..., windows, length, ...].
ValueId windows(Node& n, ValueId x, int64_t axis, const std::vector<int64_t>& starts, int64_t length, int64_t spacing) {
  std::vector<int64_t> at;
  for (const int64_t s : starts)
    for (int64_t i = 0; i < length; ++i) at.push_back(s + i * spacing);
  const Tensor indices = Tensor::vector_i64(at).reshaped({static_cast<int64_t>(starts.size()), length});
  return n.b.make<ops::Gather>({x, n.b.constant(indices)}, [&](ops::Gather& g) { g.axis = axis; });
}

constexpr int64_t kMostWindows = int64_t{1} << 24;

}  // namespace

Result<Values> cat(Node& n) {
  Values xs = n.tensors("tensors");
  if (!n.b.ok()) return n.done(kNoId);
  // Empty vectors are left out, whatever the rank of the others.
  if (xs.size() > 1) std::erase_if(xs, [&](ValueId v) { return n.b.rank(v) == 1 && n.b.shape(v)[0].equals(0); });
  if (xs.empty()) return damaged("there are no tensors");
  DType t = n.b.dtype(xs[0]);
  for (const ValueId v : xs) t = promote_types(t, n.b.dtype(v));
  for (ValueId& v : xs) v = n.b.cast(v, t);
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(xs[0]));
  if (!n.b.ok() || xs.size() == 1) return n.done(xs[0]);
  return n.done(n.b.concat(std::move(xs), axis));
}

Result<Values> stack(Node& n) {
  Values xs = n.tensors("tensors");
  if (!n.b.ok()) return n.done(kNoId);
  if (xs.empty()) return damaged("there are no tensors");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(xs[0]) + 1);
  if (!n.b.ok()) return n.done(kNoId);
  DType t = n.b.dtype(xs[0]);
  for (const ValueId v : xs) t = promote_types(t, n.b.dtype(v));
  for (ValueId& v : xs) {
    Shape s = n.b.shape(v);
    if (static_cast<int64_t>(s.size()) < axis) return damaged("the tensors differ in rank");
    s.insert(s.begin() + axis, Dim(1));
    v = n.b.reshape(n.b.cast(v, t), s);
  }
  return n.done(n.b.concat(std::move(xs), axis));
}

// vstack, hstack, dstack: vectors get the dimensions that they lack first. The row names the dimension.
Result<Values> stack_along(Node& n) {
  Values xs = n.tensors("tensors");
  if (!n.b.ok()) return n.done(kNoId);
  if (xs.empty()) return damaged("there are no tensors");
  const std::string_view how = n.canonical();
  int64_t axis = how == "v" ? 0 : how == "h" ? 1 : 2;
  if (how == "h" && n.b.rank(xs[0]) <= 1) axis = 0;
  DType t = n.b.dtype(xs[0]);
  for (const ValueId v : xs) t = promote_types(t, n.b.dtype(v));
  for (ValueId& v : xs) {
    Shape s = n.b.shape(v);
    if (s.empty()) s.emplace_back(1);
    if (how != "h" && s.size() == 1) s.insert(s.begin(), Dim(1));
    if (how == "d" && s.size() == 2) s.emplace_back(1);
    v = n.b.reshape(n.b.cast(v, t), s);
  }
  return n.done(n.b.concat(std::move(xs), axis));
}

Result<Values> slice(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x)), step = n.i("step", 1);
  const Dim start = n.dim("start", 0), end = n.dim("end", kEnd);
  if (!n.b.ok()) return n.done(kNoId);
  if (step < 1) return damaged("the step is not positive");
  const Dim size = n.b.shape(x)[static_cast<size_t>(axis)];
  const bool whole =
      end.equals(kEnd) || end == size || (end.is_const() && size.is_const() && end.value() >= size.value());
  if (start.equals(0) && step == 1 && whole) return n.done(x);
  Values in = {x, n.b.dim_value(start), n.b.dim_value(end), n.b.i64s({axis})};
  if (step != 1) in.push_back(n.b.i64s({step}));
  return n.done(n.b.add(std::make_shared<ops::Slice>(), std::move(in)));
}

Result<Values> select(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  const Dim at = n.dim("index", 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (at.is_const()) {
    if (const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const())
      if (at.value() < -*size || at.value() >= *size) return damaged("the index is out of range");
    return n.done(element(n, x, axis, at.value()));
  }
  const ValueId index = n.b.reshape(n.b.dim_value(at), {});
  return n.done(n.b.make<ops::Gather>({x, index}, [&](ops::Gather& g) { g.axis = axis; }));
}

Result<Values> narrow(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (n.is_tensor("start")) return unsupported("a start that is a tensor is not supported");
  const Dim start = n.dim("start", 0), length = n.dim("length", 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (start.is_const() && length.is_const() && start.value() < 0 && start.value() + length.value() == 0)
    return n.done(n.b.slice(x, axis, start.value(), kEnd));
  return n.done(n.b.add(std::make_shared<ops::Slice>(),
                        {x, n.b.dim_value(start), n.b.dim_value(start + length), n.b.i64s({axis})}));
}

namespace {

// Parts whose sizes depend on sizes of the input or on data.
Values parts(Node& n, ValueId x, int64_t axis, const Shape& sizes) {
  Values r;
  const Dim total = n.b.shape(x)[static_cast<size_t>(axis)];
  Dim at = 0;
  for (const Dim& size : sizes) {
    if (size == total)
      r.push_back(x);
    else
      r.push_back(
          n.b.add(std::make_shared<ops::Slice>(), {x, n.b.dim_value(at), n.b.dim_value(at + size), n.b.i64s({axis})}));
    at = at + size;
  }
  return r;
}

}  // namespace

// split (parts of one size, or of the sizes given), split_with_sizes.
Result<Values> split(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  const char* name = n.has("split_sizes") ? "split_sizes" : "split_size";
  if (std::string_view(name) == "split_sizes") {
    const Shape given = n.dims(name);
    if (n.b.ok() && !static_dims(given)) return n.done(parts(n, x, axis, given));
  }
  std::vector<int64_t> sizes = n.ints(name);
  if (!n.b.ok()) return n.done(kNoId);
  if (std::string_view(name) == "split_size" && sizes.size() == 1) {
    const auto total = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
    const auto count = static_cast<int64_t>(n.output_count());
    if (sizes[0] < 1 || count < 1) return damaged("the size of a part must be positive");
    const int64_t part = sizes[0];
    sizes.assign(static_cast<size_t>(count), part);
    if (total) sizes.back() = std::min(part, *total - part * (count - 1));
  }
  return n.done(parts(n, x, axis, sizes));
}

// So many parts; chunk makes all but the last of one size, tensor_split differs by one at most.
Result<Values> chunk(Node& n) {
  const ValueId x = n.tensor("self");
  const std::string_view way = n.canonical();  // hsplit, vsplit and dsplit name the dimension
  const int64_t along = way == "h" ? (n.b.rank(x) == 1 ? 0 : 1) : way == "v" ? 0 : way == "d" ? 2 : n.i("dim", 0);
  const int64_t axis = n.axis(along, n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  const auto total = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!total) return unsupported("the dimension that is split must be known");
  std::vector<int64_t> sizes;
  if (!way.empty()) {
    if (n.has("indices")) {
      int64_t before = 0;
      for (int64_t at : n.ints("indices")) {
        at = std::clamp<int64_t>(at < 0 ? at + *total : at, before, *total);
        sizes.push_back(at - before);
        before = at;
      }
      sizes.push_back(*total - before);
    } else {
      const int64_t count = n.i("sections", 1);
      if (count < 1 || count > 1 << 20) return damaged("the number of parts is out of range");
      for (int64_t i = 0; i < count; ++i) sizes.push_back(*total / count + (i < *total % count ? 1 : 0));
    }
  } else {
    const int64_t count = n.i("chunks", 1);
    if (count < 1 || count > 1 << 20) return damaged("the number of parts is out of range");
    const int64_t part = std::max<int64_t>((*total + count - 1) / count, 1);
    for (int64_t at = 0; at < *total; at += part) sizes.push_back(std::min(part, *total - at));
  }
  return n.done(parts(n, x, axis, sizes));
}

Result<Values> unbind(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  const auto count = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!count || *count > 1 << 20) return unsupported("the dimension that is taken apart must be known");
  Values r;
  for (int64_t i = 0; i < *count; ++i) r.push_back(element(n, x, axis, i));
  return n.done(std::move(r));
}

// A copy of self with a part replaced by src (slice_scatter; select_scatter where the row says so).
Result<Values> slice_scatter(Node& n) {
  const ValueId x = n.tensor("self");
  ValueId src = n.tensor("src");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  const bool one = n.canonical() == "select";
  if (!one && n.i("step", 1) != 1) return view_scatter(n);
  if (!size) return unsupported("it needs a known dimension");
  const auto position = [&](const char* name, int64_t otherwise) {
    const int64_t v = n.i(name, otherwise);
    return std::clamp<int64_t>(v < 0 ? v + *size : v, 0, *size);
  };
  const int64_t start = position(one ? "index" : "start", 0);
  const int64_t end = one ? std::min(start + 1, *size) : std::max(start, position("end", kEnd));
  if (one) {
    Shape s = n.b.shape(src);
    if (static_cast<int64_t>(s.size()) < axis) return damaged("src does not fit");
    s.insert(s.begin() + axis, Dim(1));
    src = n.b.reshape(src, s);
  }
  Values pieces;
  if (start > 0) pieces.push_back(n.b.slice(x, axis, 0, start));
  if (end > start) pieces.push_back(n.b.cast(src, n.b.dtype(x)));
  if (end < *size) pieces.push_back(n.b.slice(x, axis, end, *size));
  return n.done(pieces.size() == 1 ? pieces[0] : n.b.concat(std::move(pieces), axis));
}

// Pads are given from the last dimension on: left, right, top, bottom …
Result<Values> pad(Node& n) {
  const ValueId x = n.tensor("self");
  const Shape given = n.dims(n.has("padding") ? "padding" : "pad");
  std::string mode = n.canonical().empty() ? n.s("mode", "constant") : std::string(n.canonical());
  if (!n.b.ok()) return n.done(kNoId);
  if (mode == "replicate") mode = "edge";
  if (mode == "circular") mode = "wrap";
  const auto rank = static_cast<size_t>(n.b.rank(x));
  if (given.size() % 2 != 0 || given.size() > 2 * rank) return damaged("the pads do not fit the rank");
  Shape pads(2 * rank, Dim(0));
  for (size_t i = 0; i < given.size() / 2; ++i) {
    pads[rank - 1 - i] = given[2 * i];
    pads[2 * rank - 1 - i] = given[2 * i + 1];
  }
  if (std::ranges::all_of(pads, [](const Dim& d) { return d.equals(0); })) return n.done(x);
  Values in = {x, n.b.shape_value(pads, {}, false)};
  if (mode == "constant" && n.has("value") && n.f("value", 0) != 0) in.push_back(n.as("value", n.b.dtype(x)));
  return n.done(n.b.make<ops::Pad>(std::move(in), [&](ops::Pad& p) { p.mode = mode; }));
}

// Tensor.unfold: windows along a dimension, their elements as a new last dimension.
Result<Values> unfold(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t rank = n.b.rank(x), axis = n.axis(n.i("dimension", 0), rank);
  const int64_t size = n.i("size", 1), step = n.i("step", 1);
  if (!n.b.ok()) return n.done(kNoId);
  const auto total = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!total) return unsupported("the dimension must be known");
  if (size < 0 || step < 1 || size > *total) return damaged("size or step is out of range");
  std::vector<int64_t> starts;
  for (int64_t s = 0; s + size <= *total; s += step) starts.push_back(s);
  if (static_cast<int64_t>(starts.size()) * size > kMostWindows) return unsupported("too many windows");
  const ValueId y = windows(n, x, axis, starts, size, 1);
  std::vector<int64_t> perm;
  for (int64_t d = 0; d <= rank; ++d)
    if (d != axis + 1) perm.push_back(d);
  perm.push_back(axis + 1);
  return n.done(n.b.transpose(y, std::move(perm)));
}

// F.unfold: [N, C, H, W] → [N, C * kh * kw, windows].
Result<Values> im2col(Node& n) {
  ValueId x = n.tensor("self");
  const auto kernel = n.ints("kernel_size"), dilation = n.ints("dilation"), padding = n.ints("padding"),
             stride = n.ints("stride");
  if (!n.b.ok()) return n.done(kNoId);
  if (n.b.rank(x) != 4 || kernel.size() != 2 || dilation.size() != 2 || padding.size() != 2 || stride.size() != 2)
    return unsupported("only batches of two-dimensional inputs are supported");
  x = n.b.make<ops::Pad>({x, n.b.i64s({0, 0, padding[0], padding[1], 0, 0, padding[0], padding[1]})}, [](ops::Pad&) {});
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  std::vector<int64_t> starts[2];
  for (size_t d = 0; d < 2; ++d) {
    const auto total = s[2 + d].as_const();
    if (!total) return unsupported("height and width must be known");
    if (stride[d] < 1 || kernel[d] < 1 || dilation[d] < 1) return damaged("kernel, stride or dilation is not positive");
    for (int64_t at = 0; at + (kernel[d] - 1) * dilation[d] < *total; at += stride[d]) starts[d].push_back(at);
    if (static_cast<int64_t>(starts[d].size()) > kMostWindows / kernel[d]) return unsupported("too many windows");
  }
  const auto oh = static_cast<int64_t>(starts[0].size()), ow = static_cast<int64_t>(starts[1].size());
  const ValueId rows = windows(n, x, 2, starts[0], kernel[0], dilation[0]);     // N C oh kh W
  const ValueId both = windows(n, rows, 4, starts[1], kernel[1], dilation[1]);  // N C oh kh ow kw
  const ValueId y = n.b.transpose(both, {0, 1, 3, 5, 2, 4});
  return n.done(n.b.ok() ? n.b.reshape(y, {s[0], s[1] * (kernel[0] * kernel[1]), oh * ow}) : kNoId);
}

}  // namespace lathe::pt2
