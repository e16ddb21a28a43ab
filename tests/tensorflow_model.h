// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "import/tensorflow/checkpoint.h"
#include "onnx_model.h"

/// Writes small TensorFlow models for tests, damaged ones included: every message is a string of bytes.
namespace tensorflow_model {

using onnx_model::message;
using protozero::pbf_writer;
using Bytes = std::string;

inline Bytes shape(const std::vector<int64_t>& dims) {
  Bytes bytes;
  pbf_writer w(bytes);
  for (const int64_t d : dims) {
    Bytes dim;
    pbf_writer(dim).add_int64(1, d);
    w.add_message(2, dim);
  }
  return bytes;
}

enum Type : int { kFloat = 1, kInt32 = 3, kString = 7, kInt64 = 9, kBool = 10, kResource = 20 };

inline Bytes tensor(int type, const std::vector<int64_t>& dims, const Bytes& content) {
  Bytes bytes;
  pbf_writer w(bytes);
  w.add_enum(1, type);
  w.add_message(2, shape(dims));
  w.add_bytes(4, content);
  return bytes;
}
template <class T>
Bytes raw(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}
inline Bytes floats(const std::vector<int64_t>& dims, const std::vector<float>& v) {
  return tensor(kFloat, dims, raw(v));
}
inline Bytes ints(const std::vector<int64_t>& dims, const std::vector<int32_t>& v) {
  return tensor(kInt32, dims, raw(v));
}

/// A value of an attribute.
inline Bytes attr_i(int64_t v) {
  Bytes b;
  pbf_writer(b).add_int64(3, v);
  return b;
}
inline Bytes attr_b(bool v) {
  Bytes b;
  pbf_writer(b).add_bool(5, v);
  return b;
}
inline Bytes attr_f(float v) {
  Bytes b;
  pbf_writer(b).add_float(4, v);
  return b;
}
inline Bytes attr_type(int v) {
  Bytes b;
  pbf_writer(b).add_enum(6, v);
  return b;
}
inline Bytes attr_s(const Bytes& v) { return message({{2, v}}); }
inline Bytes attr_shape(const std::vector<int64_t>& dims) { return message({{7, shape(dims)}}); }
inline Bytes attr_tensor(const Bytes& t) { return message({{8, t}}); }
inline Bytes attr_function(const Bytes& name) { return message({{10, message({{1, name}})}}); }
inline Bytes attr_ints(const std::vector<int64_t>& v) {
  Bytes list;
  pbf_writer(list).add_packed_int64(3, v.begin(), v.end());
  return message({{1, list}});
}

using Attrs = std::map<std::string, Bytes>;

inline Bytes node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                  const Attrs& attrs = {}) {
  Bytes bytes;
  pbf_writer w(bytes);
  w.add_string(1, name);
  w.add_string(2, op);
  for (const auto& i : inputs) w.add_string(3, i);
  for (const auto& [key, value] : attrs) w.add_message(5, message({{1, key}, {2, value}}));
  return bytes;
}
inline Bytes constant(const std::string& name, const Bytes& t) {
  return node("Const", name, {}, {{"value", attr_tensor(t)}});
}
inline Bytes placeholder(const std::string& name, const std::vector<int64_t>& dims, int type = kFloat) {
  return node("Placeholder", name, {}, {{"dtype", attr_type(type)}, {"shape", attr_shape(dims)}});
}

struct Function {
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::pair<std::string, std::string>> outputs;  ///< name, what it returns
  std::vector<Bytes> nodes;
};
inline Bytes function(const Function& f) {
  Bytes signature;
  pbf_writer s(signature);
  s.add_string(1, f.name);
  for (const auto& i : f.inputs) s.add_message(2, message({{1, i}}));
  for (const auto& [o, from] : f.outputs) s.add_message(3, message({{1, o}}));
  Bytes bytes;
  pbf_writer w(bytes);
  w.add_message(1, signature);
  for (const auto& n : f.nodes) w.add_message(3, n);
  for (const auto& [o, from] : f.outputs) w.add_message(4, message({{1, o}, {2, from}}));
  return bytes;
}

