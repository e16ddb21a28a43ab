// SPDX-License-Identifier: Apache-2.0
#include "export/tflite/writer.h"

#include <algorithm>

namespace lathe::tflite {

namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kMostBytes = 1'900'000'000;  // a flatbuffer's offsets have 31 bits

struct TypePair {
  DType ours;
  fb::TensorType theirs;
};
constexpr TypePair kTypes[] = {{DType::kF32, fb::TensorType::FLOAT32}, {DType::kI32, fb::TensorType::INT32},
                               {DType::kI64, fb::TensorType::INT64},   {DType::kI16, fb::TensorType::INT16},
                               {DType::kI8, fb::TensorType::INT8},     {DType::kU8, fb::TensorType::UINT8},
                               {DType::kBool, fb::TensorType::BOOL},   {DType::kU32, fb::TensorType::UINT32}};

const TypePair* type_of(DType t) {
  const auto* const found = std::ranges::find(kTypes, t, &TypePair::ours);
  return found == std::end(kTypes) ? nullptr : found;
}

Dims broadcast(const Dims& a, const Dims& b) {
  Dims r(std::max(a.size(), b.size()), 1);
  for (const Dims* d : {&a, &b})
    for (size_t i = 0; i < d->size(); ++i) {
      int64_t& size = r[r.size() - d->size() + i];
      if ((*d)[i] != 1) size = (*d)[i];
    }
  return r;
}

}  // namespace

std::string Writer::fresh(const std::string& stem) {
  std::string s = stem;
  for (int i = 1; !used_.insert(s).second; ++i) s = stem + "_" + std::to_string(i);
  return s;
}

TensorId Writer::add_tensor(std::string name, DType dtype, Dims dims, uint32_t buffer) {
  tensors_.push_back({std::move(name), dtype, std::move(dims), buffer});
  return static_cast<TensorId>(tensors_.size() - 1);
}

TensorId Writer::temporary(DType dtype, Dims dims) {
  return add_tensor(fresh(node_name_.empty() ? "value" : node_name_ + "/value"), dtype, std::move(dims));
}

