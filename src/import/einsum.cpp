// SPDX-License-Identifier: Apache-2.0
#include "import/einsum.h"

#include <algorithm>

#include "ops/gather.h"
#include "ops/matmul.h"

namespace lathe::importer {

namespace {

struct Term {
  std::string labels;
  ValueId value = kNoId;
};

// Permutes `t` so that its labels read `to` (the same letters in another order).
ValueId arrange(Builder& b, const Term& t, const std::string& to) {
  std::vector<int64_t> perm;
  for (const char c : to) perm.push_back(static_cast<int64_t>(t.labels.find(c)));
  return b.transpose(t.value, perm);
}

// Sums over the labels that neither `keep` nor the other operand has.
void sum_away(Builder& b, Term& t, const std::string& keep) {
  std::vector<int64_t> axes;
  std::string left;
  for (size_t i = 0; i < t.labels.size(); ++i)
    if (keep.find(t.labels[i]) == std::string::npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      left += t.labels[i];
  if (!axes.empty()) t = {left, b.reduce("sum", t.value, axes, false)};
}

// One contraction as a batched matrix product: labels are batch (in both and kept), k (in both, summed), m, n.
Term contract(Builder& builder, Term a, Term b, const std::string& keep) {
  sum_away(builder, a, keep + b.labels);
  sum_away(builder, b, keep + a.labels);
  std::string batch, inner, left, right;
  for (const char c : a.labels) {
    const bool shared = b.labels.find(c) != std::string::npos;
    (shared ? (keep.find(c) != std::string::npos ? batch : inner) : left) += c;
  }
  for (const char c : b.labels)
    if (a.labels.find(c) == std::string::npos) right += c;
  if (!builder.ok()) return {};
  const auto size = [&](char c) {
    const auto i = a.labels.find(c);
    return i != std::string::npos ? builder.shape(a.value)[i] : builder.shape(b.value)[b.labels.find(c)];
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
  const ValueId x = builder.reshape(arrange(builder, a, batch + left + inner), sa),
                y = builder.reshape(arrange(builder, b, batch + inner + right), sb);
  const ValueId z = builder.add(std::make_shared<ops::MatMul>(), {x, y});
  return {batch + left + right, builder.ok() ? builder.reshape(z, result) : kNoId};
}

std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

// A label that an operand has twice stands for the diagonal: of two dimensions merged to one, every (size + 1)th
// element.
Status take_diagonals(Builder& b, Term& t) {
  for (size_t i = 0; i < t.labels.size() && b.ok(); ++i) {
    const char c = t.labels[i];
    const size_t j = t.labels.find(c, i + 1);
    if (j == std::string::npos) continue;
    std::string others = t.labels;
    others.erase(j, 1).erase(i, 1);
    std::vector<int64_t> perm;
    for (size_t d = 0; d < t.labels.size(); ++d)
      if (d != i && d != j) perm.push_back(static_cast<int64_t>(d));
    perm.insert(perm.end(), {static_cast<int64_t>(i), static_cast<int64_t>(j)});
    const Shape s = b.shape(t.value);
    if (s[i].is_const() && s[j].is_const() && s[i] != s[j])
      return damaged("dimensions " + s[i].str() + " and " + s[j].str() + " have the same label");
    Shape merged;
    for (size_t d = 0; d + 2 < perm.size(); ++d) merged.push_back(s[static_cast<size_t>(perm[d])]);
    merged.push_back(s[i] * s[j]);
    const ValueId x = b.reshape(b.transpose(t.value, perm), merged);
    const ValueId at = b.op("Mul", {b.iota(s[i], {t.value}), b.op("Add", {b.dim_value(s[j]), b.i64s({1})})});
    const auto axis = static_cast<int64_t>(merged.size()) - 1;
    t.value = b.make<ops::Gather>({x, at}, [&](ops::Gather& g) { g.axis = axis; });
    t.labels = others + c;
    --i;
  }
  return {};
}

}  // namespace

Result<ValueId> einsum(Builder& b, std::string equation, const std::vector<ValueId>& operands) {
  std::erase(equation, ' ');
  const auto arrow = equation.find("->");
  std::vector<Term> terms;
  const std::string inputs = equation.substr(0, arrow);
  for (size_t at = 0, i = 0; at <= inputs.size(); ++i) {
    const size_t comma = std::min(inputs.find(',', at), inputs.size());
    terms.push_back({inputs.substr(at, comma - at), i < operands.size() ? operands[i] : kNoId});
    at = comma + 1;
  }
  if (terms.size() != operands.size())
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
      const auto named = t.labels.size() - 3, rank = static_cast<size_t>(b.rank(t.value));
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
      spread(t.labels, static_cast<size_t>(b.rank(t.value)) - (t.labels.size() - 3));
    if (static_cast<int64_t>(t.labels.size()) != b.rank(t.value))
      return damaged("the equation \"" + equation + "\" does not fit the operands");
    LATHE_CHECK(take_diagonals(b, t));
  }
  spread(output, widest);
  for (const char c : output)
    if (inputs.find(c) == std::string::npos && !(c >= '0' && c <= '9'))
      return damaged("the equation \"" + equation + "\" makes a label from nothing");
  Term result = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string keep = output;
    for (size_t k = i + 1; k < terms.size(); ++k) keep += terms[k].labels;
    result = contract(b, result, terms[i], keep);
  }
  sum_away(b, result, output);
  if (result.labels.size() != output.size()) return damaged("the equation \"" + equation + "\" is malformed");
  return arrange(b, result, output);
}

}  // namespace lathe::importer
