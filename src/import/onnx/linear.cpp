// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "import/onnx/handlers.h"
#include "ops/matmul.h"

namespace lathe::onnx {

// numpy.matmul: a vector on the left is a row, one on the right a column; that dimension is dropped again.
Result<Values> matmul(Node& n) {
  ValueId a = n.in(0), b = n.in(1);
  if (n.rank(0) == 0 || n.rank(1) == 0) return damaged("operands must not be scalars");
  const bool row = n.rank(0) == 1, column = n.rank(1) == 1;
  if (row) a = n.b.reshape(a, {1, n.shape(0)[0]});
  if (column) b = n.b.reshape(b, {n.shape(1)[0], 1});
  ValueId y = n.b.add(std::make_shared<ops::MatMul>(), {a, b});
  if (n.b.ok() && (row || column)) {
    Shape s = n.b.shape(y);
    if (row) s.erase(s.end() - 2);
    if (column) s.pop_back();
    y = n.b.reshape(y, s);
  }
  return n.done(y);
}

// alpha * a b + beta * c
Result<Values> gemm(Node& n) {
  if (n.rank(0) != 2 || n.rank(1) != 2) return damaged("operands must be matrices");
  ValueId y = n.b.make<ops::MatMul>({n.in(0), n.in(1)}, [&](ops::MatMul& m) {
    m.trans_a = n.i("transA", 0) != 0;
    m.trans_b = n.i("transB", 0) != 0;
  });
  const double alpha = n.f("alpha", 1), beta = n.f("beta", 1);
  if (alpha != 1) y = n.b.op("Mul", {y, n.b.scalar(n.dtype(0), alpha)});
  if (n.has(2) && beta != 0) {
    ValueId c = n.in(2);
    if (beta != 1) c = n.b.op("Mul", {c, n.b.scalar(n.dtype(0), beta)});
    y = n.b.op("Add", {y, c});
  }
  return n.done(y);
}

namespace {

struct Term {
  std::string labels;
  ValueId value = kNoId;
};

std::string without_blanks(std::string s) {
  std::erase(s, ' ');
  return s;
}

// Permutes `t` so that its labels read `to` (the same letters in another order).
ValueId arrange(Node& n, const Term& t, const std::string& to) {
  std::vector<int64_t> perm;
  for (const char c : to) perm.push_back(static_cast<int64_t>(t.labels.find(c)));
  return n.b.transpose(t.value, perm);
}

// Sums over the labels that neither `keep` nor the other operand has.
void sum_away(Node& n, Term& t, const std::string& keep) {
  std::vector<int64_t> axes;
  std::string left;
  for (size_t i = 0; i < t.labels.size(); ++i)
    if (keep.find(t.labels[i]) == std::string::npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      left += t.labels[i];
  if (!axes.empty()) t = {left, n.b.reduce("sum", t.value, axes, false)};
}

// One contraction as a batched matrix product: labels are batch (in both and kept), k (in both, summed), m, n.
Term contract(Node& n, Term a, Term b, const std::string& keep) {
  sum_away(n, a, keep + b.labels);
  sum_away(n, b, keep + a.labels);
  std::string batch, inner, left, right;
  for (const char c : a.labels) {
    const bool shared = b.labels.find(c) != std::string::npos;
    (shared ? (keep.find(c) != std::string::npos ? batch : inner) : left) += c;
  }
  for (const char c : b.labels)
    if (a.labels.find(c) == std::string::npos) right += c;
  if (!n.b.ok()) return {};
  const auto size = [&](char c) {
    const auto i = a.labels.find(c);
    return i != std::string::npos ? n.b.shape(a.value)[i] : n.b.shape(b.value)[b.labels.find(c)];
  };
  const auto group = [&](const std::string& labels) {
    Dim d = 1;
    for (const char c : labels) d = d * size(c);
    return d;
  };
  Shape sa, sb, result;
  for (const char c : batch) sa.push_back(size(c));
  sb = result = sa;
  sa.insert(sa.end(), {group(left), group(inner)});
  sb.insert(sb.end(), {group(inner), group(right)});
  for (const char c : left + right) result.push_back(size(c));
  const ValueId x = n.b.reshape(arrange(n, a, batch + left + inner), sa),
                y = n.b.reshape(arrange(n, b, batch + inner + right), sb);
  const ValueId z = n.b.add(std::make_shared<ops::MatMul>(), {x, y});
  return {batch + left + right, n.b.ok() ? n.b.reshape(z, result) : kNoId};
}

}  // namespace

// Without repeated labels in one operand: a chain of transposed, batched matrix products.
Result<Values> einsum(Node& n) {
  std::string equation = without_blanks(n.s("equation", ""));
  const auto arrow = equation.find("->");
  std::vector<Term> terms;
  std::string inputs = equation.substr(0, arrow);
  for (size_t at = 0, i = 0; at <= inputs.size(); ++i) {
    const size_t comma = std::min(inputs.find(',', at), inputs.size());
    terms.push_back({inputs.substr(at, comma - at), n.in(i)});
    at = comma + 1;
  }
  if (terms.size() != n.input_count())
    return damaged("the equation \"" + equation + "\" is for another number of operands");
  std::string output;
  if (arrow != std::string::npos) {
    output = equation.substr(arrow + 2);
  } else {  // implicit: the labels that occur once, sorted
    for (const char c : inputs)
      if (c != ',' && c != '.' && std::ranges::count(inputs, c) == 1) output += c;
    std::ranges::sort(output);
    if (inputs.find("...") != std::string::npos) output = "..." + output;
  }
  // An ellipsis becomes letters that no label is: digits.
  size_t widest = 0;
  for (const Term& t : terms)
    if (t.labels.find("...") != std::string::npos) {
      const auto named = t.labels.size() - 3, rank = static_cast<size_t>(n.b.rank(t.value));
      if (rank < named || rank - named > 10)
        return damaged("the equation \"" + equation + "\" does not fit the operands");
      widest = std::max(widest, rank - named);
    }
  const auto spread = [&](std::string& labels, size_t count) {
    const auto at = labels.find("...");
    if (at == std::string::npos) return;
    std::string digits;
    for (size_t i = widest - count; i < widest; ++i) digits += static_cast<char>('0' + i);
    labels.replace(at, 3, digits);
  };
  for (Term& t : terms) {
    if (t.labels.find("...") != std::string::npos)
      spread(t.labels, static_cast<size_t>(n.b.rank(t.value)) - (t.labels.size() - 3));
    if (static_cast<int64_t>(t.labels.size()) != n.b.rank(t.value))
      return damaged("the equation \"" + equation + "\" does not fit the operands");
    for (const char c : t.labels)
      if (std::ranges::count(t.labels, c) > 1)
        return unsupported("equation \"" + equation + "\": repeated labels are not supported");
  }
  spread(output, widest);
  for (const char c : output)
    if (inputs.find(c) == std::string::npos && !(c >= '0' && c <= '9'))
      return damaged("the equation \"" + equation + "\" makes a label from nothing");
  Term result = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string keep = output;
    for (size_t k = i + 1; k < terms.size(); ++k) keep += terms[k].labels;
    result = contract(n, result, terms[i], keep);
  }
  sum_away(n, result, output);
  if (result.labels.size() != output.size()) return damaged("the equation \"" + equation + "\" is malformed");
  return n.done(arrange(n, result, output));
}

}  // namespace lathe::onnx
