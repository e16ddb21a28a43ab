// SPDX-License-Identifier: Apache-2.0
// Convolutions of many shapes against their reference, on every instruction set of this machine.
#include <gtest/gtest.h>

#include "codegen/line.h"
#include "kernel_harness.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"

namespace lathe {
namespace {

using testing::CompiledGraph;

enum class Epilogue { kNone, kRelu, kResidual, kPerChannel, kSigmoid, kPositive };

struct ConvCase {
  std::vector<int64_t> input;  ///< N, spatial…, C
  int64_t filters;
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides = {1, 1};
  std::vector<int64_t> pads = {0, 0, 0, 0};
  std::vector<int64_t> dilations = {1, 1};
  int64_t group = 1;
  bool bias = true;
  Epilogue epilogue = Epilogue::kNone;
  bool constant_weights = true;
  std::vector<bool> symbolic = {};  ///< which input dimensions the compiler does not know
  int64_t typical = 1;              ///< size that symbolic ones are optimised for
  std::vector<int64_t> output_padding = {};
  DType exact_in = DType::kF32;  ///< a narrower type that holds the filters' elements

  [[nodiscard]] std::string str() const {
    const auto list = [](const auto& v) {
      std::string s;
      for (const auto x : v) s += (s.empty() ? "" : ",") + std::to_string(x);
      return "[" + s + "]";
    };
    return list(input) + " filters " + std::to_string(filters) + " kernel " + list(kernel) + " strides " +
           list(strides) + " pads " + list(pads) + " dilations " + list(dilations) + " group " + std::to_string(group) +
           (bias ? " bias" : "") + " epilogue " + std::to_string(static_cast<int>(epilogue)) +
           (constant_weights ? "" : " weights at run time") + " symbolic " + list(symbolic);
  }
};

/// Adds the epilogue to `node` and returns the inputs that it needs beside the operator's own.
std::vector<Tensor> fuse(Graph& graph, NodeId node, Epilogue kind, const std::vector<int64_t>& out) {
  Node& n = graph.node(node);
  n.anchor_inputs = static_cast<int>(n.inputs.size());
  if (kind == Epilogue::kNone) return {};
  ProgramBuilder b;
  const Expr x = b.input(DType::kF32);
  std::vector<Tensor> extra;
  Expr y;
  switch (kind) {
    case Epilogue::kRelu:
      y = max(x, 0.0);
      break;
    case Epilogue::kSigmoid:
      y = x * sigmoid(x);
      break;
    case Epilogue::kPositive:
      y = compare(Prim::kLt, b.constant(DType::kF32, 0), x);
      break;
    case Epilogue::kResidual:
      y = max(x + b.input(DType::kF32), 0.0);
      extra.push_back(testing::random_f32(out, 77));
      break;
    default:
      y = x * b.input(DType::kF32);
      extra.push_back(testing::random_f32({out.back()}, 78));
      break;
  }
  n.epilogue = b.finish(y);
  if (kind == Epilogue::kPositive) graph.value(n.outputs[0]).dtype = DType::kBool;
  return extra;
}

template <class Operator>
void check(const Operator& op, const ConvCase& c, Math math = Math::kStrict) {
  std::vector<int64_t> w_dims = {c.filters};
  w_dims.insert(w_dims.end(), c.kernel.begin(), c.kernel.end());
  w_dims.push_back(c.input.back() / c.group);
  const Tensor x = testing::random_f32(c.input, 1), w = testing::rounded(testing::random_f32(w_dims, 2), c.exact_in),
               bias = testing::random_f32({c.filters}, 3);
  std::vector<Tensor> reference_inputs = {x, w};
  if (c.bias) reference_inputs.push_back(bias);
  auto expected = op.evaluate(reference_inputs);
  ASSERT_TRUE(expected) << expected.error().message;

  Graph graph;
  Shape shape = to_shape(c.input);
  for (size_t d = 0; d < c.symbolic.size(); ++d)
    if (c.symbolic[d]) {
      shape[d] = Dim::symbol("s" + std::to_string(d));
      graph.symbols["s" + std::to_string(d)].opt = c.typical;
    }
  std::vector<Tensor> inputs = {x};
  std::vector<ValueId> ids = {graph.add_input("x", DType::kF32, shape)};
  if (c.constant_weights)
    ids.push_back(graph.add_constant("w", w));
  else {
    ids.push_back(graph.add_input("w", DType::kF32, to_shape(w_dims)));
    inputs.push_back(w);
  }
  if (c.bias) ids.push_back(graph.add_constant("b", bias));
  auto node = graph.add_node(std::make_shared<Operator>(op), ids, {"y"}, "node");
  ASSERT_TRUE(node) << node.error().message;
  const auto extra = fuse(graph, *node, c.epilogue, (*expected)[0].dims());
  for (size_t i = 0; i < extra.size(); ++i) {
    graph.append_input(*node, graph.add_input("e" + std::to_string(i), DType::kF32, to_shape(extra[i].dims())));
    inputs.push_back(extra[i]);
  }
  graph.outputs = {graph.node(*node).outputs[0]};
  graph.output_names = {"y"};
  if (c.epilogue != Epilogue::kNone) {
    std::vector<Tensor> operands = {(*expected)[0]};
    operands.insert(operands.end(), extra.begin(), extra.end());
    auto fused = evaluate_program(graph.node(*node).epilogue, operands, (*expected)[0].dims());
    ASSERT_TRUE(fused) << fused.error().message;
    (*expected)[0] = *fused;
  }
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = CompiledGraph::make(graph, *target, {.math = math});
    ASSERT_TRUE(compiled) << c.str() << ": " << compiled.error().message;
    const auto got = (*compiled)->run(inputs);
    ASSERT_TRUE(got) << c.str() << ": " << got.error().message;
    EXPECT_LT(testing::scaled_difference((*got)[0], (*expected)[0]), math == Math::kStrict ? 2e-5 : 3e-4)
        << target->name << " " << (*compiled)->plan.instrs.back().tactic << " " << c.str();
    const bool winograd = (*compiled)->plan.instrs.back().tactic.starts_with("winograd");
    EXPECT_EQ(winograd, math != Math::kStrict) << c.str();
    const auto again = (*compiled)->run(inputs, true);
    ASSERT_TRUE(again);
    EXPECT_TRUE(std::ranges::equal((*again)[0].bytes(), (*got)[0].bytes()))
        << "the order of tasks matters: " << c.str();
  }
}

void check_conv(const ConvCase& c, Math math = Math::kStrict) {
  ops::Conv op;
  op.strides = c.strides;
  op.pads = c.pads;
  op.dilations = c.dilations;
  op.group = c.group;
  check(op, c, math);
}

void check_transposed(const ConvCase& c) {
  ops::ConvTranspose op;
  op.strides = c.strides;
  op.pads = c.pads;
  op.dilations = c.dilations;
  op.group = c.group;
  op.output_padding = c.output_padding.empty() ? std::vector<int64_t>(c.strides.size(), 0) : c.output_padding;
  check(op, c);
}

TEST(Line, given_any_length_then_tiles_cover_it) {
  for (const int64_t length : {0, 1, 5, 6, 7, 9, 97, 40'000'001})
    for (const int rows : {1, 2, 3, 6, 14}) {
      const codegen::Tiles t = codegen::line_tiles(length, rows, true);
      int64_t sum = t.whole * rows;
      for (const int n : t.rest) {
        EXPECT_TRUE(n > 0 && n <= rows);
        sum += n;
      }
      EXPECT_EQ(sum, length) << rows;
      EXPECT_LE(t.rest.size(), 2U);
    }
}

TEST(Conv, given_odd_channels_and_filters_then_tails_are_right) {
  for (const int64_t channels : {1, 3, 5, 16, 17, 33})
    for (const int64_t filters : {1, 3, 16, 17, 33, 70})
      check_conv({.input = {1, 9, 11, channels}, .filters = filters, .kernel = {3, 3}, .pads = {1, 1, 1, 1}});
}

TEST(Conv, given_kernels_and_strides_then_windows_are_right) {
  for (const int64_t kernel : {1, 2, 3, 5, 7})
    for (const int64_t stride : {1, 2, 3}) {
      const int64_t p = kernel / 2;
      check_conv({.input = {2, 13, 37, 6},
                  .filters = 20,
                  .kernel = {kernel, kernel},
                  .strides = {stride, stride},
                  .pads = {p, p, p, p}});
      check_conv({.input = {1, 15, 16, 4},
                  .filters = 16,
                  .kernel = {kernel, 1},
                  .strides = {1, stride},
                  .pads = {0, 0, p, 0}});
    }
}

TEST(Conv, given_one_pixel_that_is_padding_or_not) {
  for (const int64_t front : {0, 1, 2})
    for (const int64_t stride : {1, 3})
      check_conv({.input = {2, 7, 1, 10},
                  .filters = 15,
                  .kernel = {1, 1},
                  .strides = {1, stride},
                  .pads = {0, front, 0, 0},
                  .group = 5});
}

TEST(Conv, given_dilations_and_odd_pads_then_windows_are_right) {
  check_conv({.input = {1, 17, 19, 8}, .filters = 24, .kernel = {3, 3}, .pads = {2, 2, 2, 2}, .dilations = {2, 2}});
  check_conv({.input = {1, 17, 40, 8}, .filters = 24, .kernel = {3, 3}, .pads = {6, 12, 6, 12}, .dilations = {6, 12}});
  check_conv({.input = {1, 30, 30, 5},
              .filters = 7,
              .kernel = {3, 5},
              .strides = {2, 3},
              .pads = {0, 3, 4, 1},
              .dilations = {3, 2}});
  check_conv({.input = {1, 12, 14, 5}, .filters = 7, .kernel = {3, 3}, .pads = {-1, -2, 3, -1}});
  check_conv({.input = {1, 4, 4, 3}, .filters = 5, .kernel = {2, 2}, .pads = {5, 5, 5, 5}});
  check_conv({.input = {1, 3, 3, 40}, .filters = 64, .kernel = {7, 7}, .pads = {3, 3, 3, 3}});
}

TEST(Conv, given_a_long_reduction_then_blocks_of_it_join) {
  for (const int64_t stride : {1, 2}) {
    const ConvCase base{
        .input = {1, 14, 15, 300}, .filters = 70, .kernel = {3, 3}, .strides = {stride, stride}, .pads = {1, 1, 1, 1}};
    for (const Epilogue e : {Epilogue::kNone, Epilogue::kResidual, Epilogue::kSigmoid}) {
      ConvCase c = base;
      c.epilogue = e;
      check_conv(c);
    }
    ConvCase c = base;
    c.input = {2, 9, 11, 900};
    c.kernel = {1, 1};
    c.pads = {0, 0, 0, 0};
    check_conv(c);
    c.symbolic = {true, true, false, false};
    check_conv(c);
  }
  check_conv({.input = {1, 12, 9, 520}, .filters = 50, .kernel = {3, 2}, .pads = {2, 3, 2, 3}, .dilations = {2, 3}});
  for (const int64_t group : {1, 24})  // over a sequence
    check_conv({.input = {2, 50, 1, 24}, .filters = 48, .kernel = {5, 1}, .pads = {2, 0, 1, 0}, .group = group});
  check_conv({.input = {1, 10, 10, 1000}, .filters = 96, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .group = 2});
}

TEST(Conv, given_filters_that_a_half_float_holds) {
  for (const DType narrow : {DType::kF16, DType::kBF16}) {
    check_conv({.input = {1, 9, 11, 20}, .filters = 33, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .exact_in = narrow});
    check_conv({.input = {1, 14, 15, 300},
                .filters = 70,
                .kernel = {3, 3},
                .strides = {2, 2},
                .pads = {1, 1, 1, 1},
                .epilogue = Epilogue::kResidual,
                .exact_in = narrow});
    check_conv({.input = {1, 9, 9, 300}, .filters = 64, .kernel = {1, 1}, .group = 2, .exact_in = narrow});
  }
}

TEST(Conv, given_groups_then_each_sees_its_channels) {
  for (const int64_t group : {2, 4})
    check_conv(
        {.input = {1, 8, 9, 5 * group}, .filters = 3 * group, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .group = group});
  check_conv({.input = {2, 7, 7, 64}, .filters = 64, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .group = 16});
  check_conv({.input = {1, 7, 7, 64}, .filters = 128, .kernel = {1, 1}, .group = 2});
  check_conv(
      {.input = {1, 7, 9, 64}, .filters = 64, .kernel = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}, .group = 8});
}

