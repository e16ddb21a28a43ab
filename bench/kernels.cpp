// SPDX-License-Identifier: Apache-2.0
// Times generated convolution and matrix product kernels on one core: GFLOP/s with warm caches, with weights and input
// evicted before each run, and the time to generate the code.
//
//   bench_kernels [target] [substring of the name]
#include <time.h>

#include <cstdio>
#include <functional>

#include "../tests/kernel_harness.h"
#include "ops/conv.h"
#include "ops/matmul.h"

namespace {

using namespace lathe;

/// Processor time of this thread, so that other programs on the machine count little.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Case {
  std::string name;
  std::function<Result<std::vector<Tensor>>(Graph&)> build;  ///< returns the inputs
};

NodeId finish(Graph& g, Result<NodeId> node, bool relu) {
  Node& n = g.node(*node);
  n.anchor_inputs = static_cast<int>(n.inputs.size());
  if (relu) {
    ProgramBuilder b;
    const Expr x = b.input(DType::kF32);
    n.epilogue = b.finish(max(x, 0.0));
  }
  g.outputs = {n.outputs[0]};
  g.output_names = {"y"};
  return *node;
}

Case conv(int64_t size, int64_t c, int64_t m, int64_t k, int64_t stride, int64_t group = 1, int64_t batch = 1) {
  const std::string name = (group > 1 ? "dw" : "conv") + std::to_string(k) + "x" + std::to_string(k) + "s" +
                           std::to_string(stride) + " " + std::to_string(c) + ">" + std::to_string(m) + " " +
                           std::to_string(size) + (batch > 1 ? " b" + std::to_string(batch) : "");
  return {name, [=](Graph& g) -> Result<std::vector<Tensor>> {
            ops::Conv op;
            op.strides = {stride, stride};
            op.pads = {k / 2, k / 2, k / 2, k / 2};
            op.group = group;
            const Tensor x = testing::random_f32({batch, size, size, c}, 1);
            const auto ix = g.add_input("x", DType::kF32, to_shape(x.dims()));
            const auto iw = g.add_constant("w", testing::random_f32({m, k, k, c / group}, 2));
            const auto ib = g.add_constant("b", testing::random_f32({m}, 3));
            finish(g, g.add_node(std::make_shared<ops::Conv>(op), {ix, iw, ib}, {"y"}, "conv"), true);
            return std::vector<Tensor>{x};
          }};
}

Case matmul(std::vector<int64_t> a, std::vector<int64_t> b, bool trans_b, bool constant) {
  const std::string name =
      "matmul " + shape_str(to_shape(a)) + shape_str(to_shape(b)) + (trans_b ? "T" : "") + (constant ? " const" : "");
  return {name, [=](Graph& g) -> Result<std::vector<Tensor>> {
            ops::MatMul op;
            op.trans_b = trans_b;
            std::vector<Tensor> inputs = {testing::random_f32(a, 1)};
            const Tensor w = testing::random_f32(b, 2);
            const auto ia = g.add_input("a", DType::kF32, to_shape(a));
            const auto ib = constant ? g.add_constant("b", w) : g.add_input("b", DType::kF32, to_shape(b));
            if (!constant) inputs.push_back(w);
            finish(g, g.add_node(std::make_shared<ops::MatMul>(op), {ia, ib}, {"y"}, "matmul"), false);
            return inputs;
          }};
}

