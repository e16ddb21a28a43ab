// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lathe {

/// A dimension: an integer or an expression over symbols (`batch`, `2*h+1`). Kept in a canonical form (a sum of
/// coefficient × product of atoms), so equal expressions compare equal. An atom is a symbol, or a floor division,
/// remainder, minimum or maximum that could not be simplified. Value type, cheap to copy; immutable, thread-safe.
class Dim {
 public:
  Dim(int64_t value = 0);  // NOLINT(google-explicit-constructor): an integer is a dimension
  static Dim symbol(const std::string& name);

  [[nodiscard]] bool is_const() const;
  /// The integer; only if is_const().
  [[nodiscard]] int64_t value() const;
  [[nodiscard]] std::optional<int64_t> as_const() const;
  [[nodiscard]] bool equals(int64_t v) const { return is_const() && value() == v; }
  /// The symbol's name if the dimension is exactly one symbol, else empty.
  [[nodiscard]] std::string symbol_name() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  [[nodiscard]] std::string str() const;
  void collect_symbols(std::set<std::string>& names) const;
  [[nodiscard]] Dim substitute(const std::map<std::string, Dim>& values) const;

  enum class AtomKind : uint8_t { kSymbol, kFloorDiv, kMod, kMin, kMax };
  struct Atom {
    AtomKind kind = AtomKind::kSymbol;
    std::string key;        ///< canonical text; the symbol's name for kSymbol
    std::vector<Dim> args;  ///< two operands, none for kSymbol
  };
  struct Term {
    int64_t coefficient = 0;
    std::vector<std::shared_ptr<const Atom>> atoms;  ///< sorted by key; empty: the constant term
  };
  /// Canonical: sorted by atoms, no zero coefficients.
  [[nodiscard]] const std::vector<Term>& terms() const { return terms_; }

 private:
  friend Dim make_atom(AtomKind kind, const Dim& a, const Dim& b);
  std::vector<Term> terms_;
};

Dim floor_div(const Dim& a, const Dim& b);
Dim ceil_div(const Dim& a, const Dim& b);
Dim mod(const Dim& a, const Dim& b);
Dim min(const Dim& a, const Dim& b);
Dim max(const Dim& a, const Dim& b);

/// Parses what str() prints: integers, names, + - * ( ) floordiv(a,b) mod(a,b) min(a,b) max(a,b).
std::optional<Dim> parse_dim(std::string_view text);

using Shape = std::vector<Dim>;
[[nodiscard]] Dim product(const Shape& shape);
[[nodiscard]] std::string shape_str(const Shape& shape);  ///< "[1,batch,2*h+1]"
[[nodiscard]] bool is_static(const Shape& shape);
/// Integers of a static shape; empty optional if a dimension is symbolic.
[[nodiscard]] std::optional<std::vector<int64_t>> static_dims(const Shape& shape);
[[nodiscard]] Shape to_shape(const std::vector<int64_t>& dims);

}  // namespace lathe
