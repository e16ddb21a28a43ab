// SPDX-License-Identifier: Apache-2.0
#include "import/tensorflow/proto.h"

#include <stdexcept>

// protozero asserts that a field has the wire type it is read as; in a damaged file it may not.
#define protozero_assert(condition) ((condition) ? void() : throw std::length_error("a field has the wrong type"))
#include <protozero/pbf_reader.hpp>

namespace lathe::tensorflow::proto {

namespace {

using protozero::pbf_reader;

constexpr int kMaxDepth = 16;  // attributes of functions in attributes …

std::string_view view(const protozero::data_view& v) { return {v.data(), v.size()}; }
std::string_view text(pbf_reader& r) { return view(r.get_view()); }

// Repeated numbers may be packed or not.
bool packed(const pbf_reader& r) { return r.wire_type() == protozero::pbf_wire_type::length_delimited; }

template <class T, class Range>
void append(std::vector<T>& to, const Range& range) {
  for (const auto v : range) to.push_back(static_cast<T>(v));
}

void ints(pbf_reader& r, std::vector<int64_t>& to) {
  if (packed(r))
    append(to, r.get_packed_int64());
  else
    to.push_back(r.get_int64());
}

void floats(pbf_reader& r, std::vector<double>& to) {
  if (packed(r))
    append(to, r.get_packed_float());
  else
    to.push_back(static_cast<double>(r.get_float()));
}

void doubles(pbf_reader& r, std::vector<double>& to) {
  if (packed(r))
    append(to, r.get_packed_double());
  else
    to.push_back(r.get_double());
}

Shape shape(pbf_reader r) {
  Shape s;
  while (r.next()) switch (r.tag()) {
      case 2: {
        int64_t size = 0;  // proto3 leaves zeros out
        auto dim = r.get_message();
        while (dim.next())
          if (dim.tag() == 1)
            size = dim.get_int64();
          else
            dim.skip();
        s.dims.push_back(size);
        break;
      }
      case 3:
        s.known_rank = !r.get_bool();
        break;
      default:
        r.skip();
    }
  return s;
}

Tensor tensor(pbf_reader r) {
  Tensor t;
  while (r.next()) switch (r.tag()) {
      case 1:
        t.dtype = r.get_enum();
        break;
      case 2:
        t.shape = shape(r.get_message());
        break;
      case 4:
        t.content = text(r);
        break;
      case 5:
      case 9:
        floats(r, t.floats);
        break;
      case 6:
      case 12:
        doubles(r, t.floats);
        break;
      case 7:
      case 10:
      case 11:
      case 13:
      case 16:
      case 17:
        ints(r, t.ints);
        break;
      case 8:
        t.strings.push_back(text(r));
        break;
      default:
        r.skip();
    }
  return t;
}

Attrs::value_type attr_entry(pbf_reader r, int depth);

void function_attr(pbf_reader r, Attr& a, int depth) {
  auto attributes = std::make_shared<Attrs>();
  while (r.next()) switch (r.tag()) {
      case 1:
        a.s = text(r);
        break;
      case 2:
        attributes->insert(attr_entry(r.get_message(), depth + 1));
        break;
      default:
        r.skip();
    }
  a.attributes = std::move(attributes);
}

void list_attr(pbf_reader r, Attr& a, int depth) {
  while (r.next()) switch (r.tag()) {
      case 2:
        a.strings.push_back(text(r));
        break;
      case 3:
      case 5:
      case 6:
        ints(r, a.ints);
        break;
      case 4:
        floats(r, a.floats);
        break;
      case 7:
        a.shapes.push_back(shape(r.get_message()));
        break;
      case 9: {
        Attr f;
        function_attr(r.get_message(), f, depth);
        a.strings.push_back(f.s);
        break;
      }
      default:
        r.skip();
    }
}

Attr attr(pbf_reader r, int depth) {
  if (depth > kMaxDepth) throw std::length_error("attributes are nested too deep");
  Attr a;
  while (r.next()) switch (r.tag()) {
      case 1:
        a.kind = Attr::Kind::kList;
        list_attr(r.get_message(), a, depth);
        break;
      case 2:
        a.kind = Attr::Kind::kString;
        a.s = text(r);
        break;
      case 3:
        a.kind = Attr::Kind::kInt;
        a.i = r.get_int64();
        break;
      case 4:
        a.kind = Attr::Kind::kFloat;
        a.f = static_cast<double>(r.get_float());
        break;
      case 5:
        a.kind = Attr::Kind::kBool;
        a.i = r.get_bool() ? 1 : 0;
        break;
      case 6:
        a.kind = Attr::Kind::kType;
        a.i = r.get_enum();
        break;
      case 7:
        a.kind = Attr::Kind::kShape;
        a.shape = shape(r.get_message());
        break;
      case 8:
        a.kind = Attr::Kind::kTensor;
        a.tensor = text(r);
        break;
      case 10:
        a.kind = Attr::Kind::kFunction;
        function_attr(r.get_message(), a, depth);
        break;
      default:
        a.kind = Attr::Kind::kOther;
        r.skip();
    }
  return a;
}

Attrs::value_type attr_entry(pbf_reader r, int depth) {
  std::string_view key;
  Attr value;
  while (r.next()) switch (r.tag()) {
      case 1:
        key = text(r);
        break;
      case 2:
        value = attr(r.get_message(), depth);
        break;
      default:
        r.skip();
    }
  return {key, std::move(value)};
}

Node node(pbf_reader r) {
  Node n;
  while (r.next()) switch (r.tag()) {
      case 1:
        n.name = text(r);
        break;
      case 2:
        n.op = text(r);
        break;
      case 3:
        n.inputs.push_back(text(r));
        break;
      case 5:
        n.attrs.insert(attr_entry(r.get_message(), 0));
        break;
      default:
        r.skip();
    }
  return n;
}

Argument argument(pbf_reader r) {
  Argument a;
  while (r.next()) switch (r.tag()) {
      case 1:
        a.name = text(r);
        break;
      case 3:
        a.type = r.get_enum();
        break;
      default:
        r.skip();
    }
  return a;
}

std::pair<std::string_view, std::string_view> string_entry(pbf_reader r) {
  std::pair<std::string_view, std::string_view> e;
  while (r.next()) switch (r.tag()) {
      case 1:
        e.first = text(r);
        break;
      case 2:
        e.second = text(r);
        break;
      default:
        r.skip();
    }
  return e;
}

void function_signature(pbf_reader r, Function& f) {
  while (r.next()) switch (r.tag()) {
      case 1:
        f.name = text(r);
        break;
      case 2:
        f.inputs.push_back(argument(r.get_message()));
        break;
      case 3:
        f.outputs.push_back(argument(r.get_message()));
        break;
      default:
        r.skip();
    }
}

Function function(pbf_reader r) {
  Function f;
  while (r.next()) switch (r.tag()) {
      case 1:
        function_signature(r.get_message(), f);
        break;
      case 3:
        f.nodes.push_back(node(r.get_message()));
        break;
      case 4:
        f.returns.insert(string_entry(r.get_message()));
        break;
      case 6:
        f.control_returns.push_back(string_entry(r.get_message()).second);
        break;
      default:
        r.skip();
    }
  return f;
}

Graph graph(pbf_reader r) {
  Graph g;
  while (r.next()) switch (r.tag()) {
      case 1:
        g.nodes.push_back(node(r.get_message()));
        break;
      case 2: {
        auto library = r.get_message();
        while (library.next())
          if (library.tag() == 1)
            g.functions.push_back(function(library.get_message()));
          else
            library.skip();
        break;
      }
      default:
        r.skip();
    }
  return g;
}

TensorInfo tensor_info(pbf_reader r) {
  TensorInfo t;
  while (r.next()) switch (r.tag()) {
      case 1: {
        auto entry_key = text(r);
        t.key = entry_key;
        break;
      }
      case 2: {
        auto value = r.get_message();
        while (value.next()) switch (value.tag()) {
            case 1:
              t.name = text(value);
              break;
            case 2:
              t.dtype = value.get_enum();
              break;
            case 3:
              t.shape = shape(value.get_message());
              break;
            case 4:
            case 5:
              t.plain = false;
              value.skip();
              break;
            default:
              value.skip();
          }
        break;
      }
      default:
        r.skip();
    }
  return t;
}

Signature signature(pbf_reader r) {
  Signature s;
  while (r.next()) switch (r.tag()) {
      case 1:
        s.key = text(r);
        break;
      case 2: {
        auto value = r.get_message();
        while (value.next()) switch (value.tag()) {
            case 1:
              s.inputs.push_back(tensor_info(value.get_message()));
              break;
            case 2:
              s.outputs.push_back(tensor_info(value.get_message()));
              break;
            default:
              value.skip();
          }
        break;
      }
      default:
        r.skip();
    }
  return s;
}

MetaGraph meta_graph(pbf_reader r) {
  MetaGraph m;
  while (r.next()) switch (r.tag()) {
      case 1: {
        auto info = r.get_message();
        while (info.next()) switch (info.tag()) {
            case 4:
              m.tags.push_back(text(info));
              break;
            case 5:
              m.version = text(info);
              break;
            default:
              info.skip();
          }
        break;
      }
      case 2:
        m.graph = graph(r.get_message());
        break;
      case 3: {
        auto saver = r.get_message();
        while (saver.next())
          if (saver.tag() == 3)
            m.restore_op = text(saver);
          else
            saver.skip();
        break;
      }
      case 5:
        m.signatures.push_back(signature(r.get_message()));
        break;
      default:
        r.skip();
    }
  return m;
}

SavedModel saved_model(pbf_reader r) {
  SavedModel m;
  while (r.next()) switch (r.tag()) {
      case 1:
        m.schema_version = r.get_int64();
        break;
      case 2:
        m.meta_graphs.push_back(meta_graph(r.get_message()));
        break;
      default:
        r.skip();
    }
  return m;
}

BundleHeader bundle_header(pbf_reader r) {
  BundleHeader h;
  while (r.next()) switch (r.tag()) {
      case 1:
        h.shards = r.get_int32();
        break;
      case 2:
        h.big_endian = r.get_enum() != 0;
        break;
      default:
        r.skip();
    }
  return h;
}

BundleEntry bundle_entry(pbf_reader r) {
  BundleEntry e;
  while (r.next()) switch (r.tag()) {
      case 1:
        e.dtype = r.get_enum();
        break;
      case 2:
        e.shape = shape(r.get_message());
        break;
      case 3:
        e.shard = r.get_int32();
        break;
      case 4:
        e.offset = r.get_int64();
        break;
      case 5:
        e.size = r.get_int64();
        break;
      case 6:
        e.crc = r.get_fixed32();
        break;
      case 7:
        e.sliced = true;
        r.skip();
        break;
      default:
        r.skip();
    }
  return e;
}

std::vector<Attribute> object_graph(pbf_reader r) {
  std::vector<Attribute> all;
  while (r.next()) {
    if (r.tag() != 1) {
      r.skip();
      continue;
    }
    auto object = r.get_message();
    while (object.next()) {
      if (object.tag() != 2) {
        object.skip();
        continue;
      }
      Attribute a;
      auto attribute = object.get_message();
      while (attribute.next()) switch (attribute.tag()) {
          case 2:
            a.full_name = text(attribute);
            break;
          case 3:
            a.checkpoint_key = text(attribute);
            break;
          default:
            attribute.skip();
        }
      all.push_back(a);
    }
  }
  return all;
}

// protozero reports malformed input by exceptions; they end here.
template <class F>
auto guarded(const char* what, std::string_view bytes, F&& f) -> Result<decltype(f(pbf_reader()))> {
  try {
    return f(pbf_reader(bytes.data(), bytes.size()));
  } catch (const protozero::exception& e) {
    return fail(Code::kDamaged, std::string("not a well-formed ") + what + ": " + e.what());
  } catch (const std::length_error& e) {
    return fail(Code::kDamaged, std::string("not a well-formed ") + what + ": " + e.what());
  } catch (const std::bad_alloc&) {
    return fail(Code::kFailed, std::string("out of memory while reading the ") + what);
  }
}

}  // namespace

Result<SavedModel> parse_saved_model(std::string_view bytes) { return guarded("SavedModel", bytes, saved_model); }
Result<Graph> parse_graph(std::string_view bytes) { return guarded("GraphDef", bytes, graph); }
Result<Tensor> parse_tensor(std::string_view bytes) { return guarded("TensorFlow tensor", bytes, tensor); }
Result<BundleHeader> parse_bundle_header(std::string_view bytes) {
  return guarded("variables header", bytes, bundle_header);
}
Result<BundleEntry> parse_bundle_entry(std::string_view bytes) {
  return guarded("variables entry", bytes, bundle_entry);
}
Result<std::vector<Attribute>> parse_object_graph(std::string_view bytes) {
  return guarded("object graph", bytes, object_graph);
}

// A SavedModel is schema version (1, a number) and meta graphs (2); a GraphDef is nodes (1), library (2), versions (4),
// the old version (3, a number) and debug information (5). An ONNX model starts with its number 1, too, but has a
// string or a message in its field 7 or 8.
bool looks_like_saved_model(std::string_view bytes) {
  const auto r = guarded("", bytes, [](pbf_reader m) {
    bool meta = false;
    while (m.next()) {
      if (m.tag() > 2 || (m.tag() == 2) != packed(m)) return false;
      meta = meta || m.tag() == 2;
      m.skip();
    }
    return meta;
  });
  return r && *r;
}

bool looks_like_graph(std::string_view bytes) {
  const auto r = guarded("", bytes, [](pbf_reader m) {
    bool node = false;
    while (m.next()) {
      if (m.tag() > 5 || (m.tag() != 3) != packed(m)) return false;
      if (m.tag() == 1 && !node) {  // name and operator of the first node
        const Node first = proto::node(m.get_message());
        if (first.op.empty() || first.name.empty()) return false;
        node = true;
        continue;
      }
      m.skip();
    }
    return node;
  });
  return r && *r;
}

}  // namespace lathe::tensorflow::proto
