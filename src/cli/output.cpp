// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lathe::cli {
namespace {

bool no_colour() {
  const char* value = std::getenv("NO_COLOR");
  return value && *value;
}

/// Characters, not bytes: continuation bytes of UTF-8 are not counted.
size_t width(std::string_view s) {
  return static_cast<size_t>(std::ranges::count_if(s, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string cut(const std::string& s, size_t max_cell) {
  if (width(s) <= max_cell) return s;
  size_t bytes = 0;
  for (size_t seen = 0; bytes < s.size(); ++bytes)
    if ((s[bytes] & 0xc0) != 0x80 && seen++ == max_cell - 1) break;
  return s.substr(0, bytes) + "…";
}

}  // namespace

void Output::put(std::string_view s) { std::fwrite(s.data(), 1, s.size(), stdout); }

void Output::note(std::string_view s) const {
  if (!quiet) fmt::print(stderr, "note: {}\n", s);
}

void Output::document(const Json& document) const {
  // Names come from the user's model and need not be UTF-8.
  if (json) put(document.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
}

Status Output::flush() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return fail(Code::kFailed, std::string("cannot write to standard output: ") + std::strerror(errno));
  return {};
}

void report(const Output& out, const Error& error) {
  if (error.message.empty()) return;  // the command has said it already
  fmt::print(stderr, "{}error:{} {}\n", stderr_colour() ? "\033[1;31m" : "", stderr_colour() ? "\033[0m" : "",
             error.message);
  out.document({{"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}}}});
}

bool stderr_colour() { return isatty(STDERR_FILENO) && !no_colour(); }
bool stdout_colour() { return isatty(STDOUT_FILENO) && !no_colour(); }

std::string Table::text(size_t max_cell) const {
  const auto shown = [&](size_t row, size_t column) {
    const std::string& cell = rows_[row][column];
    return cut(row == 0 && cell.starts_with('>') ? cell.substr(1) : cell, max_cell);
  };
  std::vector<size_t> widths(rows_[0].size());
  for (size_t r = 0; r < rows_.size(); ++r)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width(shown(r, i)));
  std::string out;
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = shown(r, i);
      const std::string pad(widths[i] - width(cell), ' ');
      line += i ? "  " : "";
      line += rows_[0][i].starts_with('>') ? pad + cell : cell + pad;
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + '\n';
  }
  return out;
}

std::string human_bytes(double bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.3g} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{:.0f} min", seconds / 60);
}

}  // namespace lathe::cli
