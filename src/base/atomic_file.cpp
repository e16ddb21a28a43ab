// SPDX-License-Identifier: Apache-2.0
#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/mapped_file.h"

namespace lathe {
namespace {

constexpr size_t kChunk = size_t{4} << 20;  // between two looks at `cancel`

struct Fd {
  int fd;
  ~Fd() { close_now(); }
  int close_now() {
    const int old = std::exchange(fd, -1);
    return old >= 0 ? ::close(old) : 0;
  }
};

/// Removes the unfinished file unless told that it is finished.
struct Partial {
  const std::string& path;
  bool done = false;
  ~Partial() {
    if (!done) ::unlink(path.c_str());
  }
};

Status write_pieces(int fd, const std::string& path, std::span<const std::span<const std::byte>> pieces,
                    const std::atomic<bool>* cancel) {
  for (auto piece : pieces) {
    while (!piece.empty()) {
      if (cancel && cancel->load(std::memory_order_relaxed))
        return fail(Code::kInterrupted, path + ": interrupted; nothing was changed");
      const ssize_t n = ::write(fd, piece.data(), std::min(piece.size(), kChunk));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Code::kFailed, errno_message(path, "cannot write"));
      piece = piece.subspan(static_cast<size_t>(n));
    }
  }
  return {};
}

}  // namespace

Status write_file_atomically(const std::string& path, std::span<const std::span<const std::byte>> pieces,
                             const std::atomic<bool>* cancel) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) return fail(Code::kUsage, path + ": is a folder");
    Fd direct{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (direct.fd < 0) return fail(Code::kFailed, errno_message(path, "cannot open for writing"));
    return write_pieces(direct.fd, path, pieces, cancel);
  }

  static std::atomic<unsigned> counter{0};
  Fd file{-1};
  std::string beside;
  do {
    beside = path + "." + std::to_string(getpid()) + "-" + std::to_string(counter++) + ".partial";
    file.fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file.fd < 0 && errno == EEXIST);
  if (file.fd < 0) return fail(Code::kFailed, errno_message(path, "cannot create"));

  Partial partial{beside};
  LATHE_CHECK(write_pieces(file.fd, path, pieces, cancel));
  if (::fsync(file.fd) != 0) return fail(Code::kFailed, errno_message(path, "cannot write"));
  if (file.close_now() != 0) return fail(Code::kFailed, errno_message(path, "cannot write"));
  if (cancel && cancel->load()) return fail(Code::kInterrupted, path + ": interrupted; nothing was changed");
  if (::rename(beside.c_str(), path.c_str()) != 0) return fail(Code::kFailed, errno_message(path, "cannot replace"));
  partial.done = true;

  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  // The rename is durable only once the folder is; some file systems refuse to sync folders, which costs nothing then.
  if (Fd dir{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)}; dir.fd >= 0) ::fsync(dir.fd);
  return {};
}

}  // namespace lathe
