// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "import/file_bytes.h"

struct zip;

namespace lathe::importer {

/// A zip file in memory: its entries by name, read through libzip. Entries that are stored are used where they lie;
/// compressed ones are inflated. All of it is taken for hostile: kDamaged for names that leave the archive or occur
/// twice, sizes that cannot be, wrong checksums.
class Archive {
 public:
  /// `max_bytes`: the largest entry that is read.
  static Result<Archive> open(FileBytes file, size_t max_bytes);

  /// Names in the order of the file, without a folder that is around everything (PyTorch puts one).
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] bool has(std::string_view name) const { return index_.find(name) != index_.end(); }
  /// The bytes of an entry, checked against its checksum.
  [[nodiscard]] Result<FileBytes> read(std::string_view name) const;

 private:
  struct Close {
    void operator()(zip* archive) const;
  };
  struct Position;  // where libzip has read last

  FileBytes file_;
  size_t max_bytes_ = 0;
  std::shared_ptr<Position> position_;
  std::unique_ptr<zip, Close> archive_;
  std::vector<std::string> names_;
  std::map<std::string, uint64_t, std::less<>> index_;
  mutable std::map<uint64_t, FileBytes> seen_;  ///< entries that were read
};

}  // namespace lathe::importer
