// SPDX-License-Identifier: Apache-2.0
#include "ir/dim.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace lathe {

namespace {

using Atom = Dim::Atom;
using AtomKind = Dim::AtomKind;
using Term = Dim::Term;

constexpr struct {
  AtomKind kind;
  const char* name;
} kAtomNames[] = {
    {AtomKind::kFloorDiv, "floordiv"}, {AtomKind::kMod, "mod"}, {AtomKind::kMin, "min"}, {AtomKind::kMax, "max"}};

// Sizes beyond all memory stay beyond it: they must not wrap around to small ones.
constexpr int64_t kMost = INT64_MAX;
int64_t times(int64_t a, int64_t b) {
  int64_t r = 0;
  return __builtin_mul_overflow(a, b, &r) ? ((a < 0) != (b < 0) ? -kMost : kMost) : r;
}
int64_t plus(int64_t a, int64_t b) {
  int64_t r = 0;
  return __builtin_add_overflow(a, b, &r) ? (a < 0 ? -kMost : kMost) : r;
}

bool atoms_less(const Term& a, const Term& b) {
  return std::lexicographical_compare(a.atoms.begin(), a.atoms.end(), b.atoms.begin(), b.atoms.end(),
                                      [](const auto& x, const auto& y) { return x->key < y->key; });
}

bool atoms_equal(const Term& a, const Term& b) {
  return std::equal(a.atoms.begin(), a.atoms.end(), b.atoms.begin(), b.atoms.end(),
                    [](const auto& x, const auto& y) { return x->key == y->key; });
}

void canonicalize(std::vector<Term>& terms) {
  std::sort(terms.begin(), terms.end(), atoms_less);
  std::vector<Term> out;
  for (auto& t : terms) {
    if (!out.empty() && atoms_equal(out.back(), t))
      out.back().coefficient = plus(out.back().coefficient, t.coefficient);
    else
      out.push_back(std::move(t));
  }
  std::erase_if(out, [](const Term& t) { return t.coefficient == 0; });
  terms = std::move(out);
}

int64_t floor_div_int(int64_t a, int64_t b) {
  if (b == -1) return times(a, b);  // the lowest integer has no counterpart
  const int64_t q = a / b;
  return (a % b != 0 && ((a < 0) != (b < 0))) ? q - 1 : q;
}

}  // namespace

Dim::Dim(int64_t value) {
  if (value != 0) terms_.push_back({value, {}});
}

Dim Dim::symbol(const std::string& name) {
  Dim d;
  d.terms_.push_back({1, {std::make_shared<const Atom>(Atom{AtomKind::kSymbol, name, {}})}});
  return d;
}

bool Dim::is_const() const { return terms_.empty() || (terms_.size() == 1 && terms_[0].atoms.empty()); }
int64_t Dim::value() const { return terms_.empty() ? 0 : terms_[0].coefficient; }
std::optional<int64_t> Dim::as_const() const { return is_const() ? std::optional(value()) : std::nullopt; }

std::string Dim::symbol_name() const {
  if (terms_.size() != 1 || terms_[0].coefficient != 1 || terms_[0].atoms.size() != 1) return {};
  const Atom& a = *terms_[0].atoms[0];
  return a.kind == AtomKind::kSymbol ? a.key : std::string();
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim r = a;
  r.terms_.insert(r.terms_.end(), b.terms_.begin(), b.terms_.end());
  canonicalize(r.terms_);
  return r;
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  Dim r;
  for (const auto& x : a.terms_)
    for (const auto& y : b.terms_) {
      Term t{times(x.coefficient, y.coefficient), x.atoms};
      t.atoms.insert(t.atoms.end(), y.atoms.begin(), y.atoms.end());
      std::sort(t.atoms.begin(), t.atoms.end(), [](const auto& p, const auto& q) { return p->key < q->key; });
      r.terms_.push_back(std::move(t));
    }
  canonicalize(r.terms_);
  return r;
}

bool operator==(const Dim& a, const Dim& b) {
  return std::equal(a.terms_.begin(), a.terms_.end(), b.terms_.begin(), b.terms_.end(),
                    [](const Term& x, const Term& y) { return x.coefficient == y.coefficient && atoms_equal(x, y); });
}

