// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace lathe::cli {

using Json = nlohmann::ordered_json;

/// Where a command's words go: results to stdout, the rest to stderr. With --json only document() writes to stdout.
struct Output {
  bool json = false, quiet = false;
  int verbose = 0;

  /// A line of the result for people.
  template <class... T>
  void line(fmt::format_string<T...> format, T&&... values) const {
    if (!json && !quiet) put(fmt::format(format, std::forward<T>(values)...) + '\n');
  }
  /// Text of the result as it is.
  void text(std::string_view s) const {
    if (!json && !quiet) put(s);
  }
  /// Something to know that is no result: to stderr, as `note: …`.
  void note(std::string_view s) const;
  /// As note, with -v only.
  void detail(std::string_view s) const {
    if (verbose > 0) note(s);
  }
  /// The one JSON document of --json; nothing without it.
  void document(const Json& document) const;
  /// kFailed when something written to stdout did not get there.
  [[nodiscard]] static Status flush();

 private:
  static void put(std::string_view s);
};

/// `error: …` on stderr, and the JSON form on stdout with --json.
void report(const Output& out, const Error& error);

/// stderr is a terminal, and NO_COLOR is not set.
bool stderr_colour();
bool stdout_colour();

/// Columns padded to their widest cell; those whose head begins with '>' are right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// Each line ends with '\n'; cells beyond `max_cell` characters are cut and end with "…".
  [[nodiscard]] std::string text(size_t max_cell = 48) const;

 private:
  std::vector<std::vector<std::string>> rows_;  ///< the first is the head
};

/// 1536 → "1.5 KiB".
std::string human_bytes(double bytes);
/// 0.00123 s → "1.23 ms".
std::string human_seconds(double seconds);

}  // namespace lathe::cli
