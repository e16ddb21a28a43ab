// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/file_bytes.h"
#include "import/tensorflow/proto.h"

namespace lathe::tensorflow {

/// The element type that TensorFlow numbers so; nothing for what has no values (resources, variants) or is not known.
/// Reference types (TF1 variables) are those they refer to.
std::optional<DType> dtype_of(int64_t tensorflow);
/// Both parts of a complex type: f32 or f64.
std::optional<DType> complex_part(int64_t tensorflow);

/// The checksum of TensorFlow's files: CRC-32C, rotated and offset.
uint32_t masked_crc32c(std::string_view bytes);

/// A table of the variables.index kind: keys and values, sorted by key. `bytes` must outlive the call alone.
Result<std::map<std::string, std::string>> read_table(std::string_view bytes);

/// A checkpoint ("tensor bundle"): PREFIX.index, which is a table of entries, and PREFIX.data-00000-of-00001 … with the
/// values. Shards are mapped when first needed; every value's checksum is verified when it is read.
class Checkpoint {
 public:
  static Result<Checkpoint> open(const std::string& prefix, size_t max_tensor_bytes);

  [[nodiscard]] bool has(std::string_view key) const { return entries_.contains(key); }
  [[nodiscard]] size_t size() const { return entries_.size(); }
  Result<Tensor> read(std::string_view key);
  /// The key under which an object-based checkpoint keeps the variable of this name, if it says so.
  [[nodiscard]] std::optional<std::string> key_of(std::string_view variable) const;

 private:
  Result<std::string_view> bytes_of(const proto::BundleEntry& e);
  std::string prefix_;
  size_t max_bytes_ = 0;
  int64_t shards_ = 0;
  std::map<std::string, proto::BundleEntry, std::less<>> entries_;
  std::map<int64_t, importer::FileBytes> files_;
  std::map<std::string, std::string, std::less<>> keys_;
};

}  // namespace lathe::tensorflow
