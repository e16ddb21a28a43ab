// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/npy.h"

struct zip;

namespace lathe::cli {

/// numpy's file of several named arrays: a zip file of npy files. Read with libzip; nothing in it is trusted.
class NpzReader {
 public:
  /// kUsage: no such file. kDamaged: not a zip file, or two arrays of one name.
  static Result<NpzReader> open(const std::string& path);
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// The array `name`, which must be one of names().
  [[nodiscard]] Result<NpyArray> read(const std::string& name, const HeaderCheck& check) const;

 private:
  struct Close {
    void operator()(zip* archive) const;
  };
  NpzReader() = default;
  std::string path_;
  std::unique_ptr<zip, Close> archive_;
  std::vector<std::string> names_;
  std::vector<uint64_t> indices_;
};

/// The one array of an npy file.
[[nodiscard]] Result<NpyArray> read_npy_file(const std::string& path, const HeaderCheck& check);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
/// Written whole or not at all; the same tensors give the same bytes.
[[nodiscard]] Status write_npz(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace lathe::cli
