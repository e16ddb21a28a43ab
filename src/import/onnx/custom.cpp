// SPDX-License-Identifier: Apache-2.0
#include "ops/custom.h"

#include "import/onnx/importer.h"

namespace lathe::onnx {

namespace {

Result<CustomAttribute> attribute(const proto::Attribute& from, Importer& importer) {
  CustomAttribute a;
  a.name = from.name;
  switch (from.type) {
    case proto::AttributeType::kInt:
      a.ints = {from.i};
      return a;
    case proto::AttributeType::kInts:
      a.ints = from.ints;
      return a;
    case proto::AttributeType::kFloat:
      a.kind = CustomAttribute::Kind::kFloats;
      a.floats = {double{from.f}};
      return a;
    case proto::AttributeType::kFloats:
      a.kind = CustomAttribute::Kind::kFloats;
      a.floats.assign(from.floats.begin(), from.floats.end());
      return a;
    case proto::AttributeType::kString:
      a.kind = CustomAttribute::Kind::kStrings;
      a.strings = {std::string(from.s)};
      break;
    case proto::AttributeType::kStrings:
      a.kind = CustomAttribute::Kind::kStrings;
      a.strings.assign(from.strings.begin(), from.strings.end());
      break;
    case proto::AttributeType::kTensor: {
      a.kind = CustomAttribute::Kind::kTensor;
      if (from.tensors.size() != 1) return damaged("attribute \"" + a.name + "\" has no tensor");
      LATHE_TRY(const Tensor t, importer.tensor(from.tensors[0]));
      if (dtype_bits(t.dtype()) == 0) return unsupported("attribute \"" + a.name + "\": tensors of strings");
      if (t.dims().size() > LATHE_MAX_RANK) return unsupported("attribute \"" + a.name + "\": rank above 32");
      a.dtype = t.dtype();
      a.ints = t.dims();
      const auto* bytes = reinterpret_cast<const uint8_t*>(t.bytes().data());
      a.data.assign(bytes, bytes + t.bytes().size());
      return a;
    }
    default:
      return unsupported("attribute \"" + a.name +
                         "\": graphs and lists of tensors are not handed to custom operators");
  }
  for (const std::string& s : a.strings)
    if (s.size() > size_t{1} << 16) return unsupported("attribute \"" + a.name + "\": a string above 64 KiB");
  return a;
}

}  // namespace

Result<Values> Importer::custom(const proto::Node& n, std::shared_ptr<const lathe_operator> registered, Values inputs) {
  ops::Custom op;
  op.domain = n.domain;
  op.type = n.op_type;
  op.outputs = static_cast<int64_t>(n.outputs.size());
  op.implementation = std::move(registered);
  for (const auto& a : n.attributes) {
    LATHE_TRY(auto made, attribute(a, *this));
    op.attributes.push_back(std::move(made));
  }
  auto values = builder().add_all(std::make_shared<ops::Custom>(std::move(op)), std::move(inputs));
  if (!builder().ok()) return std::unexpected(builder().status().error());
  return values;
}

}  // namespace lathe::onnx
