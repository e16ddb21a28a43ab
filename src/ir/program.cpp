// SPDX-License-Identifier: Apache-2.0
#include "ir/program.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace lathe {

namespace {

constexpr PrimInfo kPrims[] = {
    {"input", 0},      {"constant", 0}, {"add", 2},     {"sub", 2},   {"mul", 2},   {"div", 2},    {"mod", 2},
    {"fmod", 2},       {"pow", 2},      {"min", 2},     {"max", 2},   {"neg", 1},   {"abs", 1},    {"sign", 1},
    {"floor", 1},      {"ceil", 1},     {"round", 1},   {"trunc", 1}, {"sqrt", 1},  {"exp", 1},    {"log", 1},
    {"erf", 1},        {"tanh", 1},     {"sigmoid", 1}, {"sin", 1},   {"cos", 1},   {"tan", 1},    {"asin", 1},
    {"acos", 1},       {"atan", 1},     {"sinh", 1},    {"cosh", 1},  {"asinh", 1}, {"acosh", 1},  {"atanh", 1},
    {"reciprocal", 1}, {"eq", 2},       {"lt", 2},      {"le", 2},    {"and", 2},   {"or", 2},     {"xor", 2},
    {"not", 1},        {"shl", 2},      {"shr", 2},     {"isnan", 1}, {"isinf", 1}, {"select", 3}, {"cast", 1},
    {"bitcast", 1},
};
static_assert(std::size(kPrims) == static_cast<size_t>(Prim::kBitcast) + 1);

// The shortest text that reads back as the same double.
std::string number(double v) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  return {buffer, end};
}

// Appends steps of other programs to one, with operands renumbered, equal steps merged and only live ones copied.
class Copier {
 public:
  /// `inputs[i]`: what input i of `p` becomes, a step of this program or, if negative, input -1 - inputs[i] of it.
  int copy(const Program& p, std::span<const int> inputs) {
    const auto result = static_cast<size_t>(p.results[0]);
    std::vector<uint8_t> live(p.steps.size(), 0);
    live[result] = 1;
    for (size_t i = result + 1; i-- > 0;) {
      if (!live[i]) continue;
      for (const int operand : {p.steps[i].a, p.steps[i].b, p.steps[i].c})
        if (operand >= 0) live[static_cast<size_t>(operand)] = 1;
    }
    std::vector<int> at(p.steps.size(), -1);
    for (size_t i = 0; i <= result; ++i) {
      if (!live[i]) continue;
      Step s = p.steps[i];
      if (s.prim == Prim::kInput) {
        const int to = inputs[static_cast<size_t>(s.integer)];
        if (to >= 0) {
          at[i] = to;
          continue;
        }
        s.integer = -1 - to;
      }
      for (int* operand : {&s.a, &s.b, &s.c})
        if (*operand >= 0) *operand = at[static_cast<size_t>(*operand)];
      at[i] = append(s);
    }
    return at[result];
  }
  Program finish(int inputs, int result) {
    program_.inputs = inputs;
    program_.results = {result};
    return std::move(program_);
  }

 private:
  int append(const Step& s) {
    const auto it = std::find(program_.steps.begin(), program_.steps.end(), s);
    if (it != program_.steps.end()) return static_cast<int>(it - program_.steps.begin());
    program_.steps.push_back(s);
    return static_cast<int>(program_.steps.size()) - 1;
  }
  Program program_;
};

}  // namespace

const PrimInfo& prim_info(Prim p) { return kPrims[static_cast<size_t>(p)]; }

std::string Program::str() const {
  std::string s = "inputs " + std::to_string(inputs);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    s += "; " + std::string(dtype_name(step.dtype)) + " %" + std::to_string(i) + " = ";
    s += prim_info(step.prim).name;
    if (step.prim == Prim::kInput || (step.prim == Prim::kConstant && !dtype_info(step.dtype).is_float))
      s += " " + std::to_string(step.integer);
    else if (step.prim == Prim::kConstant)
      s += " " + number(step.value);
    for (const int operand : {step.a, step.b, step.c})
      if (operand >= 0) s += " %" + std::to_string(operand);
  }
  s += "; return";
  for (const int r : results) s += " %" + std::to_string(r);
  return s;
}

namespace {

// Splits on blanks and '=': the text form needs no more.
std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  size_t at = 0;
  while (at < line.size()) {
    const size_t start = line.find_first_not_of(" \t\n\r=", at);
    if (start == std::string_view::npos) break;
    at = std::min(line.find_first_of(" \t\n\r=", start), line.size());
    out.push_back(line.substr(start, at - start));
  }
  return out;
}

template <class T>
bool read_number(std::string_view word, T& v) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), v);
  return error == std::errc() && end == word.data() + word.size();
}

bool read_step(std::string_view word, size_t limit, int& v) {
  return word.size() > 1 && word[0] == '%' && read_number(word.substr(1), v) && v >= 0 &&
         static_cast<size_t>(v) < limit;
}

