// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "import/file_bytes.h"

namespace lathe::keras {

/// An HDF5 file in memory, as far as Keras writes it: groups as symbol tables, contiguous or compact datasets of
/// numbers, attributes that hold strings (docs/adr/0008). All of it is taken for hostile: kDamaged for what lies
/// outside the file, goes in circles or contradicts itself; kUnsupported for what other writers use (chunks,
/// compression, the newer forms of groups).
class Hdf5 {
 public:
  using Address = uint64_t;

  static bool looks_like(std::string_view bytes) { return bytes.starts_with("\x89HDF\r\n\x1a\n"); }
  /// `max_bytes`: the largest dataset that is read.
  static Result<Hdf5> open(importer::FileBytes file, size_t max_bytes);

  [[nodiscard]] Address root() const { return root_; }
  /// The members of a group by name.
  [[nodiscard]] Result<std::map<std::string, Address, std::less<>>> members(Address group) const;
  /// What lies at `path` ("a/b/c") below a group; nothing if there is no such thing.
  [[nodiscard]] Result<std::optional<Address>> find(Address group, std::string_view path) const;
  /// A dataset of numbers.
  [[nodiscard]] Result<Tensor> dataset(Address at) const;
  /// The strings of an attribute (one if it is a scalar); nothing if there is no such attribute.
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> strings(Address at, std::string_view attribute) const;

 private:
  /// A message of an object's header.
  struct Message {
    uint16_t type = 0;
    std::string_view data;
  };
  struct Type {
    int kind = 0;  ///< the format's class
    uint64_t size = 0;
    DType dtype = DType::kUndefined;
    bool varying = false;  ///< strings of any length
  };
  struct Attribute {
    Type type;
    std::vector<int64_t> dims;
    std::string_view data;
  };

  [[nodiscard]] Result<std::string_view> bytes(uint64_t at, uint64_t size, std::string_view what) const;
  [[nodiscard]] Result<std::vector<Message>> messages(Address at) const;
  [[nodiscard]] Status read_messages(std::string_view block, std::vector<Message>& all,
                                     std::vector<std::string_view>& blocks) const;
  [[nodiscard]] Status read_tree(Address at, std::string_view heap, int depth, size_t& budget,
                                 std::map<std::string, Address, std::less<>>& all) const;
  [[nodiscard]] Result<std::string> global(uint64_t collection, uint32_t index, uint64_t size) const;
  static Result<Type> type(std::string_view data);
  static Result<std::vector<int64_t>> space(std::string_view data);
  static Result<Attribute> attribute(std::string_view data, std::string_view wanted, bool& found);

  importer::FileBytes file_;
  size_t max_bytes_ = 0;
  Address root_ = 0;
};

}  // namespace lathe::keras