inline Bytes graph(const std::vector<Bytes>& nodes, const std::vector<Function>& functions = {}) {
  Bytes bytes, library;
  pbf_writer w(bytes);
  for (const auto& n : nodes) w.add_message(1, n);
  pbf_writer l(library);
  for (const auto& f : functions) l.add_message(1, function(f));
  if (!functions.empty()) w.add_message(2, library);
  return bytes;
}

struct Port {
  std::string key, name;
  std::vector<int64_t> dims;
  int type = kFloat;
};
inline Bytes signature(const std::string& key, const std::vector<Port>& inputs, const std::vector<Port>& outputs) {
  Bytes value;
  pbf_writer w(value);
  const auto put = [&](protozero::pbf_tag_type tag, const Port& p) {
    Bytes info;
    pbf_writer i(info);
    i.add_string(1, p.name);
    i.add_enum(2, p.type);
    i.add_message(3, shape(p.dims));
    w.add_message(tag, message({{1, p.key}, {2, info}}));
  };
  for (const Port& p : inputs) put(1, p);
  for (const Port& p : outputs) put(2, p);
  return message({{1, key}, {2, value}});
}
inline Bytes saved_model(const Bytes& graph, const std::vector<Bytes>& signatures, const Bytes& restore_op = {}) {
  Bytes meta;
  pbf_writer m(meta);
  m.add_message(1, message({{4, "serve"}}));
  m.add_message(2, graph);
  if (!restore_op.empty()) m.add_message(3, message({{3, restore_op}}));
  for (const auto& s : signatures) m.add_message(5, s);
  Bytes bytes;
  pbf_writer w(bytes);
  w.add_int64(1, 1);
  w.add_message(2, meta);
  return bytes;
}

inline Bytes fixed32(uint32_t v) { return raw(std::vector<uint32_t>{v}); }
inline Bytes varint(uint64_t v) {
  Bytes b;
  for (; v >= 128; v >>= 7) b += static_cast<char>(v | 128);
  return b + static_cast<char>(v);
}

/// A block of a table: entries without shared keys, one restart; `kind` 1: `stored` is compressed.
inline Bytes block(const std::vector<std::pair<Bytes, Bytes>>& entries) {
  Bytes b;
  for (const auto& [key, value] : entries) b += varint(0) + varint(key.size()) + varint(value.size()) + key + value;
  return b + fixed32(0) + fixed32(1);
}
inline Bytes stored(const Bytes& contents, char kind = 0) {
  const Bytes b = contents + kind;
  return b + fixed32(lathe::tensorflow::masked_crc32c(b));
}
inline Bytes table(const std::vector<std::pair<Bytes, Bytes>>& entries, bool snappy = false) {
  Bytes data = block(entries);
  if (snappy) {  // as literals alone, of 60 bytes at most
    Bytes packed = varint(data.size());
    for (size_t at = 0; at < data.size(); at += 60) {
      const Bytes piece = data.substr(at, 60);
      packed += static_cast<char>((piece.size() - 1) << 2);
      packed += piece;
    }
    data = packed;
  }
  Bytes file = stored(data, snappy ? 1 : 0);
  const Bytes handle = varint(0) + varint(data.size());
  const Bytes index = block({{"~", handle}});
  Bytes footer = varint(0) + varint(0) + varint(file.size()) + varint(index.size());
  file += stored(index);
  footer.resize(40, '\0');
  return file + footer + raw(std::vector<uint64_t>{0xdb4775248b80fb57u});
}

struct Entry {
  std::vector<int64_t> dims;
  int64_t offset = 0, size = 0;
  uint32_t crc = 0;
  int type = kFloat;
  int shard = 0;
};
inline Bytes entry(const Entry& e) {
  Bytes b;
  pbf_writer w(b);
  w.add_enum(1, e.type);
  w.add_message(2, shape(e.dims));
  w.add_int32(3, e.shard);
  w.add_int64(4, e.offset);
  w.add_int64(5, e.size);
  w.add_fixed32(6, e.crc);
  return b;
}
inline Bytes bundle_header(int shards = 1) {
  Bytes b;
  pbf_writer(b).add_int32(1, shards);
  return b;
}

}  // namespace tensorflow_model
