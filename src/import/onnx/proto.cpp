// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/proto.h"

#include <stdexcept>

// protozero asserts that a field has the wire type it is read as; in a damaged file it may not.
#define protozero_assert(condition) ((condition) ? void() : throw std::length_error("a field has the wrong type"))
#include <protozero/pbf_reader.hpp>

namespace lathe::onnx::proto {

namespace {

using protozero::pbf_reader;

constexpr int kMaxDepth = 48;  // graphs in attributes of nodes in graphs …

std::string_view view(const protozero::data_view& v) { return {v.data(), v.size()}; }

template <class T, class Range>
void append(std::vector<T>& to, const Range& range) {
  for (const auto v : range) to.push_back(static_cast<T>(v));
}

// Repeated numbers may be packed or not; writers do both.
bool packed(const pbf_reader& r) { return r.wire_type() == protozero::pbf_wire_type::length_delimited; }

void ints(pbf_reader& r, std::vector<int64_t>& to) {
  if (packed(r))
    append(to, r.get_packed_int64());
  else
    to.push_back(r.get_int64());
}

void floats(pbf_reader& r, std::vector<float>& to) {
  if (packed(r))
    append(to, r.get_packed_float());
  else
    to.push_back(r.get_float());
}

Graph graph(pbf_reader r, int depth);

Tensor tensor(pbf_reader r) {
  Tensor t;
  while (r.next()) switch (r.tag()) {
      case 1:
        ints(r, t.dims);
        break;
      case 2:
        t.data_type = r.get_int32();
        break;
      case 4:
        floats(r, t.floats);
        break;
      case 5:
      case 7:
      case 11:
        ints(r, t.ints);
        break;
      case 6:
        t.strings.push_back(view(r.get_view()));
        break;
      case 8:
        t.name = view(r.get_view());
        break;
      case 9:
        t.raw = view(r.get_view());
        t.has_raw = true;
        break;
      case 10:
        if (packed(r))
          append(t.doubles, r.get_packed_double());
        else
          t.doubles.push_back(r.get_double());
        break;
      case 13: {
        auto entry = r.get_message();
        auto& kv = t.external_data.emplace_back();
        while (entry.next()) switch (entry.tag()) {
            case 1:
              kv.first = view(entry.get_view());
              break;
            case 2:
              kv.second = view(entry.get_view());
              break;
            default:
              entry.skip();
          }
        break;
      }
      case 14:
        t.external = r.get_enum() == 1;
        break;
      default:
        r.skip();
    }
  return t;
}

Attribute attribute(pbf_reader r, int depth) {
  Attribute a;
  while (r.next()) switch (r.tag()) {
      case 1:
        a.name = view(r.get_view());
        break;
      case 2:
        a.f = r.get_float();
        break;
      case 3:
        a.i = r.get_int64();
        break;
      case 4:
        a.s = view(r.get_view());
        break;
      case 5:
      case 10:
        a.tensors.push_back(tensor(r.get_message()));
        break;
      case 6:
      case 11:
        a.graphs.push_back(graph(r.get_message(), depth + 1));
        break;
      case 7:
        floats(r, a.floats);
        break;
      case 8:
        ints(r, a.ints);
        break;
      case 9:
        a.strings.push_back(view(r.get_view()));
        break;
      case 20:
        a.type = static_cast<AttributeType>(r.get_enum());
        break;
      case 21:
        a.ref_name = view(r.get_view());
        break;
      default:
        r.skip();
    }
  return a;
}

Node node(pbf_reader r, int depth) {
  Node n;
  while (r.next()) switch (r.tag()) {
      case 1:
        n.inputs.push_back(view(r.get_view()));
        break;
      case 2:
        n.outputs.push_back(view(r.get_view()));
        break;
      case 3:
        n.name = view(r.get_view());
        break;
      case 4:
        n.op_type = view(r.get_view());
        break;
      case 5:
        n.attributes.push_back(attribute(r.get_message(), depth));
        break;
      case 7:
        n.domain = view(r.get_view());
        break;
      default:
        r.skip();
    }
  if (n.domain == "ai.onnx") n.domain = {};
  return n;
}

void tensor_type(pbf_reader r, ValueInfo& v) {
  while (r.next()) switch (r.tag()) {
      case 1:
        v.elem_type = r.get_int32();
        break;
      case 2: {
        v.has_shape = true;
        auto shape = r.get_message();
        while (shape.next()) {
          if (shape.tag() != 1) {
            shape.skip();
            continue;
          }
          auto& d = v.dims.emplace_back();
          auto dim = shape.get_message();
          while (dim.next()) switch (dim.tag()) {
              case 1:
                d.value = dim.get_int64();
                break;
              case 2:
                d.param = view(dim.get_view());
                break;
              default:
                dim.skip();
            }
        }
        break;
      }
      default:
        r.skip();
    }
}

// A TypeProto: a tensor's, or that of something that holds one.
void value_type(pbf_reader r, ValueInfo& v) {
  if (v.kinds.size() > 4) throw std::length_error("a type is nested too deep");
  while (r.next()) {
    switch (r.tag()) {
      case 1:
        v.kinds.emplace_back("tensor");
        tensor_type(r.get_message(), v);
        break;
      case 4:
      case 9: {
        v.kinds.emplace_back(r.tag() == 4 ? "sequence" : "optional");
        auto holder = r.get_message();
        while (holder.next())
          if (holder.tag() == 1)
            value_type(holder.get_message(), v);
          else
            holder.skip();
        break;
      }
      case 5:
      case 8:
        v.kinds.emplace_back(r.tag() == 5 ? "map" : "sparse tensor");
        r.skip();
        break;
      default:
        r.skip();
    }
  }
}

ValueInfo value_info(pbf_reader r) {
  ValueInfo v;
  while (r.next())
    if (r.tag() == 1)
      v.name = view(r.get_view());
    else if (r.tag() == 2)
      value_type(r.get_message(), v);
    else
      r.skip();
  return v;
}

Graph graph(pbf_reader r, int depth) {
  if (depth > kMaxDepth) throw std::length_error("graphs are nested more than " + std::to_string(kMaxDepth) + " deep");
  Graph g;
  while (r.next()) switch (r.tag()) {
      case 1:
        g.nodes.push_back(node(r.get_message(), depth));
        break;
      case 2:
        g.name = view(r.get_view());
        break;
      case 5:
        g.initializers.push_back(tensor(r.get_message()));
        break;
      case 11:
        g.inputs.push_back(value_info(r.get_message()));
        break;
      case 12:
        g.outputs.push_back(value_info(r.get_message()));
        break;
      case 15:
        g.sparse_initializers = true;
        r.skip();
        break;
      default:
        r.skip();
    }
  return g;
}

OperatorSet operator_set(pbf_reader r) {
  OperatorSet o;
  while (r.next()) switch (r.tag()) {
      case 1:
        o.domain = view(r.get_view());
        break;
      case 2:
        o.version = r.get_int64();
        break;
      default:
        r.skip();
    }
  if (o.domain == "ai.onnx") o.domain = {};
  return o;
}

Function function(pbf_reader r) {
  Function f;
  while (r.next()) switch (r.tag()) {
      case 1:
        f.name = view(r.get_view());
        break;
      case 4:
        f.inputs.push_back(view(r.get_view()));
        break;
      case 5:
        f.outputs.push_back(view(r.get_view()));
        break;
      case 6:
        f.attributes.push_back(view(r.get_view()));
        break;
      case 7:
        f.nodes.push_back(node(r.get_message(), 1));
        break;
      case 9:
        f.opsets.push_back(operator_set(r.get_message()));
        break;
      case 10:
        f.domain = view(r.get_view());
        break;
      case 11:
        f.defaults.push_back(attribute(r.get_message(), 1));
        break;
      default:
        r.skip();
    }
  return f;
}

Model model(pbf_reader r) {
  Model m;
  while (r.next()) switch (r.tag()) {
      case 1:
        m.ir_version = r.get_int64();
        break;
      case 2:
        m.producer = view(r.get_view());
        break;
      case 7:
        m.graph = graph(r.get_message(), 0);
        m.has_graph = true;
        break;
      case 8:
        m.opsets.push_back(operator_set(r.get_message()));
        break;
      case 25:
        m.functions.push_back(function(r.get_message()));
        break;
      default:
        r.skip();
    }
  return m;
}

// protozero reports malformed input by exceptions; they end here.
template <class T, class F>
Result<T> guarded(const char* what, F&& f) {
  try {
    return f();
  } catch (const protozero::exception& e) {
    return fail(Code::kDamaged, std::string("not a well-formed ") + what + ": " + e.what());
  } catch (const std::length_error& e) {
    return fail(Code::kDamaged, std::string("not a well-formed ") + what + ": " + e.what());
  } catch (const std::bad_alloc&) {
    return fail(Code::kFailed, std::string("out of memory while reading the ") + what);
  }
}

}  // namespace

Result<Model> parse_model(std::string_view bytes) {
  return guarded<Model>("ONNX model", [&] { return model(pbf_reader(bytes.data(), bytes.size())); });
}

Result<Tensor> parse_tensor(std::string_view bytes) {
  return guarded<Tensor>("ONNX tensor", [&] { return tensor(pbf_reader(bytes.data(), bytes.size())); });
}

}  // namespace lathe::onnx::proto
