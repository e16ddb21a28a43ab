// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace lathe::text {

/// What printer and parser of the text form share. A statement a line:
///
///     graph "name"
///     symbol batch = 1 4 16                      minimum, typical, maximum
///     input x: f32[batch,8]
///     const w: f32[8,2] = [0.5, 1, …]            or #hash where there are more than kMaxPrinted elements
///     y: f32[batch,2] = MatMul(x, w; b) {trans_b=true} epilogue {inputs 2; …} @ "node name"
///     output y as "probabilities"
///
/// Inputs after `;` belong to the epilogue; `_` is an absent input; types of results may be left out. Names that are
/// not plain words are quoted, with \" and \\ inside.
inline constexpr std::string_view kKeywords[] = {"graph", "symbol", "input", "const", "output", "as", "epilogue", "_"};
inline constexpr int64_t kMaxPrinted = 64;

inline bool is_word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || (c != '\0' && std::string_view("_%./#$").contains(c));
}

inline std::string quoted(std::string_view s) {
  std::string r = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') r += '\\';
    r += c;
  }
  return r + "\"";
}

/// `name` as it stands in the text: plain where possible.
inline std::string name_text(const std::string& name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), is_word_char) &&
                     std::find(std::begin(kKeywords), std::end(kKeywords), name) == std::end(kKeywords);
  return plain ? name : quoted(name);
}

}  // namespace lathe::text
