// SPDX-License-Identifier: Apache-2.0
#include "import/json.h"

#include <nlohmann/json.hpp>
#include <string>

namespace lathe::importer {

namespace {

constexpr size_t kMaxNesting = 200;

// The parser needs no stack for nesting, but what it builds may be large: a bracket is a kilobyte of nothing.
bool nested_too_deep(std::string_view text) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else
        quoted = c != '"';
      continue;
    }
    quoted = c == '"';
    if ((c == '[' || c == '{') && ++depth > kMaxNesting) return true;
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
  return false;
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, std::string_view what) {
  if (nested_too_deep(text)) return fail(Code::kDamaged, std::string(what) + ": nested too deeply");
  nlohmann::json j = nlohmann::json::parse(text, nullptr, false);
  if (!j.is_structured()) return fail(Code::kDamaged, std::string(what) + ": not a JSON object or list");
  return j;
}

}  // namespace lathe::importer