std::string Dim::str() const {
  if (terms_.empty()) return "0";
  std::string s;
  // The constant term sorts first but reads better last.
  auto put = [&](const Term& t) {
    std::string body;
    for (const auto& a : t.atoms) body += (body.empty() ? "" : "*") + a->key;
    if (!s.empty())
      s += t.coefficient < 0 ? "-" : "+";
    else if (t.coefficient < 0)
      s += "-";
    const uint64_t magnitude =
        t.coefficient < 0 ? uint64_t(0) - static_cast<uint64_t>(t.coefficient) : static_cast<uint64_t>(t.coefficient);
    if (body.empty())
      s += std::to_string(magnitude);
    else if (magnitude != 1)
      s += std::to_string(magnitude) + "*" + body;
    else
      s += body;
  };
  for (const auto& t : terms_)
    if (!t.atoms.empty()) put(t);
  for (const auto& t : terms_)
    if (t.atoms.empty()) put(t);
  return s;
}

void Dim::collect_symbols(std::set<std::string>& names) const {
  for (const auto& t : terms_)
    for (const auto& a : t.atoms) {
      if (a->kind == AtomKind::kSymbol) names.insert(a->key);
      for (const auto& d : a->args) d.collect_symbols(names);
    }
}

Dim make_atom(Dim::AtomKind kind, const Dim& a, const Dim& b) {
  Atom atom{kind, {}, {a, b}};
  for (const auto& n : kAtomNames)
    if (n.kind == kind) atom.key = std::string(n.name) + "(" + a.str() + "," + b.str() + ")";
  Dim d;
  d.terms_.push_back({1, {std::make_shared<const Atom>(std::move(atom))}});
  return d;
}

Dim Dim::substitute(const std::map<std::string, Dim>& values) const {
  Dim sum;
  for (const auto& t : terms_) {
    Dim p = t.coefficient;
    for (const auto& a : t.atoms) {
      Dim f;
      switch (a->kind) {
        case AtomKind::kSymbol: {
          const auto it = values.find(a->key);
          f = it != values.end() ? it->second : Dim::symbol(a->key);
          break;
        }
        case AtomKind::kFloorDiv:
          f = floor_div(a->args[0].substitute(values), a->args[1].substitute(values));
          break;
        case AtomKind::kMod:
          f = mod(a->args[0].substitute(values), a->args[1].substitute(values));
          break;
        case AtomKind::kMin:
          f = min(a->args[0].substitute(values), a->args[1].substitute(values));
          break;
        case AtomKind::kMax:
          f = max(a->args[0].substitute(values), a->args[1].substitute(values));
          break;
      }
      p = p * f;
    }
    sum = sum + p;
  }
  return sum;
}

Dim floor_div(const Dim& a, const Dim& b) {
  if (b.equals(1)) return a;
  if (a.is_const() && b.is_const() && b.value() != 0) return floor_div_int(a.value(), b.value());
  if (a == b) return 1;
  if (a.equals(0)) return 0;
  if (b.is_const() && b.value() > 0) {
    // (c*k*x + r) floordiv c  =  k*x + r floordiv c, exact for every integer x.
    Dim whole, rest;
    for (const auto& t : a.terms()) {
      Dim term = t.coefficient;
      if (t.coefficient % b.value() == 0) term = t.coefficient / b.value();
      for (const auto& atom : t.atoms) {
        Dim f = atom->kind == AtomKind::kSymbol ? Dim::symbol(atom->key)
                                                : make_atom(atom->kind, atom->args[0], atom->args[1]);
        term = term * f;
      }
      if (t.coefficient % b.value() == 0)
        whole = whole + term;
      else
        rest = rest + term;
    }
    if (rest.equals(0)) return whole;
    if (rest.is_const()) return whole + floor_div_int(rest.value(), b.value());
    if (!whole.equals(0)) return whole + make_atom(AtomKind::kFloorDiv, rest, b);
  }
  // A product divided by one of its own factors: x*y floordiv x.
  if (b.terms().size() == 1 && !b.terms()[0].atoms.empty() && b.terms()[0].coefficient > 0) {
    const Term& divisor = b.terms()[0];
    Dim quotient;
    bool exact = true;
    for (const auto& t : a.terms()) {
      auto atoms = t.atoms;
      for (const auto& d : divisor.atoms) {
        const auto it = std::find_if(atoms.begin(), atoms.end(), [&](const auto& x) { return x->key == d->key; });
        if (it == atoms.end()) {
          exact = false;
          break;
        }
        atoms.erase(it);
      }
      if (!exact || t.coefficient % divisor.coefficient != 0) {
        exact = false;
        break;
      }
      Dim term = t.coefficient / divisor.coefficient;
      for (const auto& atom : atoms)
        term = term * (atom->kind == AtomKind::kSymbol ? Dim::symbol(atom->key)
                                                       : make_atom(atom->kind, atom->args[0], atom->args[1]));
      quotient = quotient + term;
    }
    if (exact) return quotient;
  }
  return make_atom(AtomKind::kFloorDiv, a, b);
}

