// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <vector>

/// Writes small ONNX models for tests, damaged ones included: every message is a string of bytes.
namespace onnx_model {

using protozero::pbf_writer;

inline std::string message(const std::vector<std::pair<protozero::pbf_tag_type, std::string>>& fields) {
  std::string bytes;
  pbf_writer w(bytes);
  for (const auto& [tag, value] : fields) w.add_bytes(tag, value);
  return bytes;
}

inline std::string attribute_i(const std::string& name, int64_t v) {
  std::string bytes;
  pbf_writer w(bytes);
  w.add_string(1, name);
  w.add_int64(3, v);
  w.add_enum(20, 2);
  return bytes;
}

inline std::string attribute_ints(const std::string& name, const std::vector<int64_t>& v) {
  std::string bytes;
  pbf_writer w(bytes);
  w.add_string(1, name);
  w.add_packed_int64(8, v.begin(), v.end());
  w.add_enum(20, 7);
  return bytes;
}

inline std::string attribute_s(const std::string& name, const std::string& v) { return message({{1, name}, {4, v}}); }
inline std::string attribute_graph(const std::string& name, const std::string& graph) {
  return message({{1, name}, {6, graph}});
}
inline std::string attribute_ref(const std::string& name, const std::string& ref) {
  return message({{1, name}, {21, ref}});
}

inline std::string node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::vector<std::string>& attributes = {},
                        const std::string& domain = {}, const std::string& name = {}) {
  std::string bytes;
  pbf_writer w(bytes);
  for (const auto& i : inputs) w.add_string(1, i);
  for (const auto& o : outputs) w.add_string(2, o);
  if (!name.empty()) w.add_string(3, name);
  w.add_string(4, op);
  for (const auto& a : attributes) w.add_message(5, a);
  if (!domain.empty()) w.add_string(7, domain);
  return bytes;
}

inline std::string tensor_header(const std::string& name, const std::vector<int64_t>& dims, int type) {
  std::string bytes;
  pbf_writer w(bytes);
  w.add_packed_int64(1, dims.begin(), dims.end());
  w.add_int32(2, type);
  w.add_string(8, name);
  return bytes;
}

inline std::string tensor_f32(const std::string& name, const std::vector<int64_t>& dims, const std::vector<float>& v) {
  return tensor_header(name, dims, 1) +
         message({{9, std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float))}});
}

inline std::string tensor_bool(const std::string& name, bool v) {
  return tensor_header(name, {}, 9) + message({{9, std::string(1, v ? 1 : 0)}});
}

inline std::string tensor_external(const std::string& name, const std::vector<int64_t>& dims,
                                   const std::string& location, const std::string& offset = "0") {
  std::string bytes = tensor_header(name, dims, 1);
  bytes += message({{13, message({{1, "location"}, {2, location}})}, {13, message({{1, "offset"}, {2, offset}})}});
  pbf_writer(bytes).add_enum(14, 1);
  return bytes;
}

/// A dimension: a size, or a name where the text is not a number.
inline std::string value(const std::string& name, const std::vector<std::string>& dims, int type = 1) {
  std::string shape, tensor, bytes;
  for (const auto& d : dims) {
    std::string dim;
    pbf_writer w(dim);
    if (!d.empty() && (std::isdigit(static_cast<unsigned char>(d[0])) || d[0] == '-'))
      w.add_int64(1, std::stoll(d));
    else
      w.add_string(2, d);
    pbf_writer(shape).add_message(1, dim);
  }
  pbf_writer t(tensor);
  t.add_int32(1, type);
  t.add_message(2, shape);
  return message({{1, name}, {2, message({{1, tensor}})}});
}

struct Graph {
  std::vector<std::string> nodes, initializers, inputs, outputs;
  [[nodiscard]] std::string bytes() const {
    std::string b;
    pbf_writer w(b);
    for (const auto& n : nodes) w.add_message(1, n);
    w.add_string(2, "test");
    for (const auto& t : initializers) w.add_message(5, t);
    for (const auto& v : inputs) w.add_message(11, v);
    for (const auto& v : outputs) w.add_message(12, v);
    return b;
  }
};

inline std::string opset(int64_t version, const std::string& domain = {}) {
  std::string b;
  pbf_writer w(b);
  w.add_string(1, domain);
  w.add_int64(2, version);
  return b;
}

inline std::string model(const Graph& g, int64_t version = 20, const std::vector<std::string>& functions = {},
                         const std::vector<std::string>& opsets = {}) {
  std::string b;
  pbf_writer w(b);
  w.add_int64(1, 10);
  w.add_message(7, g.bytes());
  w.add_message(8, opset(version));
  for (const auto& o : opsets) w.add_message(8, o);
  for (const auto& f : functions) w.add_message(25, f);
  return b;
}

/// A folder that is removed with its files.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "lathe-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] std::string write(const std::string& name, const std::string& bytes) const {
    const auto file = path_ / name;
    std::ofstream(file, std::ios::binary) << bytes;
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace onnx_model