std::vector<Case> cases() {
  return {conv(224, 3, 64, 7, 2),
          conv(56, 64, 64, 1, 1),
          conv(56, 64, 64, 3, 1),
          conv(56, 64, 256, 1, 1),
          conv(56, 256, 64, 1, 1),
          conv(56, 256, 128, 1, 1),
          conv(56, 128, 128, 3, 2),
          conv(56, 256, 512, 1, 2),
          conv(28, 128, 512, 1, 1),
          conv(28, 512, 128, 1, 1),
          conv(28, 128, 128, 3, 1),
          conv(28, 256, 256, 3, 2),
          conv(14, 256, 1024, 1, 1),
          conv(14, 1024, 256, 1, 1),
          conv(14, 256, 256, 3, 1),
          conv(28, 512, 1024, 1, 2),
          conv(14, 512, 512, 3, 2),
          conv(14, 1024, 2048, 1, 2),
          conv(7, 512, 2048, 1, 1),
          conv(7, 2048, 512, 1, 1),
          conv(7, 512, 512, 3, 1),
          matmul({1, 2048}, {2048, 1000}, false, true),
          matmul({128, 768}, {768, 768}, false, true),
          matmul({128, 768}, {768, 3072}, false, true),
          matmul({128, 3072}, {3072, 768}, false, true),
          matmul({197, 768}, {768, 3072}, false, true),
          matmul({12, 128, 64}, {12, 128, 64}, true, false),
          matmul({12, 128, 128}, {12, 128, 64}, false, false),
          matmul({512, 512}, {512, 512}, false, false),
          matmul({1, 4096}, {4096, 4096}, false, true),
          conv(224, 3, 32, 3, 2),
          conv(112, 16, 96, 1, 1),
          conv(56, 24, 144, 1, 1),
          conv(56, 144, 24, 1, 1),
          conv(28, 32, 192, 1, 1),
          conv(14, 384, 64, 1, 1),
          conv(7, 160, 960, 1, 1),
          conv(112, 32, 32, 3, 1, 32),
          conv(112, 96, 96, 3, 2, 96),
          conv(56, 144, 144, 3, 1, 144),
          conv(28, 192, 192, 3, 1, 192),
          conv(14, 384, 384, 3, 1, 384),
          conv(14, 576, 576, 3, 2, 576),
          conv(7, 960, 960, 3, 1, 960),
          conv(28, 240, 240, 5, 1, 240),
          conv(80, 64, 64, 3, 1),
          conv(160, 32, 32, 3, 1),
          conv(40, 128, 128, 3, 1),
          conv(20, 256, 256, 3, 1),
          conv(32, 64, 64, 3, 1, 1, 8)};
}

}  // namespace

int main(int argc, char** argv) {
  const auto target = find_target(argc > 1 ? argv[1] : "host");
  if (!target) return std::fprintf(stderr, "%s\n", target.error().message.c_str()), 2;
  const std::string only = argc > 2 ? argv[2] : "";
  std::printf("%-36s %-22s %6s %9s %9s %8s %8s %7s %7s\n", "kernel", "tactic", "tasks", "us warm", "us cold", "GF warm",
              "GF cold", "ms gen", "code B");
  std::vector<char> evict(96 << 20);
  double total_generate = 0;
  for (const Case& c : cases()) {
    if (c.name.find(only) == std::string::npos) continue;
    Graph graph;
    const auto inputs = c.build(graph);
    const double start = now();
    auto compiled = testing::CompiledGraph::make(graph, **target);
    const double generate = now() - start;
    total_generate += generate;
    if (!compiled) {
      std::printf("%-36s %s\n", c.name.c_str(), compiled.error().message.c_str());
      continue;
    }
    auto& k = **compiled;
    if (const auto r = k.run(*inputs); !r) {
      std::printf("%-36s %s\n", c.name.c_str(), r.error().message.c_str());
      continue;
    }
    const auto once = [&] {
      const double t = now();
      for (size_t i = 0; i < k.plan.instrs.size(); ++i) k.repeat(i);
      return now() - t;
    };
    double warm = 1e9, cold = 1e9;
    const double begin = now();
    for (int i = 0; i < 2000 && (i < 8 || now() - begin < 0.15); ++i) warm = std::min(warm, once());
    for (int i = 0; i < 5; ++i) {
      for (size_t j = 0; j < evict.size(); j += 64) evict[j] = static_cast<char>(evict[j] + 1);
      cold = std::min(cold, once());
    }
    double flops = 0;
    for (const auto& in : k.plan.instrs) flops = std::max(flops, in.flops);
    const auto& last = k.plan.instrs.back();
    std::printf("%-36s %-22s %6lld %9.1f %9.1f %8.1f %8.1f %7.1f %7zu\n", c.name.c_str(), last.tactic.c_str(),
                static_cast<long long>(k.plan.exprs[static_cast<size_t>(last.tasks)].value), warm * 1e6, cold * 1e6,
                flops / warm / 1e9, flops / cold / 1e9, generate * 1e3, k.code_bytes);
    std::fflush(stdout);
  }
  std::printf("generated in %.2f s\n", total_generate);
  return 0;
}
