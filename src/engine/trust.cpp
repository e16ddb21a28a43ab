// SPDX-License-Identifier: Apache-2.0
#include "engine/trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace lathe {
namespace {

constexpr std::string_view kEngine = "sha256:", kKey = "ed25519:";
constexpr size_t kMaxList = size_t{16} << 20;

/// The list's text, "" if there is none that counts.
std::string read_list() {
  const std::string path = trust_file();
  const int fd = path.empty() ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text;
  struct stat info{};
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_uid == geteuid() || info.st_uid == 0) &&
      (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) {
    char block[4096];
    for (ssize_t n; (n = ::read(fd, block, sizeof block)) > 0 && text.size() < kMaxList;)
      text.append(block, static_cast<size_t>(n));
  }
  ::close(fd);
  return text;
}

bool has_line(std::string_view text, std::string_view line) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    while (!one.empty() && (one.back() == '\r' || one.back() == ' ')) one.remove_suffix(1);
    if (one == line) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

void make_folders(const std::string& path) {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    ::mkdir(path.substr(0, at).c_str(), 0700);
}

Status append(std::string_view kind, std::string_view hex) {
  if (!hash_from_hex(hex))
    return fail(Code::kUsage, "expected 64 hexadecimal digits, got \"" + std::string(hex) + "\"");
  std::string line(kind);
  line += hex;
  std::transform(line.begin(), line.end(), line.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? char(c + 32) : c; });
  if (has_line(read_list(), line)) return {};
  const std::string path = trust_file();
  if (path.empty()) return fail(Code::kFailed, "neither XDG_STATE_HOME nor HOME is set, so trust cannot be recorded");
  make_folders(path);
  // One write in append mode, so that builds at the same time do not mix their lines.
  line += '\n';
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  Status status;
  if (!written) status = fail(Code::kFailed, errno_message(path, "cannot record trust"));
  if (fd >= 0) ::close(fd);
  return status;
}

}  // namespace

std::string trust_file() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && state[0] == '/')
    return std::string(state) + "/lathe/trusted";
  if (const char* home = std::getenv("HOME"); home && home[0] == '/')
    return std::string(home) + "/.local/state/lathe/trusted";
  return {};
}

bool is_trusted(const EngineHead& head, std::span<const PublicKey> keys) {
  if (head.is_signed && std::find(keys.begin(), keys.end(), head.signer) != keys.end()) return true;
  const std::string list = read_list();
  return has_line(list, std::string(kEngine) + to_hex(head.identity)) ||
         (head.is_signed && has_line(list, std::string(kKey) + to_hex(head.signer)));
}

Status trust_engine(std::string_view identity_hex) { return append(kEngine, identity_hex); }
Status trust_key(std::string_view key_hex) { return append(kKey, key_hex); }

}  // namespace lathe
