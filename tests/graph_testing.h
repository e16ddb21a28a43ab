// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/evaluate.h"
#include "ir/graph.h"

namespace lathe::testing {

inline Tensor random_tensor(DType dtype, const std::vector<int64_t>& dims, std::mt19937& rng) {
  Tensor t = Tensor::zeros(dtype, dims);
  std::uniform_real_distribution<double> real(-2, 2);
  for (int64_t i = 0; i < t.count(); ++i)
    t.set(i, dtype_info(dtype).is_float ? real(rng) : static_cast<double>(rng() % 2));
  return t;
}

/// Parses `text`; float constants given as `#…` get random elements.
inline std::unique_ptr<Graph> parse(const std::string& text, std::mt19937& rng) {
  auto g = parse_graph(text);
  EXPECT_TRUE(g) << (g ? "" : g.error().message) << "\n" << text;
  if (!g) return std::make_unique<Graph>();
  for (size_t i = 0; i < (*g)->value_count(); ++i) {
    Value& v = (*g)->value(static_cast<ValueId>(i));
    if (!v.constant || !dtype_info(v.dtype).is_float || text.find("const " + v.name + ": ") == std::string::npos)
      continue;
    const size_t at = text.find(" = ", text.find("const " + v.name + ": "));
    if (at != std::string::npos && text[at + 3] == '#') v.constant = random_tensor(v.dtype, v.constant->dims(), rng);
  }
  return std::move(*g);
}

/// Random values for the inputs; symbolic dimensions become `symbol`.
inline std::map<std::string, Tensor> random_inputs(const Graph& g, std::mt19937& rng, int64_t symbol = 3) {
  std::map<std::string, Tensor> in;
  for (const ValueId v : g.inputs) {
    std::vector<int64_t> dims;
    for (const Dim& d : g.value(v).shape) dims.push_back(d.as_const().value_or(symbol));
    in[g.value(v).name] = random_tensor(g.value(v).dtype, dims, rng);
  }
  return in;
}

/// "Conv Relu MatMul+": the operators in order, + for an epilogue.
inline std::string op_names(const Graph& g) {
  std::string s;
  for (const NodeId n : g.order())
    s += (s.empty() ? "" : " ") + std::string(g.node(n).op->name()) + (g.node(n).epilogue.empty() ? "" : "+");
  return s;
}

/// Expects equal outputs to within `tolerance` of the largest element.
inline void expect_close(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t o = 0; o < a.size(); ++o) {
    ASSERT_EQ(a[o].dims(), b[o].dims()) << what;
    ASSERT_EQ(a[o].dtype(), b[o].dtype()) << what;
    double scale = 0;
    for (int64_t i = 0; i < a[o].count(); ++i)
      if (std::isfinite(a[o].f64_at(i))) scale = std::max(scale, std::abs(a[o].f64_at(i)));
    for (int64_t i = 0; i < a[o].count(); ++i) {
      const double x = a[o].f64_at(i), y = b[o].f64_at(i);
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      ASSERT_LE(std::abs(x - y), tolerance * scale)
          << "output " << o << " element " << i << ": " << x << " and " << y << "\n"
          << what;
    }
  }
}

}  // namespace lathe::testing
