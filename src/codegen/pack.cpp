// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

namespace lathe::codegen {

namespace {

/// Offsets of all index combinations of constant levels, outermost first.
std::vector<int64_t> offsets(const std::vector<PackSource::Level>& levels, int64_t first) {
  std::vector<int64_t> r = {first};
  for (const auto& level : levels) {
    std::vector<int64_t> next;
    for (const int64_t at : r)
      for (int64_t i = 0; i < level.extent.value(); ++i) next.push_back(at + i * level.stride.value());
    r = std::move(next);
  }
  return r;
}

template <class T>
void pack_panel(const PackSource& s, const T* from, T* to, int64_t column0, int panel,
                const std::vector<int64_t>& taps) {
  const int64_t k = s.k.value(), sk = s.k_stride.value(), sc = s.column_stride.value();
  const int64_t width = std::min<int64_t>(panel, s.columns.value() - column0);
  for (const int64_t tap : taps) {
    const T* p = from + tap + column0 * sc;
    if (sc == 1) {
      for (int64_t i = 0; i < k; ++i) std::memcpy(to + i * panel, p + i * sk, static_cast<size_t>(width) * sizeof(T));
    } else {
      constexpr int64_t kBlock = 64;  // keeps both sides in the cache
      for (int64_t i0 = 0; i0 < k; i0 += kBlock)
        for (int64_t c = 0; c < width; ++c)
          for (int64_t i = i0, end = std::min(k, i0 + kBlock); i < end; ++i) to[i * panel + c] = p[c * sc + i * sk];
    }
    to += k * panel;
  }
}

template <class T>
void pack_all(const PackSource& s, const T* from, T* to, int panel) {
  const auto images = offsets(s.images, 0), taps = offsets(s.taps, s.first.value());
  const int64_t panels = (s.columns.value() + panel - 1) / panel;
  const int64_t panel_size = static_cast<int64_t>(taps.size()) * s.k.value() * panel;
  const int64_t jobs = static_cast<int64_t>(images.size()) * s.groups * panels;
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t p = j % panels, g = j / panels % s.groups, image = j / panels / s.groups;
      pack_panel(s, from + images[static_cast<size_t>(image)] + g * s.group_stride.value(), to + j * panel_size,
                 p * panel, panel, taps);
    }
  };
  const auto threads =
      jobs * panel_size < (1 << 18) ? 1 : std::min<int64_t>(jobs, std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::jthread> pool;
  for (int64_t t = 1; t < threads; ++t) pool.emplace_back(work, jobs * t / threads, jobs * (t + 1) / threads);
  work(0, jobs / threads);
}

}  // namespace

DType stored_type(const Operand& weights, DType element) {
  if (!weights.constant || element != DType::kF32 || weights.constant->dtype() != DType::kF32) return element;
  const auto bytes = weights.constant->bytes();  // a mapped file need not be aligned
  const auto exact = [&](auto narrow, auto widen) {
    for (size_t at = 0; at < bytes.size(); at += sizeof(float)) {
      float v = 0;
      std::memcpy(&v, bytes.data() + at, sizeof v);
      if (std::bit_cast<uint32_t>(widen(narrow(v))) != std::bit_cast<uint32_t>(v)) return false;
    }
    return true;
  };
  if (exact(float_to_bf16, bf16_to_float)) return DType::kBF16;
  return exact(float_to_half, half_to_float) ? DType::kF16 : element;
}

Dim PackSource::packed_bytes(int panel) const {
  Dim n = Dim(groups) * ceil_div(columns, panel) * Dim(panel) * k * Dim(dtype_bits(dtype) / 8);
  for (const auto& l : images) n = n * l.extent;
  for (const auto& l : taps) n = n * l.extent;
  return n;
}

std::shared_ptr<const std::vector<std::byte>> pack(const PackSource& source, const Tensor& weights, int panel) {
  auto out = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(source.packed_bytes(panel).value()));
  const std::byte* from = weights.bytes().data();
  const auto run = [&]<class T>(T*) {
    std::vector<T> aligned;  // a mapped file need not be aligned
    const T* p = reinterpret_cast<const T*>(from);
    if (reinterpret_cast<uintptr_t>(from) % alignof(T) != 0) {
      aligned.resize(weights.bytes().size() / sizeof(T));
      std::memcpy(aligned.data(), from, aligned.size() * sizeof(T));
      p = aligned.data();
    }
    pack_all(source, p, reinterpret_cast<T*>(out->data()), panel);
  };
  if (source.dtype != weights.dtype() && dtype_bits(source.dtype) == 16) {
    const std::vector<float> values = weights.to_f32();
    std::vector<uint16_t> narrow(values.size());
    std::ranges::transform(values, narrow.begin(), source.dtype == DType::kF16 ? float_to_half : float_to_bf16);
    pack_all(source, narrow.data(), reinterpret_cast<uint16_t*>(out->data()), panel);
  } else if (dtype_bits(source.dtype) == 64) {
    run(static_cast<uint64_t*>(nullptr));
  } else {
    run(static_cast<uint32_t*>(nullptr));
  }
  return out;
}

