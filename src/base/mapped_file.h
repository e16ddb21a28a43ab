// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace lathe {

/// Memory from mmap, unmapped on destruction.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  /// Zeroed anonymous memory; transparent huge pages are asked for from 2 MiB on. kFailed when there is none.
  static Result<Mapping> anonymous(size_t bytes);

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  /// From now on read and execute only.
  [[nodiscard]] Status make_executable();

 private:
  friend class File;
  Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// A regular file open for reading.
class File {
 public:
  static Result<File> open(const std::string& path);
  File(File&& other) noexcept;
  File& operator=(File&&) = delete;
  ~File();

  [[nodiscard]] uint64_t size() const { return size_; }
  /// Reads exactly out.size() bytes at `offset`.
  [[nodiscard]] Status read(uint64_t offset, std::span<std::byte> out) const;
  /// Maps [offset, offset + size) privately and read-only; `offset` is a multiple of 4096 (and of the page size, else
  /// the range is read into anonymous memory). The file must not shrink while it is mapped: reading beyond its new end
  /// is a SIGBUS, as with every mapped file.
  [[nodiscard]] Result<Mapping> map(uint64_t offset, size_t size) const;

 private:
  File(int fd, uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}
  int fd_;
  uint64_t size_;
  std::string path_;
};

/// `path: what: strerror(errno)`, for messages.
[[nodiscard]] std::string errno_message(const std::string& path, const char* what);

}  // namespace lathe