TensorId Writer::constant(const Tensor& t, const std::string& name) {
  const auto bytes = t.bytes();
  const bool small = name.empty() && bytes.size() <= 64;
  std::pair<DType, std::vector<std::byte>> key;
  if (small) {
    key = {t.dtype(), {bytes.begin(), bytes.end()}};
    for (const int64_t d : t.dims()) key.second.push_back(static_cast<std::byte>(d));
    key.second.push_back(static_cast<std::byte>(t.dims().size()));
    if (const auto known = small_.find(key); known != small_.end()) return known->second;
  }
  b.ForceVectorAlignment(bytes.size(), 1, 16);
  const auto data = b.CreateVector(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  buffers_.push_back(fb::CreateBuffer(b, data));
  bytes_ += bytes.size();
  const TensorId id = add_tensor(fresh(name.empty() ? "constant" : name), t.dtype(), t.dims(),
                                 static_cast<uint32_t>(buffers_.size() - 1));
  if (small) small_.emplace(std::move(key), id);
  return id;
}

TensorId Writer::scalar(DType dtype, double v) {
  Tensor t = Tensor::zeros(dtype, {});
  t.set(0, v);
  return constant(t);
}

TensorId Writer::i32s(const Dims& v) {
  Tensor t = Tensor::zeros(DType::kI32, {static_cast<int64_t>(v.size())});
  for (size_t i = 0; i < v.size(); ++i) t.set_i64(static_cast<int64_t>(i), v[i]);
  return constant(t);
}

TensorId Writer::tensor(ValueId v) {
  if (v == kNoId) return kAbsent;
  if (const auto known = by_value_.find(v); known != by_value_.end()) return known->second;
  const Value& x = g.value(v);
  const std::string name = x.name.empty() || x.name[0] == '%' ? std::string() : x.name;
  TensorId id = kAbsent;
  if (x.constant)
    id = constant(*x.constant, name);
  else
    id = add_tensor(fresh(name.empty() ? "value" + std::to_string(v) : name), x.dtype, dims_of(v));
  by_value_.emplace(v, id);
  return id;
}

void Writer::add_operator(Builtin op, std::vector<TensorId> inputs, TensorId out, fb::BuiltinOptions type,
                          flatbuffers::Offset<void> options) {
  const auto [code, is_new] = code_index_.try_emplace(op, static_cast<uint32_t>(codes_.size()));
  const auto number = static_cast<int32_t>(op);
  if (is_new) codes_.push_back(fb::CreateOperatorCode(b, static_cast<int8_t>(std::min(number, 127)), 0, 1, number));
  const std::vector<int32_t> outputs = {out};
  operators_.push_back(fb::CreateOperatorDirect(b, code->second, &inputs, &outputs, type, options));
}

TensorId Writer::reshape(TensorId x, const Dims& to, TensorId out) {
  if (out == kAbsent) {
    if (dims(x) == to) return x;
    out = temporary(dtype(x), to);
  }
  const std::vector<int32_t> narrow(to.begin(), to.end());
  return add(Builtin::kReshape, {x, i32s(to)}, out, fb::CreateReshapeOptionsDirect(b, &narrow));
}

TensorId Writer::transpose(TensorId x, const Dims& perm, TensorId out) {
  if (out == kAbsent) {
    Dims to;
    for (const int64_t p : perm) to.push_back(dims(x)[static_cast<size_t>(p)]);
    out = temporary(dtype(x), std::move(to));
  }
  return add(Builtin::kTranspose, {x, i32s(perm)}, out);
}

namespace {

struct PrimRow {
  Prim prim;
  Builtin op;
};
constexpr PrimRow kPrims[] = {
    {Prim::kPow, Builtin::kPow},        {Prim::kMin, Builtin::kMinimum},      {Prim::kMax, Builtin::kMaximum},
    {Prim::kNeg, Builtin::kNeg},        {Prim::kAbs, Builtin::kAbs},          {Prim::kSign, Builtin::kSign},
    {Prim::kFloor, Builtin::kFloor},    {Prim::kCeil, Builtin::kCeil},        {Prim::kRound, Builtin::kRound},
    {Prim::kSqrt, Builtin::kSqrt},      {Prim::kExp, Builtin::kExp},          {Prim::kLog, Builtin::kLog},
    {Prim::kTanh, Builtin::kTanh},      {Prim::kSigmoid, Builtin::kLogistic}, {Prim::kSin, Builtin::kSin},
    {Prim::kCos, Builtin::kCos},        {Prim::kEq, Builtin::kEqual},         {Prim::kLt, Builtin::kLess},
    {Prim::kLe, Builtin::kLessEqual},   {Prim::kAnd, Builtin::kLogicalAnd},   {Prim::kOr, Builtin::kLogicalOr},
    {Prim::kNot, Builtin::kLogicalNot}, {Prim::kSelect, Builtin::kSelectV2},  {Prim::kCast, Builtin::kCast}};

}  // namespace

Status Writer::program(const Program& p, const std::vector<TensorId>& inputs, TensorId out) {
  std::vector<TensorId> made;
  const auto last = static_cast<size_t>(p.results[0]);
  for (size_t i = 0; i < p.steps.size() && i <= last; ++i) {
    const Step& s = p.steps[i];
    if (s.prim == Prim::kInput || s.prim == Prim::kConstant) {
      TensorId t = s.prim == Prim::kInput
                       ? inputs[static_cast<size_t>(s.integer)]
                       : scalar(s.dtype, dtype_info(s.dtype).is_float ? s.value : static_cast<double>(s.integer));
      if (i == last) t = add(Builtin::kBroadcastTo, {t, i32s(dims(out))}, out);
      made.push_back(t);
      continue;
    }
    std::vector<TensorId> operands;
    Dims shape;
    for (const int k : {s.a, s.b, s.c}) {
      if (k < 0) continue;
      operands.push_back(made[static_cast<size_t>(k)]);
      shape = broadcast(shape, dims(operands.back()));
    }
    const TensorId to = i == last ? out : temporary(s.dtype, shape);
    const bool logical = s.prim == Prim::kAnd || s.prim == Prim::kOr || s.prim == Prim::kNot;
    const auto* const row = std::ranges::find(kPrims, s.prim, &PrimRow::prim);
    if (i == last && shape != dims(out))
      return unsupported("an elementwise result that is broadcast beyond its operands");
    if (s.prim == Prim::kAdd)
      add(Builtin::kAdd, operands, to, fb::CreateAddOptions(b));
    else if (s.prim == Prim::kSub)
      add(Builtin::kSub, operands, to, fb::CreateSubOptions(b));
    else if (s.prim == Prim::kMul)
      add(Builtin::kMul, operands, to, fb::CreateMulOptions(b));
    else if (s.prim == Prim::kDiv)
      add(Builtin::kDiv, operands, to, fb::CreateDivOptions(b));
    else if (s.prim == Prim::kReciprocal)
      add(Builtin::kDiv, {scalar(s.dtype, 1), operands[0]}, to, fb::CreateDivOptions(b));
    else if (row == std::end(kPrims) || (logical && s.dtype != DType::kBool))
      return unsupported("LiteRT has no " + std::string(prim_info(s.prim).name) + " of " +
                         std::string(dtype_name(s.dtype)));
    else
      add(row->op, operands, to);
    made.push_back(to);
  }
  return {};
}

Status Writer::node(const Node& n) {
  node_name_ = n.name;
  const auto own = n.epilogue.empty() ? n.inputs.size() : static_cast<size_t>(n.anchor_inputs);
  Node bare = n;
  bare.inputs.resize(own);
  std::vector<DType> types;
  for (const ValueId v : bare.inputs) types.push_back(v == kNoId ? DType::kUndefined : g.value(v).dtype);
  for (const auto* list : {&n.inputs, &n.outputs})
    for (const ValueId v : *list) {
      if (v == kNoId) continue;
      const Value& x = g.value(v);
      if (!is_static(x.shape))
        return unsupported("\"" + x.name + "\" has shape " + shape_str(x.shape) +
                           "; LiteRT wants constant shapes: give the inputs' with --shape");
      // Shapes and indices of 64 bits are read from constants and need no counterpart.
      if (!type_of(x.dtype) && !x.constant)
        return unsupported("\"" + x.name + "\" is " + std::string(dtype_name(x.dtype)) +
                           ", which is not written to LiteRT models");
    }
  if (n.outputs.size() != 1) return unsupported("it has several results");
  const auto elementwise = n.op->program(types);
  const NodeWriter writer = find_writer(bare);
  if (!writer && !elementwise) return unsupported("LiteRT has no such operator, or it is not written yet");
  const TensorId out = tensor(n.outputs[0]);
  TensorId result = out;
  if (!n.epilogue.empty()) {
    const auto infos = g.infos(bare.inputs);
    LATHE_TRY(const auto inferred, n.op->infer(infos, [](std::string_view) { return Dim(1); }));
    result = temporary(inferred[0].dtype, dims(out));
  }
  if (writer) {
    LATHE_CHECK(writer(*this, bare, result));
  } else {
    std::vector<TensorId> inputs;
    for (const ValueId v : bare.inputs) inputs.push_back(tensor(v));
    LATHE_CHECK(program(*elementwise, inputs, result));
  }
  if (n.epilogue.empty()) return {};
  std::vector<TensorId> inputs = {result};
  for (size_t i = own; i < n.inputs.size(); ++i) inputs.push_back(tensor(n.inputs[i]));
  return program(n.epilogue, inputs, out);
}

Status Writer::check_types() const {
  for (const auto* list : {&g.inputs, &g.outputs})
    for (const ValueId v : *list) {
      const Value& x = g.value(v);
      if (!is_static(x.shape))
        return unsupported("\"" + x.name + "\" has shape " + shape_str(x.shape) +
                           "; LiteRT wants constant shapes: give the inputs' with --shape");
      if (!type_of(x.dtype))
        return unsupported("\"" + x.name + "\" is " + std::string(dtype_name(x.dtype)) +
                           ", which is not written to LiteRT models");
    }
  return {};
}

Result<Written> Writer::run() {
  LATHE_CHECK(check_types());
  size_t weights = 0;
  for (size_t i = 0; i < g.value_count(); ++i)
    if (const Value& v = g.value(static_cast<ValueId>(i)); v.constant && !v.users.empty())
      weights += v.constant->bytes().size();
  if (weights > kMostBytes)
    return unsupported(std::to_string(weights) + " bytes of weights: a LiteRT model holds 2 GB");
  buffers_.push_back(fb::CreateBuffer(b));  // number 0 is that of tensors without data
  // Outputs have their names even where a value is called otherwise, or is an input or constant.
  for (const ValueId v : g.inputs) used_.insert(g.value(v).name);
  for (const auto& name : g.output_names) used_.insert(name);
  std::vector<int32_t> inputs, outputs;
  for (const ValueId v : g.inputs) {
    inputs.push_back(add_tensor(g.value(v).name, g.value(v).dtype, dims_of(v)));
    by_value_.emplace(v, inputs.back());
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    const ValueId v = g.outputs[i];
    outputs.push_back(add_tensor(g.output_names[i], g.value(v).dtype, dims_of(v)));
    if (g.value(v).producer != kNoId) by_value_.emplace(v, outputs.back());
  }
  std::vector<std::string> lines;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (auto ok = node(n); !ok) {
      if (ok.error().code != Code::kUnsupported) return std::unexpected(ok.error());
      lines.push_back("node \"" + n.name + "\": " + std::string(n.op->name()) + ": " + ok.error().message);
    }
  }
  if (!lines.empty()) {
    std::string text = std::to_string(lines.size()) + " nodes cannot be written as a LiteRT model:";
    for (const auto& line : lines) text += "\n  " + line;
    return unsupported(text);
  }
  for (size_t i = 0; i < g.outputs.size(); ++i)
    if (const TensorId have = tensor(g.outputs[i]); have != outputs[i]) reshape(have, dims(outputs[i]), outputs[i]);
  std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
  for (const Entry& t : tensors_) {
    const std::vector<int32_t> shape(t.dims.begin(), t.dims.end());
    if (!type_of(t.dtype)) return unsupported("a constant of " + std::string(dtype_name(t.dtype)));
    tensors.push_back(fb::CreateTensorDirect(b, &shape, type_of(t.dtype)->theirs, t.buffer, t.name.c_str(), 0, false, 0,
                                             nullptr, t.dims.empty()));
  }
  const auto subgraph =
      fb::CreateSubGraphDirect(b, &tensors, &inputs, &outputs, &operators_, g.name.empty() ? "main" : g.name.c_str());
  const std::vector<flatbuffers::Offset<fb::SubGraph>> graphs = {subgraph};
  fb::FinishModelBuffer(b, fb::CreateModelDirect(b, kVersion, &codes_, &graphs, "lathe", &buffers_));
  Written w;
  const auto* const at = reinterpret_cast<const std::byte*>(b.GetBufferPointer());
  w.file.assign(at, at + b.GetSize());
  w.nodes = operators_.size();
  return w;
}

Result<Written> write(const Graph& graph) { return Writer(graph).run(); }

}  // namespace lathe::tflite