Result<BufferId> call_pack(Lowering& lowering, const Node& node, const PackSource& s, BufferId from, int panel) {
  std::vector<Dim> dims = {s.first, s.k, s.k_stride, s.columns, s.column_stride, s.group_stride};
  Dim images = 1, taps = 1;
  for (const auto& l : s.images) {
    images = images * l.extent;
    dims.insert(dims.end(), {l.extent, l.stride});
  }
  for (const auto& l : s.taps) {
    taps = taps * l.extent;
    dims.insert(dims.end(), {l.extent, l.stride});
  }
  const Dim panels = ceil_div(s.columns, panel);
  dims.insert(dims.end(), {panels, taps});
  const auto scalars = Lowering::symbolic(dims);
  const int64_t size = dtype_bits(s.dtype) / 8;
  Call call;
  call.kernel = lowering.kernel("pack", scalars, [&](Emitter& e) {
    Val source = e.buf(0), target = e.buf(1);
    const auto bytes = [&](const Dim& d) { return e.mul(e.dim(d), size); };
    Val k = e.dim(s.k), sk = bytes(s.k_stride), columns = e.dim(s.columns), sc = bytes(s.column_stride);
    Val panel_count = e.dim(panels), tap_count = e.dim(taps), group_stride = bytes(s.group_stride),
        first = bytes(s.first);
    const int64_t row = panel * size;
    const auto descend = [&](Val at, Val index, const std::vector<PackSource::Level>& levels) {
      for (auto l = levels.rbegin(); l != levels.rend(); ++l) {
        Val extent = e.dim(l->extent);
        at = e.add(at, e.mul(e.rem(index, extent), bytes(l->stride)));
        index = e.div(index, extent);
      }
      return at;
    };
    const bool vectors = s.column_stride.equals(1);
    const int lanes = e.lanes() * 4 / static_cast<int>(size);
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val p = e.rem(task, panel_count), outer = e.div(task, panel_count);
      Val at = e.add(first, e.mul(e.rem(outer, e.i64(s.groups)), group_stride));
      at = descend(at, e.div(outer, e.i64(s.groups)), s.images);
      Val column = e.mul(p, panel), width = e.imin(e.i64(panel), e.sub(columns, column));
      at = e.add(at, e.mul(column, sc));
      Val to = e.at(target, e.mul(e.mul(e.mul(task, tap_count), k), row));
      e.for_each(e.i64(0), tap_count, 1, [&](Val tap) {
        Val from_tap = e.at(source, descend(at, tap, s.taps)), to_tap = e.at(to, e.mul(e.mul(tap, k), row));
        if (vectors) {
          e.for_each(e.i64(0), k, 1, [&](Val i) {
            Val from_k = e.at(from_tap, e.mul(i, sk)), to_k = e.at(to_tap, e.mul(i, row));
            e.for_vectors(width, lanes, [&](Val c, int n, Val mask) {
              e.store(s.dtype, e.load(s.dtype, e.at(from_k, e.mul(c, size)), n, mask), e.at(to_k, e.mul(c, size)),
                      mask);
            });
          });
        } else {
          e.for_each(e.i64(0), width, 1, [&](Val c) {
            Val from_c = e.at(from_tap, e.mul(c, sc)), to_c = e.at(to_tap, e.mul(c, size));
            e.for_each(e.i64(0), k, 1, [&](Val i) {
              e.store(s.dtype, e.load(s.dtype, e.at(from_c, e.mul(i, sk))), e.at(to_c, e.mul(i, row)));
            });
          });
        }
        e.if_then(e.b.CreateICmpSLT(width, e.i64(panel)), [&] {
          e.for_each(e.i64(0), k, 1, [&](Val i) {
            e.for_each(width, e.i64(panel), 1, [&](Val c) {
              e.store(s.dtype, e.constant_int(s.dtype, 0), e.at(to_tap, e.add(e.mul(i, row), e.mul(c, size))));
            });
          });
        });
      });
    });
    e.ret();
  });
  const BufferId packed = lowering.temporary(s.packed_bytes(panel));
  call.buffers = {from, packed};
  call.scalars = scalars;
  call.tasks = images * Dim(s.groups) * panels;
  call.tactic = "pack " + std::to_string(panel);
  call.flops = 1;  // data movement, not the operator's own work
  LATHE_CHECK(lowering.call(node, std::move(call)));
  return packed;
}

Result<BufferId> packed_weights(Lowering& lowering, const Node& node, const PackSource& source, const Operand& weights,
                                int panel) {
  if (weights.constant) return lowering.weight(pack(source, *weights.constant, panel));
  return call_pack(lowering, node, source, weights.memory(lowering), panel);
}

}  // namespace lathe::codegen
