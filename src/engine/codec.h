// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/layout.h"
#include "engine/plan.h"

namespace lathe {

// The serialised form of Plan and Metadata. Each record's fields are listed once, in describe(); Encoder and Decoder
// both walk that list, so that they cannot disagree.

template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

class Encoder {
 public:
  template <class... T>
  void operator()(const T&... fields) {
    (put(fields), ...);
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(out_); }

 private:
  template <class T>
  void put(const T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      put(static_cast<uint8_t>(v));
    } else if constexpr (std::is_enum_v<T>) {
      put(std::to_underlying(v));
    } else if constexpr (std::is_floating_point_v<T>) {
      put(std::bit_cast<uint64_t>(v));
    } else if constexpr (std::is_integral_v<T>) {
      const auto u = static_cast<std::make_unsigned_t<T>>(v);
      for (size_t i = 0; i < sizeof(T); ++i)
        out_.push_back(static_cast<std::byte>(static_cast<uint64_t>(u) >> (8 * i)));
    } else {
      describe(*this, v);
    }
  }
  template <class T>
  void put(const std::vector<T>& v) {
    put(static_cast<uint32_t>(v.size()));
    for (const T& e : v) put(e);
  }
  void put(const std::string& v) {
    put(static_cast<uint32_t>(v.size()));
    const auto* p = reinterpret_cast<const std::byte*>(v.data());
    out_.insert(out_.end(), p, p + v.size());
  }

  std::vector<std::byte> out_;
};

/// Reads untrusted bytes: after the first thing that does not fit, ok() is false and everything reads as empty.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> in) : in_(in) {}
  template <class... T>
  void operator()(T&... fields) {
    (get(fields), ...);
  }
  [[nodiscard]] bool ok() const { return ok_; }
  /// Everything was read and nothing is left over.
  [[nodiscard]] bool complete() const { return ok_ && in_.empty(); }

 private:
  template <class T>
  void get(T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      uint8_t raw = 0;
      get(raw);
      if (raw > 1) stop();
      v = raw == 1;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> raw{};
      get(raw);
      v = static_cast<T>(raw);  // the range is validate_plan's to check
    } else if constexpr (std::is_floating_point_v<T>) {
      uint64_t raw = 0;
      get(raw);
      v = std::bit_cast<double>(raw);
    } else if constexpr (std::is_integral_v<T>) {
      v = 0;
      if (in_.size() < sizeof(T)) return stop();
      uint64_t raw = 0;
      for (size_t i = 0; i < sizeof(T); ++i) raw |= static_cast<uint64_t>(in_[i]) << (8 * i);
      v = static_cast<T>(raw);
      in_ = in_.subspan(sizeof(T));
    } else {
      describe(*this, v);
    }
  }
  template <class T>
  void get(std::vector<T>& v) {
    uint32_t count = 0;
    get(count);
    // An element is at least one byte, so a count the rest cannot hold never causes an allocation; growth by
    // push_back keeps memory in proportion to what was really read.
    if (count > in_.size()) return stop();
    if constexpr (std::is_integral_v<T>) {
      if (count > in_.size() / sizeof(T)) return stop();
      v.reserve(count);
    }
    for (uint32_t i = 0; i < count && ok_; ++i) get(v.emplace_back());
    if (!ok_) v.clear();
  }
  void get(std::string& v) {
    uint32_t count = 0;
    get(count);
    if (count > in_.size() || count > layout::kMaxString) return stop();
    v.assign(reinterpret_cast<const char*>(in_.data()), count);
    in_ = in_.subspan(count);
  }
  void stop() {
    ok_ = false;
    in_ = {};
  }

  std::span<const std::byte> in_;
  bool ok_ = true;
};

struct TargetMeta {
  std::string name, arch;
  std::vector<std::string> features;
  uint32_t kernel_abi = 0;
};

struct Property {
  std::string key, value;
};

struct Metadata {
  std::vector<Property> provenance;
  std::vector<TargetMeta> targets;
};

struct BlobEntry {
  uint64_t offset = 0;  ///< from the start of the weights segment
  uint64_t bytes = 0;
};

template <class A, Is<SizeExpr> T>
void describe(A& a, T& v) {
  a(v.kind, v.value, v.a, v.b);
}
template <class A, Is<PlanSymbol> T>
void describe(A& a, T& v) {
  a(v.name, v.min, v.opt, v.max);
}
template <class A, Is<PlanBuffer> T>
void describe(A& a, T& v) {
  a(v.place, v.dtype, v.align, v.index, v.offset, v.bytes, v.dims, v.first, v.last, v.name);
}
template <class A, Is<PlanKernel> T>
void describe(A& a, T& v) {
  a(v.name, v.code_offset);
}
template <class A, Is<PlanInstr> T>
void describe(A& a, T& v) {
  a(v.kind, v.kernel, v.target, v.buffers, v.scalars, v.tasks, v.scratch, v.defines, v.grows, v.serial, v.node, v.op,
    v.tactic, v.flops, v.traffic);
}
template <class A, Is<PlanPort> T>
void describe(A& a, T& v) {
  a(v.name, v.buffer);
}
template <class A, Is<PlanState> T>
void describe(A& a, T& v) {
  a(v.name, v.buffer, v.next, v.initial);
}
template <class A, Is<Plan> T>
void describe(A& a, T& v) {
  a(v.exprs, v.symbols, v.buffers, v.kernels, v.instrs, v.inputs, v.outputs, v.states, v.arena_bytes);
}
template <class A, Is<TargetMeta> T>
void describe(A& a, T& v) {
  a(v.name, v.arch, v.features, v.kernel_abi);
}
template <class A, Is<Property> T>
void describe(A& a, T& v) {
  a(v.key, v.value);
}
template <class A, Is<Metadata> T>
void describe(A& a, T& v) {
  a(v.provenance, v.targets);
}
template <class A, Is<BlobEntry> T>
void describe(A& a, T& v) {
  a(v.offset, v.bytes);
}

}  // namespace lathe
