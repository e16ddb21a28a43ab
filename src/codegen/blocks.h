// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "codegen/lowering.h"

namespace lathe::codegen {

/// The unsigned integer type of `bytes` bytes (1, 2, 4 or 8): how data movement sees an element.
DType bits_type(int bytes);
/// Bytes of one element, or kUnsupported for types that do not fill whole bytes.
Result<int> element_bytes(DType t);

/// Copies `count` elements of `bytes` bytes; the regions do not overlap. Needs no alignment beyond the element's.
void emit_copy(Emitter& e, Val to, Val from, Val count, int bytes);
/// Stores `count` copies of `value`, an integer of `bytes` bytes.
void emit_fill(Emitter& e, Val to, Val value, Val count, int bytes);
/// The index (i32 or i64) at `place` into a dimension of `limit`, negative ones counted from the end; one that is out
/// of range ends the kernel with a fault.
Val load_index(Emitter& e, DType type, Val place, Val limit);
/// Transposes n vectors of n lanes (n a power of two).
Vals transpose_tile(Emitter& e, Vals rows);
/// Lanes `lanes[i]` of the concatenation of `sources` (all of one type).
Val pick_lanes(Emitter& e, const Vals& sources, const std::vector<int>& lanes);

/// Vector iteration over [0, length) that carries values: body(i, vectors, lanes, mask, carried) handles `vectors`
/// vectors of `lanes` elements from i on; `unroll` of `width` lanes at a time, then single ones, then the tail: one
/// masked vector where the target has masks, else single elements (lanes 1).
using VectorStep = std::function<Vals(Val, int, int, Val, const Vals&)>;
Vals fold_vectors(Emitter& e, Val length, int width, int unroll, Vals init, const VectorStep& body);
/// Joins values two by two until one is left.
Val join_pairs(Vals values, const std::function<Val(Val, Val)>& join);
/// Joins the lanes of a vector, its upper half with its lower one until one is left.
Val join_lanes(Emitter& e, Val v, const std::function<Val(Val, Val)>& join);

/// body(index of each count) for every task in [begin, end), the last count varying fastest.
void for_tasks(Emitter& e, const std::vector<Dim>& counts, const std::function<void(const Vals&)>& body);
/// body(index of each count), as nested loops.
void for_nest(Emitter& e, const std::vector<Dim>& counts, const std::function<void(const Vals&)>& body);

/// Below this many bytes of work a kernel is one task.
inline constexpr int64_t kSmallBytes = 32 << 10;

/// out[out_offset + sum i*out_stride] = in[in_offset + sum i*in_stride] over all axes; strides and offsets in elements
/// (0 repeats an element, negative ones walk backwards). Slice, Concat, Expand, Transpose and more are of this form.
struct StridedCopy {
  struct Axis {
    Dim extent, in_stride, out_stride;
  };
  std::vector<Axis> axes;  ///< outermost of the output first
  Dim in_offset = 0, out_offset = 0;
  int bytes = 4;

  /// Drops axes of extent 1 and merges neighbours that both sides walk as one.
  void simplify();
  /// After simplify(): input and output are the same sequence of elements.
  [[nodiscard]] bool contiguous() const;
};

/// Row-major element strides.
std::vector<Dim> row_strides(const Shape& shape);

/// Adds the call(s) that do the copy.
Status lower_copy(Lowering& lowering, const Node& node, BufferId in, BufferId out, StridedCopy copy);

}  // namespace lathe::codegen
