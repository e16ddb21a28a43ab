// SPDX-License-Identifier: Apache-2.0
// One operator against its reference evaluation: on every instruction set of this machine, with static and symbolic
// dimensions, tasks in order and in reverse (which must agree to the bit).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "kernel_harness.h"

namespace lathe::testing {

/// An input of the operator under test.
struct Given {
  Tensor tensor;                                             ///< empty: absent
  bool constant = false;                                     ///< known at build time
  std::vector<std::pair<size_t, std::string>> symbols = {};  ///< dimension and its name
};

/// Values of any dtype: floats in [-1, 1), integers in [-100, 100) or [0, 100), half of the bools set.
inline Tensor random(DType dtype, std::vector<int64_t> dims, uint64_t seed) {
  const Tensor f = random_f32(std::move(dims), seed);
  if (dtype == DType::kF32) return f;
  Tensor t = Tensor::zeros(dtype, f.dims());
  const DTypeInfo& info = dtype_info(dtype);
  for (int64_t i = 0; i < t.count(); ++i) {
    const double v = f.f64_at(i);
    if (info.is_float)
      t.set(i, v);
    else if (dtype == DType::kBool)
      t.set_i64(i, v > 0);
    else
      t.set_i64(i, static_cast<int64_t>((info.is_signed ? v : std::abs(v)) * 100));
  }
  return t;
}

inline Given input(std::vector<int64_t> dims, uint64_t seed = 1,
                   std::vector<std::pair<size_t, std::string>> symbols = {}) {
  return {random_f32(std::move(dims), seed), false, std::move(symbols)};
}
inline Given constant(Tensor t) { return {std::move(t), true, {}}; }
inline Given integers(const std::vector<int64_t>& v) { return constant(Tensor::vector_i64(v)); }

/// Checks every output to `tolerance` (max |a-b| / max(|b|, 1)); 0: to the bit. `more`: targets beside this machine's.
template <class Op>
void expect_as_reference(const Op& op, const std::vector<Given>& given, double tolerance, const std::string& what,
                         std::span<const Target* const> more = {}) {
  std::vector<Tensor> operands, inputs;
  for (const Given& g : given) operands.push_back(g.tensor);
  const auto expected = op.evaluate(operands);
  ASSERT_TRUE(expected) << what << ": " << expected.error().message;
  Graph graph;
  std::vector<ValueId> ids;
  for (const Given& g : given) {
    const std::string name = "in" + std::to_string(ids.size());
    if (g.tensor.empty()) {
      ids.push_back(kNoId);
    } else if (g.constant) {
      ids.push_back(graph.add_constant(name, g.tensor));
    } else {
      Shape shape = to_shape(g.tensor.dims());
      for (const auto& [d, symbol] : g.symbols) shape[d] = Dim::symbol(symbol);
      inputs.push_back(g.tensor);
      ids.push_back(graph.add_input(name, g.tensor.dtype(), shape));
    }
  }
  const auto node = graph.add_node(std::make_shared<Op>(op), ids, {}, "node");
  ASSERT_TRUE(node) << what << ": " << node.error().message;
  graph.node(*node).anchor_inputs = static_cast<int>(graph.node(*node).inputs.size());
  graph.outputs = graph.node(*node).outputs;
  for (size_t i = 0; i < graph.outputs.size(); ++i) graph.output_names.push_back("out" + std::to_string(i));
  std::vector<const Target*> targets = runnable_targets();
  targets.insert(targets.end(), more.begin(), more.end());
  for (const Target* target : targets) {
    const std::string place = what + " on " + std::string(target->name);
    auto compiled = CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << place << ": " << compiled.error().message;
    const auto forward = (*compiled)->run(inputs), backward = (*compiled)->run(inputs, true);
    ASSERT_TRUE(forward) << place << ": " << forward.error().message;
    ASSERT_TRUE(backward) << place << ": " << backward.error().message;
    for (size_t i = 0; i < forward->size(); ++i) {
      const Tensor &got = (*forward)[i], &want = (*expected)[i];
      EXPECT_EQ(got.dims(), want.dims()) << place;
      EXPECT_TRUE(std::ranges::equal(got.bytes(), (*backward)[i].bytes()))
          << place << ": depends on the order of tasks";
      if (tolerance == 0)
        EXPECT_TRUE(std::ranges::equal(got.bytes(), want.bytes())) << place << ", output " << i;
      else
        EXPECT_LE(scaled_difference(got, want), tolerance) << place << ", output " << i;
    }
  }
}

}  // namespace lathe::testing