Dim ceil_div(const Dim& a, const Dim& b) { return floor_div(a + b - 1, b); }

Dim mod(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const() && b.value() != 0)
    return a.value() - floor_div_int(a.value(), b.value()) * b.value();
  if (b.equals(1) || a == b) return 0;
  return make_atom(AtomKind::kMod, a, b);
}

namespace {

// min(a, b) and min(b, a) are one expression.
Dim make_commutative(AtomKind kind, const Dim& a, const Dim& b) {
  return b.str() < a.str() ? make_atom(kind, b, a) : make_atom(kind, a, b);
}

}  // namespace

Dim min(const Dim& a, const Dim& b) {
  if (const auto d = (a - b).as_const()) return *d <= 0 ? a : b;
  return make_commutative(AtomKind::kMin, a, b);
}

Dim max(const Dim& a, const Dim& b) {
  if (const auto d = (a - b).as_const()) return *d >= 0 ? a : b;
  return make_commutative(AtomKind::kMax, a, b);
}

Dim product(const Shape& shape) {
  Dim p = 1;
  for (const auto& d : shape) p = p * d;
  return p;
}

std::string shape_str(const Shape& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + shape[i].str();
  return s + "]";
}

bool is_static(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_const(); });
}

std::optional<std::vector<int64_t>> static_dims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (const auto& d : shape) {
    if (!d.is_const()) return std::nullopt;
    dims.push_back(d.value());
  }
  return dims;
}

Shape to_shape(const std::vector<int64_t>& dims) { return {dims.begin(), dims.end()}; }

namespace {

// Recursive descent over `sum := product (('+'|'-') product)*`; depth is bounded because the text is untrusted.
struct DimParser {
  std::string_view text;
  size_t at = 0;
  int depth = 0;
  static constexpr int kMaxDepth = 64;

  void blank() {
    while (at < text.size() && text[at] == ' ') ++at;
  }
  bool take(char c) {
    blank();
    if (at >= text.size() || text[at] != c) return false;
    ++at;
    return true;
  }
  std::optional<Dim> sum() {
    if (++depth > kMaxDepth) return std::nullopt;
    const bool negative = take('-');
    auto left = factors();
    if (left && negative) left = Dim(0) - *left;
    while (left) {
      if (take('+')) {
        const auto r = factors();
        left = r ? std::optional(*left + *r) : std::nullopt;
      } else if (take('-')) {
        const auto r = factors();
        left = r ? std::optional(*left - *r) : std::nullopt;
      } else {
        break;
      }
    }
    --depth;
    return left;
  }
  std::optional<Dim> factors() {
    auto left = atom();
    while (left && take('*')) {
      const auto r = atom();
      left = r ? std::optional(*left * *r) : std::nullopt;
    }
    return left;
  }
  std::optional<Dim> atom() {
    blank();
    if (at >= text.size()) return std::nullopt;
    if (take('(')) {
      auto inner = sum();
      return inner && take(')') ? inner : std::nullopt;
    }
    const size_t start = at;
    if (std::isdigit(static_cast<unsigned char>(text[at]))) {
      int64_t v = 0;
      while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]))) {
        if (v > (INT64_MAX - 9) / 10) return std::nullopt;
        v = v * 10 + (text[at++] - '0');
      }
      return Dim(v);
    }
    auto word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == ':' || c == '#';
    };
    while (at < text.size() && word(text[at])) ++at;
    if (at == start) return std::nullopt;
    const std::string name(text.substr(start, at - start));
    for (const auto& n : kAtomNames)
      if (name == n.name && take('(')) {
        const auto a = sum();
        if (!a || !take(',')) return std::nullopt;
        const auto b = sum();
        if (!b || !take(')')) return std::nullopt;
        switch (n.kind) {
          case AtomKind::kFloorDiv:
            return floor_div(*a, *b);
          case AtomKind::kMod:
            return mod(*a, *b);
          case AtomKind::kMin:
            return min(*a, *b);
          default:
            return max(*a, *b);
        }
      }
    return Dim::symbol(name);
  }
};

}  // namespace

std::optional<Dim> parse_dim(std::string_view text) {
  DimParser p{text};
  auto d = p.sum();
  p.blank();
  return d && p.at == text.size() ? d : std::nullopt;
}

}  // namespace lathe