TEST(Conv, given_depthwise_then_channels_stay_apart) {
  for (const int64_t channels : {1, 7, 16, 24, 33, 144})
    for (const int64_t kernel : {3, 5, 7})
      for (const int64_t stride : {1, 2}) {
        const int64_t p = kernel / 2;
        check_conv({.input = {1, 14, 29, channels},
                    .filters = channels,
                    .kernel = {kernel, kernel},
                    .strides = {stride, stride},
                    .pads = {p, p, p, p},
                    .group = channels,
                    .epilogue = Epilogue::kRelu});
      }
  check_conv({.input = {2, 9, 9, 12}, .filters = 24, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .group = 12});
  check_conv({.input = {1, 9, 9, 20}, .filters = 60, .kernel = {3, 3}, .pads = {0, 1, 2, 0}, .group = 20});
  check_conv({.input = {1, 20, 33, 20},
              .filters = 20,
              .kernel = {3, 3},
              .pads = {2, 2, 2, 2},
              .dilations = {2, 2},
              .group = 20,
              .bias = false});
  check_conv({.input = {1, 2, 2, 20},
              .filters = 20,
              .kernel = {5, 5},
              .pads = {2, 2, 2, 2},
              .group = 20,
              .constant_weights = false});
  check_conv({.input = {2, 11, 40, 20},
              .filters = 20,
              .kernel = {3, 3},
              .strides = {2, 2},
              .pads = {1, 1, 1, 1},
              .group = 20,
              .symbolic = {true, true, true, false}});
}

