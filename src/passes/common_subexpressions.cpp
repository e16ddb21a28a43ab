// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "passes/passes.h"

namespace lathe::passes {

namespace {

// Of large constants only both ends are hashed; candidates are compared in full anyway.
constexpr size_t kHashed = 4096;

uint64_t hash_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() > 2 * kHashed)
    return hash_bytes(bytes.first(kHashed)) * 31 + hash_bytes(bytes.last(kHashed)) + bytes.size();
  uint64_t h = 0xcbf29ce484222325u + bytes.size();
  auto mix = [&](uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  };
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    mix(word);
  }
  for (; i < bytes.size(); ++i) mix(std::to_integer<uint64_t>(bytes[i]));
  return h;
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims() || a.bytes().size() != b.bytes().size()) return false;
  return a.bytes().data() == b.bytes().data() || std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

int merge_constants(Graph& g) {
  int changes = 0;
  std::unordered_multimap<uint64_t, ValueId> seen;
  for (size_t i = 0; i < g.value_count(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Value& v = g.value(id);
    if (!v.constant || v.users.empty() || v.dtype == DType::kString || g.is_output(id)) continue;
    const uint64_t h = hash_bytes(v.constant->bytes());
    const auto [begin, end] = seen.equal_range(h);
    const auto it =
        std::find_if(begin, end, [&](const auto& e) { return equal(*g.value(e.second).constant, *v.constant); });
    if (it == end) {
      seen.emplace(h, id);
      continue;
    }
    g.replace_uses(id, it->second);
    ++changes;
  }
  return changes;
}

}  // namespace

Result<int> common_subexpressions(Graph& g, const PassOptions&) {
  int changes = merge_constants(g);
  std::unordered_map<std::string, NodeId> seen;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (!n.op->pure() || !n.op->subgraphs().empty()) continue;
    std::string key = std::string(n.op->name()) + "{" + attrs_str(*n.op) + "}" + n.epilogue.str();
    for (const ValueId v : n.inputs) key += "," + std::to_string(v);
    const auto [it, fresh] = seen.emplace(std::move(key), id);
    if (fresh) continue;
    const auto outputs = n.outputs, kept = g.node(it->second).outputs;
    if (outputs.size() != kept.size()) continue;
    // Data-dependent sizes have other symbols in either copy.
    bool same = true;
    for (size_t i = 0; i < outputs.size(); ++i) same = same && g.value(outputs[i]).shape == g.value(kept[i]).shape;
    if (!same) continue;
    for (size_t i = 0; i < outputs.size(); ++i) g.replace_uses(outputs[i], kept[i]);
    g.remove_node(id);
    ++changes;
  }
  return changes;
}

}  // namespace lathe::passes