bool read_step_line(const std::vector<std::string_view>& w, Program& p) {
  Step s;
  if (w.size() < 3) return false;
  const auto dtype = dtype_from_name(w[0]);
  const auto* const prim =
      std::find_if(std::begin(kPrims), std::end(kPrims), [&](const PrimInfo& i) { return i.name == w[2]; });
  int index = -1;
  if (!dtype || prim == std::end(kPrims) || !read_step(w[1], p.steps.size() + 1, index)) return false;
  if (static_cast<size_t>(index) != p.steps.size()) return false;
  s.dtype = *dtype;
  s.prim = static_cast<Prim>(prim - std::begin(kPrims));
  const auto rest = std::span(w).subspan(3);
  if (s.prim == Prim::kInput || s.prim == Prim::kConstant) {
    if (rest.size() != 1) return false;
    const bool real = s.prim == Prim::kConstant && dtype_info(s.dtype).is_float;
    if (real ? !read_number(rest[0], s.value) : !read_number(rest[0], s.integer)) return false;
    if (s.prim == Prim::kInput && (s.integer < 0 || s.integer >= p.inputs)) return false;
  } else {
    if (rest.size() != static_cast<size_t>(prim->arity)) return false;
    int* const operands[] = {&s.a, &s.b, &s.c};
    for (size_t i = 0; i < rest.size(); ++i)
      if (!read_step(rest[i], p.steps.size(), *operands[i])) return false;
  }
  p.steps.push_back(s);
  return true;
}

}  // namespace

Result<Program> parse_program(std::string_view text) {
  Program p;
  bool first = true, done = false;
  while (!text.empty() || first) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto w = words(line);
    bool ok = !done;
    if (first) {
      ok = w.size() == 2 && w[0] == "inputs" && read_number(w[1], p.inputs) && p.inputs >= 0;
      first = false;
    } else if (!w.empty() && w[0] == "return") {
      p.results.resize(w.size() - 1);
      for (size_t i = 0; i + 1 < w.size(); ++i) ok = ok && read_step(w[i + 1], p.steps.size(), p.results[i]);
      done = true;
    } else {
      ok = ok && read_step_line(w, p);
    }
    if (!ok) return fail(Code::kDamaged, "program: cannot read \"" + std::string(line) + "\"");
  }
  if (!done) return fail(Code::kDamaged, "program: no \"return\"");
  return p;
}

Program compose(const Program& outer, int input, const Program& inner) {
  Copier copier;
  std::vector<int> to(static_cast<size_t>(inner.inputs));
  for (int i = 0; i < inner.inputs; ++i) to[static_cast<size_t>(i)] = -1 - (outer.inputs - 1 + i);
  const int value = copier.copy(inner, to);
  to.resize(static_cast<size_t>(outer.inputs));
  for (int i = 0; i < outer.inputs; ++i) to[static_cast<size_t>(i)] = i == input ? value : -1 - (i > input ? i - 1 : i);
  const int result = copier.copy(outer, to);
  return copier.finish(outer.inputs - 1 + inner.inputs, result);
}

Program remap_inputs(const Program& p, std::span<const int> map, int inputs) {
  Copier copier;
  std::vector<int> to;
  for (const int m : map) to.push_back(-1 - m);
  const int result = copier.copy(p, to);
  return copier.finish(inputs, result);
}

DType Expr::dtype() const { return builder->dtype(step); }

int ProgramBuilder::append(const Step& s) {
  const auto it = std::find(program_.steps.begin(), program_.steps.end(), s);
  if (it != program_.steps.end()) return static_cast<int>(it - program_.steps.begin());
  program_.steps.push_back(s);
  return static_cast<int>(program_.steps.size()) - 1;
}

Expr ProgramBuilder::input(DType dtype) {
  Step s{Prim::kInput, dtype};
  s.integer = program_.inputs++;
  return {this, append(s)};
}

Expr ProgramBuilder::constant(DType dtype, double value) {
  Step s{Prim::kConstant, dtype};
  if (dtype_info(dtype).is_float)
    s.value = value;
  else
    s.integer = static_cast<int64_t>(value);
  return {this, append(s)};
}

Expr ProgramBuilder::step(Prim prim, DType dtype, Expr a, Expr b, Expr c) {
  return {this, append({prim, dtype, a.step, b.step, c.step})};
}

Program ProgramBuilder::finish(Expr result) {
  program_.results = {result.step};
  return std::move(program_);
}

Expr unary(Prim p, Expr a) { return a.builder->step(p, a.dtype(), a); }
Expr binary(Prim p, Expr a, Expr b) {
  assert(a.dtype() == b.dtype() && a.builder == b.builder);
  return a.builder->step(p, a.dtype(), a, b);
}
Expr compare(Prim p, Expr a, Expr b) { return a.builder->step(p, DType::kBool, a, b); }
Expr select(Expr condition, Expr then, Expr otherwise) {
  return then.builder->step(Prim::kSelect, then.dtype(), condition, then, otherwise);
}

Expr operator+(Expr a, Expr b) { return binary(Prim::kAdd, a, b); }
Expr operator-(Expr a, Expr b) { return binary(Prim::kSub, a, b); }
Expr operator*(Expr a, Expr b) { return binary(Prim::kMul, a, b); }
Expr operator/(Expr a, Expr b) { return binary(Prim::kDiv, a, b); }
Expr operator-(Expr a) { return unary(Prim::kNeg, a); }
Expr operator+(Expr a, double b) { return a + a.builder->constant(a.dtype(), b); }
Expr operator-(Expr a, double b) { return a - a.builder->constant(a.dtype(), b); }
Expr operator*(Expr a, double b) { return a * a.builder->constant(a.dtype(), b); }
Expr operator/(Expr a, double b) { return a / a.builder->constant(a.dtype(), b); }
Expr operator+(double a, Expr b) { return b.builder->constant(b.dtype(), a) + b; }
Expr operator-(double a, Expr b) { return b.builder->constant(b.dtype(), a) - b; }
Expr operator*(double a, Expr b) { return b.builder->constant(b.dtype(), a) * b; }
Expr operator/(double a, Expr b) { return b.builder->constant(b.dtype(), a) / b; }
Expr min(Expr a, double b) { return min(a, a.builder->constant(a.dtype(), b)); }
Expr max(Expr a, double b) { return max(a, a.builder->constant(a.dtype(), b)); }

}  // namespace lathe