TEST(Conv, given_pointwise_then_pixels_are_rows) {
  check_conv({.input = {2, 7, 7, 64}, .filters = 100, .kernel = {1, 1}});
  check_conv({.input = {1, 1, 1, 300}, .filters = 1000, .kernel = {1, 1}});
  check_conv({.input = {3, 5, 5, 31}, .filters = 48, .kernel = {1, 1}, .symbolic = {true, false, false, false}});
  check_conv({.input = {1, 14, 14, 32}, .filters = 48, .kernel = {1, 1}, .strides = {2, 2}});
}

TEST(Conv, given_an_epilogue_then_it_is_applied_at_the_store) {
  for (const Epilogue kind :
       {Epilogue::kRelu, Epilogue::kResidual, Epilogue::kPerChannel, Epilogue::kSigmoid, Epilogue::kPositive})
    for (const int64_t filters : {32, 35}) {
      check_conv(
          {.input = {1, 10, 31, 8}, .filters = filters, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .epilogue = kind});
      check_conv({.input = {2, 6, 5, 8}, .filters = filters, .kernel = {1, 1}, .bias = false, .epilogue = kind});
    }
}

TEST(Conv, given_symbolic_dimensions_then_taps_are_clipped_at_run_time) {
  for (const int64_t width : {1, 2, 5, 40})
    for (const int64_t stride : {1, 2})
      check_conv({.input = {2, 6, width, 8},
                  .filters = 35,
                  .kernel = {3, 3},
                  .strides = {stride, stride},
                  .pads = {1, 1, 1, 1},
                  .epilogue = Epilogue::kRelu,
                  .symbolic = {true, true, true, false}});
  check_conv({.input = {2, 9, 30, 8},
              .filters = 16,
              .kernel = {3, 3},
              .pads = {4, 4, 4, 4},
              .dilations = {4, 4},
              .symbolic = {false, true, true, false}});
  check_conv({.input = {2, 9, 30, 8},
              .filters = 16,
              .kernel = {3, 3},
              .pads = {-1, -1, -1, -1},
              .symbolic = {false, true, true, false}});
  check_conv({.input = {2, 9, 30, 8},
              .filters = 16,
              .kernel = {3, 3},
              .pads = {1, 1, 1, 1},
              .symbolic = {true, false, false, false}});
}

