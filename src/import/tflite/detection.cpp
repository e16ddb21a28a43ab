// SPDX-License-Identifier: Apache-2.0
// TFLite_Detection_PostProcess: boxes relative to anchors and class scores to detections, best first.
// Without the library's own locale, which is not in its headers.
#define FLATBUFFERS_LOCALE_INDEPENDENT 0
#include <flatbuffers/flexbuffers.h>

#include <cmath>

#include "import/tflite/integer.h"
#include "ops/gather.h"
#include "ops/gather_nd.h"
#include "ops/shape.h"
#include "ops/top_k.h"

namespace lathe::tflite {

namespace {

struct Options {
  int64_t most = 0;             ///< detections
  int64_t classes_each = 1;     ///< of the best classes of a box, how many are reported
  int64_t most_of_class = 100;  ///< where classes are suppressed one by one
  bool by_class = false;
  float score = 0, overlap = 0;
  int64_t classes = 0;
  float scale[4] = {1, 1, 1, 1};  ///< y, x, h, w
};

Result<Options> options_of(const Node& n) {
  const auto* raw = n.op().custom_options();
  if (!raw || raw->size() == 0 || !flexbuffers::VerifyBuffer(raw->data(), raw->size()))
    return damaged("its options are not a flexbuffer");
  const flexbuffers::Reference root = flexbuffers::GetRoot(raw->data(), raw->size());
  if (!root.IsMap()) return damaged("its options are not a map");
  const flexbuffers::Map map = root.AsMap();
  Options o;
  o.most = map["max_detections"].AsInt64();
  o.classes_each = map["max_classes_per_detection"].AsInt64();
  if (!map["detections_per_class"].IsNull()) o.most_of_class = map["detections_per_class"].AsInt64();
  if (!map["use_regular_nms"].IsNull()) o.by_class = map["use_regular_nms"].AsBool();
  o.score = map["nms_score_threshold"].AsFloat();
  o.overlap = map["nms_iou_threshold"].AsFloat();
  o.classes = map["num_classes"].AsInt64();
  const char* const scales[] = {"y_scale", "x_scale", "h_scale", "w_scale"};
  for (size_t i = 0; i < 4; ++i) o.scale[i] = map[scales[i]].AsFloat();
  const auto fits = [](int64_t v) { return v > 0 && v < 1 << 20; };
  if (!fits(o.most) || !fits(o.classes_each) || !fits(o.most_of_class) || !fits(o.classes) ||
      o.classes_each > o.classes || !(o.overlap > 0 && o.overlap <= 1))
    return damaged("its options are out of range");
  for (const float s : o.scale)
    if (!(s > 0) || !std::isfinite(s)) return damaged("a scale is not positive");
  return o;
}

ValueId real_input(Node& n, size_t i) {
  const Quantization* q = n.quant_in(i);
  if (!q || q->per_axis()) return n.in(i);
  return pointwise(n, {n.in(i)}, [&](std::span<const Expr> e) {
    return (cast(e[0], DType::kF32) - static_cast<double>(q->zero_point())) * static_cast<double>(q->scale());
  });
}

// [n, 4] of (y, x, h, w) relative to anchors to corners (y1, x1, y2, x2).
ValueId corners(Node& n, ValueId encoded, ValueId anchors, const Options& o) {
  const auto column = [&](ValueId v, int64_t i) { return n.b.slice(v, 1, i, i + 1); };
  const auto number = [&](float v) { return n.b.scalar(DType::kF32, static_cast<double>(v)); };
  Values low, high;
  for (int64_t i = 0; i < 2; ++i) {
    const ValueId size = column(anchors, i + 2);
    const ValueId shift = n.b.op("Div", {column(encoded, i), number(o.scale[i])});
    const ValueId centre = n.b.op("Add", {n.b.op("Mul", {shift, size}), column(anchors, i)});
    const ValueId growth = n.b.op("Exp", {n.b.op("Div", {column(encoded, i + 2), number(o.scale[i + 2])})});
    const ValueId half = n.b.op("Mul", {n.b.op("Mul", {growth, size}), number(0.5f)});
    low.push_back(n.b.op("Sub", {centre, half}));
    high.push_back(n.b.op("Add", {centre, half}));
  }
  return n.b.concat({low[0], low[1], high[0], high[1]}, 1);
}

ValueId rows(Node& n, ValueId x, ValueId at) {
  return n.b.make<ops::Gather>({x, at}, [](ops::Gather& g) { g.axis = 0; });
}

// The canonical operator keeps scores above a threshold, this one from it on.
ValueId suppressed(Node& n, ValueId boxes, ValueId scores, int64_t most, const Options& o) {
  const float below = std::nextafter(o.score, -INFINITY);
  const Shape b = n.b.shape(boxes), s = n.b.shape(scores);
  if (!n.b.ok()) return kNoId;
  return n.b.op("NonMaxSuppression", {n.b.reshape(boxes, {1, b[0], 4}), n.b.reshape(scores, {1, s[0], s[1]}),
                                      n.b.i64(most), n.b.scalar(DType::kF32, static_cast<double>(o.overlap)),
                                      n.b.scalar(DType::kF32, static_cast<double>(below))});
}

std::vector<ValueId> best(Node& n, ValueId x, int64_t axis, int64_t k) {
  return n.b.add_all(
      [&] {
        auto t = std::make_shared<ops::TopK>();
        t->axis = axis;
        return t;
      }(),
      {x, n.b.i64s({k})});
}

// Filled up with rows of zeros to `count`, and cut there.
ValueId filled(Node& n, ValueId x, int64_t count) {
  if (!n.b.ok()) return kNoId;
  Shape s = n.b.shape(x);
  s[0] = count;
  const ValueId zeros = n.b.expand(n.b.scalar(n.b.dtype(x), 0), s);
  return n.b.slice(n.b.concat({x, zeros}, 0), 0, 0, count);
}

struct Detections {
  ValueId boxes, classes, scores;  ///< [m, 4], [m], [m]
  ValueId count;                   ///< one number, of boxes; all are f32
};

// All classes at once: boxes are suppressed by their best class.
Detections at_once(Node& n, ValueId boxes, ValueId scores, const Options& o) {
  const auto top = best(n, scores, 1, o.classes_each);
  if (!n.b.ok()) return {};
  const Dim all = n.b.shape(scores)[0];
  const ValueId first = n.b.reshape(n.b.slice(top[0], 1, 0, 1), {1, all});
  const ValueId kept = suppressed(n, boxes, first, o.most, o);
  if (!n.b.ok()) return {};
  const ValueId at = n.b.reshape(n.b.slice(kept, 1, 2, 3), {n.b.shape(kept)[0]});
  const int64_t each = o.classes_each, total = o.most * each;
  const ValueId count = n.b.cast(n.b.make<ops::ShapeOf>({at}, [](ops::ShapeOf&) {}), DType::kF32);
  const ValueId picked = n.b.reshape(filled(n, rows(n, boxes, at), o.most), {o.most, 1, 4});
  const auto flat = [&](ValueId v) { return n.b.reshape(filled(n, rows(n, v, at), o.most), {total}); };
  return {n.b.reshape(n.b.expand(picked, {o.most, each, 4}), {total, 4}), flat(n.b.cast(top[1], DType::kF32)),
          flat(top[0]), count};
}

// Class by class; then the best of all.
Detections one_by_one(Node& n, ValueId boxes, ValueId scores, const Options& o) {
  const ValueId by_class = n.b.transpose(scores, {1, 0});
  const ValueId kept = suppressed(n, boxes, by_class, o.most_of_class, o);
  if (!n.b.ok()) return {};
  const Dim found = n.b.shape(kept)[0];
  const ValueId place = n.b.slice(kept, 1, 1, 3);
  const ValueId values = n.b.make<ops::GatherND>({by_class, place}, [](ops::GatherND&) {});
  const auto column = [&](int64_t i) { return n.b.reshape(n.b.slice(kept, 1, i, i + 1), {found}); };
  const auto padded = [&](ValueId v, double with) {
    return n.b.concat({v, n.b.expand(n.b.scalar(n.b.dtype(v), with), {o.most})}, 0);
  };
  const auto top = best(n, padded(values, -INFINITY), 0, o.most);
  if (!n.b.ok()) return {};
  const ValueId box = rows(n, padded(column(2), 0), top[1]), which = rows(n, padded(column(1), 0), top[1]);
  const ValueId none = n.b.scalar(DType::kF32, 0);
  const ValueId real = n.b.op("Less", {n.b.scalar(DType::kF32, -INFINITY), top[0]});
  const auto where = [&](ValueId condition, ValueId v) { return n.b.op("Where", {condition, v, none}); };
  return {where(n.b.reshape(real, {o.most, 1}), rows(n, boxes, box)), where(real, n.b.cast(which, DType::kF32)),
          where(real, top[0]), n.b.reduce("sum", n.b.cast(real, DType::kF32), {0}, false)};
}

}  // namespace

// Inputs: boxes [1, n, 4], scores [1, n, classes, perhaps after one for the background], anchors [n, 4].
Result<Values> detection_post_process(Node& n) {
  LATHE_TRY(const Options o, options_of(n));
  if (n.input_count() != 3 || n.output_count() != 4) return damaged("takes 3 inputs and has 4 outputs");
  const Shape b = n.shape(0), s = n.shape(1), a = n.shape(2);
  if (b.size() != 3 || s.size() != 3 || a.size() != 2 || !b[0].equals(1) || !s[0].equals(1) || !a[1].equals(4))
    return unsupported("only a batch of 1 is supported");
  const auto labels = s[2].as_const();
  if (!labels || *labels < o.classes || *labels > o.classes + 1 || !(b[1] == a[0]) || !(s[1] == a[0]))
    return damaged("boxes, scores and anchors do not fit");
  // Boxes may have more than four numbers: key points, which are not used.
  const ValueId encoded = n.b.slice(n.b.reshape(real_input(n, 0), {b[1], b[2]}), 1, 0, 4);
  ValueId scores = n.b.reshape(real_input(n, 1), {s[1], s[2]});
  if (*labels > o.classes) scores = n.b.slice(scores, 1, *labels - o.classes, *labels);
  const ValueId boxes = corners(n, encoded, real_input(n, 2), o);
  const Detections d = o.by_class ? one_by_one(n, boxes, scores, o) : at_once(n, boxes, scores, o);
  if (!n.b.ok()) return n.done(kNoId);
  const Dim count = n.b.shape(d.scores)[0];
  return n.done({n.b.reshape(d.boxes, {1, count, 4}), n.b.reshape(d.classes, {1, count}),
                 n.b.reshape(d.scores, {1, count}), n.b.reshape(d.count, {1})});
}

}  // namespace lathe::tflite
