// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lathe {

std::string errno_message(const std::string& path, const char* what) {
  const char* reason = std::strerror(errno);
  return path + ": " + what + ": " + reason;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_) munmap(data_, size_);
}

Result<Mapping> Mapping::anonymous(size_t bytes) {
  if (bytes == 0) return Mapping();
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    return fail(Code::kFailed, "out of memory: " + std::to_string(bytes) + " bytes could not be allocated");
#ifdef MADV_HUGEPAGE
  if (bytes >= (size_t{2} << 20)) madvise(at, bytes, MADV_HUGEPAGE);
#endif
  return Mapping(static_cast<std::byte*>(at), bytes);
}

Status Mapping::make_executable() {
  if (!data_) return {};
  // Instruction caches are not coherent with data caches everywhere (aarch64, riscv64).
  __builtin___clear_cache(reinterpret_cast<char*>(data_), reinterpret_cast<char*>(data_ + size_));
  if (mprotect(data_, size_, PROT_READ | PROT_EXEC) != 0)
    return fail(Code::kFailed, errno_message("engine code", "this system does not allow memory to become executable"));
  return {};
}

Result<File> File::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno == ENOENT ? Code::kUsage : Code::kFailed, errno_message(path, "cannot open"));
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(Code::kUsage, path + ": not a regular file");
  }
  return File(fd, static_cast<uint64_t>(info.st_size), path);
}

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), path_(std::move(other.path_)) {}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Status File::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kFailed, errno_message(path_, "cannot read"));
    if (n == 0) return fail(Code::kDamaged, path_ + ": the file ends too early");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<Mapping> File::map(uint64_t offset, size_t size) const {
  if (size == 0) return Mapping();
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (offset % page != 0) {
    LATHE_TRY(Mapping copy, Mapping::anonymous(size));
    LATHE_CHECK(read(offset, copy.bytes()));
    return copy;
  }
  void* at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_, static_cast<off_t>(offset));
  if (at == MAP_FAILED) return fail(Code::kFailed, errno_message(path_, "cannot map"));
  return Mapping(static_cast<std::byte*>(at), size);
}

}  // namespace lathe