TEST(Conv, given_weights_at_run_time_then_they_are_packed_first) {
  check_conv({.input = {1, 9, 9, 5}, .filters = 35, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .constant_weights = false});
  check_conv({.input = {1, 9, 9, 12}, .filters = 40, .kernel = {3, 3}, .group = 4, .constant_weights = false});
}

TEST(Conv, given_default_math_then_winograd_tiles_join) {
  const auto winograd = Math::kDefault;
  check_conv({.input = {1, 28, 28, 64}, .filters = 64, .kernel = {3, 3}, .pads = {1, 1, 1, 1}}, winograd);
  check_conv({.input = {2, 29, 31, 35},
              .filters = 41,
              .kernel = {3, 3},
              .pads = {1, 1, 1, 1},
              .epilogue = Epilogue::kResidual},
             winograd);
  check_conv({.input = {1, 27, 30, 48},
              .filters = 64,
              .kernel = {3, 3},
              .pads = {0, 2, 1, 0},
              .bias = false,
              .epilogue = Epilogue::kSigmoid},
             winograd);
  check_conv({.input = {3, 16, 16, 64},
              .filters = 64,
              .kernel = {3, 3},
              .pads = {1, 1, 1, 1},
              .epilogue = Epilogue::kPerChannel,
              .symbolic = {true, false, false, false}},
             winograd);
  check_conv(
      {.input = {1, 14, 14, 128}, .filters = 256, .kernel = {3, 3}, .pads = {1, 1, 1, 1}, .epilogue = Epilogue::kRelu},
      winograd);
}

