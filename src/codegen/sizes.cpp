// SPDX-License-Identifier: Apache-2.0
#include "codegen/sizes.h"

#include <algorithm>

#include "codegen/emitter.h"

namespace lathe::codegen {

int table_kernel(Lowering& lowering, const std::string& function, const std::vector<Dim>& scalars,
                 const std::vector<Dim>& arguments, const std::vector<std::vector<Dim>>& tables) {
  return lowering.kernel(function, scalars, [&](Emitter& e) {
    auto& b = e.b;
    std::vector<llvm::Type*> types{b.getPtrTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty()};
    std::vector<Val> values{e.function->getArg(0), e.function->getArg(1), e.function->getArg(2), e.begin(), e.end()};
    for (const Dim& d : arguments) {
      types.push_back(b.getInt64Ty());
      values.push_back(e.dim(d));
    }
    for (const auto& table : tables) {
      Val p = e.alloca_bytes(std::max<int64_t>(8, 8 * static_cast<int64_t>(table.size())));
      for (size_t i = 0; i < table.size(); ++i)
        e.store(DType::kI64, e.dim(table[i]), e.at(p, 8 * static_cast<int64_t>(i)));
      types.push_back(b.getPtrTy());
      values.push_back(p);
    }
    auto callee = e.module->getOrInsertFunction(function, llvm::FunctionType::get(b.getVoidTy(), types, false));
    b.CreateCall(callee, values);
    e.ret();
  });
}

Status lower_sizes(Lowering& lowering, const Node& node, SizesCall s) {
  std::vector<Dim> dims = s.arguments;
  for (const auto& t : s.tables) dims.insert(dims.end(), t.begin(), t.end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = std::move(s.buffers);
  call.defines = std::move(s.symbols);
  call.kernel = table_kernel(lowering, s.function, call.scalars, s.arguments, s.tables);
  call.tactic = "sizes";
  return lowering.call(node, std::move(call));
}

std::vector<bool> fresh_dims(const Lowering& lowering, const Node& node, size_t output) {
  int made = 0;
  const auto infos = lowering.graph.infos(node.inputs);
  const auto inferred = node.op->infer(std::span(infos).first(static_cast<size_t>(node.anchor_inputs)),
                                       [&](std::string_view) { return Dim::symbol("?" + std::to_string(made++)); });
  const Shape& now = lowering.shape(node.outputs[output]);
  std::vector<bool> fresh(now.size(), false);
  if (!inferred || output >= inferred->size() || (*inferred)[output].shape.size() != now.size()) return fresh;
  for (size_t d = 0; d < now.size(); ++d) {
    const std::string name = (*inferred)[output].shape[d].symbol_name();
    fresh[d] = !name.empty() && name[0] == '?' && !now[d].symbol_name().empty();
  }
  return fresh;
}

bool any_fresh(const Lowering& lowering, const Node& node, size_t output) {
  const auto fresh = fresh_dims(lowering, node, output);
  return std::find(fresh.begin(), fresh.end(), true) != fresh.end();
}

Dim local_symbol(const Node& node, const std::string& what, size_t i) {
  return Dim::symbol("%" + std::to_string(node.outputs[0]) + "." + what + std::to_string(i));
}

std::vector<std::string> size_symbols(const Lowering& lowering, const Node& node) {
  const Shape& y = lowering.shape(node.outputs[0]);
  const auto fresh = fresh_dims(lowering, node);
  std::vector<std::string> names;
  for (size_t d = 0; d < y.size(); ++d)
    names.push_back((fresh[d] ? y[d] : local_symbol(node, "size", d)).symbol_name());
  return names;
}

}  // namespace lathe::codegen