TEST(Conv, given_default_math_and_unknown_sizes_then_winograd_tiles_join) {
  const std::vector<std::vector<int64_t>> inputs = {{1, 28, 28, 64}, {2, 13, 9, 64}, {1, 1, 1, 64},
                                                    {3, 2, 7, 64},   {1, 33, 4, 64}, {0, 8, 8, 64}};
  for (const auto& input : inputs)
    for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kResidual, Epilogue::kSigmoid})
      check_conv({.input = input,
                  .filters = 48,
                  .kernel = {3, 3},
                  .pads = {1, 1, 1, 1},
                  .epilogue = epilogue,
                  .symbolic = {true, true, true, false},
                  .typical = 28},
                 Math::kDefault);
  check_conv({.input = {1, 11, 2, 64},
              .filters = 40,
              .kernel = {3, 3},
              .pads = {0, 2, 1, 0},
              .symbolic = {false, true, true, false},
              .typical = 28},
             Math::kDefault);
}

TEST(Conv, given_one_or_three_spatial_dimensions) {
  check_conv({.input = {2, 50, 12}, .filters = 20, .kernel = {5}, .strides = {2}, .pads = {2, 2}, .dilations = {1}});
  check_conv({.input = {2, 5, 6, 9, 4},
              .filters = 20,
              .kernel = {3, 2, 3},
              .strides = {1, 1, 2},
              .pads = {1, 0, 1, 1, 1, 1},
              .dilations = {1, 1, 1}});
}

TEST(ConvTranspose, given_kernel_equal_to_stride_then_phases_are_products) {
  check_transposed({.input = {1, 7, 9, 32}, .filters = 20, .kernel = {2, 2}, .strides = {2, 2}});
  check_transposed(
      {.input = {2, 5, 5, 6}, .filters = 33, .kernel = {3, 3}, .strides = {3, 3}, .epilogue = Epilogue::kResidual});
  check_transposed({.input = {2, 5, 5, 6},
                    .filters = 33,
                    .kernel = {2, 2},
                    .strides = {2, 2},
                    .epilogue = Epilogue::kRelu,
                    .symbolic = {true, true, true, false}});
}

TEST(ConvTranspose, given_overlapping_kernels_then_phases_sum_them) {
  check_transposed({.input = {1, 7, 9, 8}, .filters = 20, .kernel = {4, 4}, .strides = {2, 2}, .pads = {1, 1, 1, 1}});
  check_transposed({.input = {1, 7, 9, 8},
                    .filters = 20,
                    .kernel = {3, 3},
                    .strides = {2, 2},
                    .pads = {1, 1, 1, 1},
                    .output_padding = {1, 1}});
  check_transposed({.input = {1, 7, 9, 8}, .filters = 20, .kernel = {3, 3}, .pads = {1, 1, 1, 1}});
  check_transposed({.input = {1, 5, 6, 8},
                    .filters = 12,
                    .kernel = {3, 3},
                    .strides = {2, 3},
                    .pads = {0, 1, 2, 0},
                    .dilations = {2, 2}});
  check_transposed({.input = {1, 5, 6, 8}, .filters = 12, .kernel = {1, 1}, .strides = {2, 2}});
  check_transposed({.input = {1, 5, 6, 8},
                    .filters = 12,
                    .kernel = {3, 3},
                    .strides = {2, 2},
                    .group = 4,
                    .constant_weights = false});
  check_transposed({.input = {2, 5, 6, 8},
                    .filters = 12,
                    .kernel = {3, 3},
                    .strides = {2, 2},
                    .pads = {1, 1, 1, 1},
                    .symbolic = {true, true, true, false}});
  check_transposed(
      {.input = {2, 20, 6}, .filters = 12, .kernel = {4}, .strides = {2}, .pads = {1, 1}, .dilations = {1}});
}

}  // namespace
}  // namespace lathe
