// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codegen/coded.h"
#include "codegen/line.h"
#include "codegen/lowering.h"

namespace lathe::codegen {

/// What one step of a reduction multiplies: elements of the sums' type, or several neighbouring small integers that
/// lie together in 32 bits of each operand. Sizes and strides of the reduction count steps.
enum class Steps : uint8_t {
  kPlain,
  kPairs,  ///< two s16 by two s16 (any target)
  kQuads   ///< four bytes by four s8 (Target::dot8)
};
constexpr int per_step(Steps s) { return s == Steps::kQuads ? 4 : s == Steps::kPairs ? 2 : 1; }
/// sum + the products of one step; all operands are vectors of 32-bit lanes.
Val add_products(Emitter& e, Steps steps, Val sum, Val a, Val w);

/// Convolutions, their transposes and matrix products are one computation:
///
///     out[image, line, x, column] = bias[column] + sum over taps and k of a[image, line, x; tap, k] * w[tap, k,
///     column]
///
/// A "row" is one output position (image, line, x), a matrix product has one line per image and no window. A tile of
/// rows × vectors of columns stays in registers over the whole reduction:
///
///                  w: [k] | v0 | v1 |         per k: load the vectors of w once,
///     a: row 0  [k] ----- | c  | c  |                broadcast one element of a for each row,
///        row 1  [k] ----- | c  | c  |                multiply-add
///        …
///
/// Strides are in bytes.
struct Contraction {
  DType dtype = DType::kF32;  ///< of the sums
  Steps steps = Steps::kPlain;
  bool flip = false;  ///< the bytes of a get their other sign (value ± 128) before they are multiplied
  struct Batch {
    Dim extent, a, w;  ///< strides; outermost first
  };
  std::vector<Batch> images;
  int64_t groups = 1;        ///< group g reads channels [g*k, (g+1)*k) of a and writes its own columns
  std::vector<Axis> outer;   ///< all spatial axes but the last
  std::vector<Dim> a_outer;  ///< stride of each outer input axis
  Axis x;
  Dim a_x, a_k;  ///< strides of the last spatial axis and of the reduction
  Dim k;         ///< reduction length per tap and group
  Dim columns;   ///< per group

  /// Of packed w in memory, where not as the sums: f16 or bf16, widened by the kernel.
  DType stored = DType::kUndefined;
  [[nodiscard]] DType weights() const { return stored == DType::kUndefined ? dtype : stored; }
  /// Packed w is in codes: of a matrix product, one image, rows of a that are contiguous.
  std::optional<Coding> coding;
  /// So few rows multiply codes as they decode them; of more rows, all share a block of decoded weights.
  static constexpr int64_t kFewRows = 3;
  [[nodiscard]] bool few_rows() const { return coding && x.out.is_const() && x.out.value() <= kFewRows; }
  bool packed = true;  ///< w is [image][group][panel][tap][k][panel width]; else [image][k][columns] with rows of w_k
  Dim w_k;
  bool bias = false;
  bool long_epilogue = false;  ///< too much code to repeat for each accumulator: rolled into a loop
  double epilogue_work = 0;    ///< instructions of the epilogue for one vector, about; for the cost model

  /// Row of the output matrix that (image, line, x) is: image * out_image + sum(line_i * out_outer_i) + x * out_x +
  /// out_first; in rows. The pitch is groups * columns.
  Dim out_image;
  std::vector<Dim> out_outer;
  int64_t out_x = 1;
  Dim out_first = 0;

  [[nodiscard]] int64_t taps() const;
  [[nodiscard]] bool single_line() const;  ///< no window: any positions may share a tile
  [[nodiscard]] Dim image_count() const;
  [[nodiscard]] Dim lines() const;
  [[nodiscard]] std::vector<Dim> dims() const;  ///< all that the kernel needs
};

/// How a contraction is tiled: data, so that a tuner can try others. Never affects results beyond the order of
/// reductions, which is the same for every schedule: taps and k in order.
struct Schedule {
  int rows = 1, vectors = 1;              ///< the register tile
  int unroll = 1;                         ///< of the reduction
  int panel = 0;                          ///< columns of a packed panel: a multiple of the tile's
  int64_t k_block = 0;                    ///< steps whose weights stay in L1 over many rows; 0: the whole reduction
  int64_t row_block = 1;                  ///< per task: lines, or positions where there is only one line
  int64_t column_block = 1;               ///< per task: tiles
  double cycles = 0;                      ///< what the cost model expects
  [[nodiscard]] std::string str() const;  ///< "14x2", "6x2 by 256"
};

/// Sizes at the typical point.
struct ContractionSize {
  int64_t images = 1, lines = 1, x = 1, k = 1, columns = 1;
};
ContractionSize typical_size(const Lowering& lowering, const Contraction& c);
/// What tasks cost beyond their work, in cycles: to begin one, and to have other threads join in.
constexpr double kTaskOverhead = 800, kWakeOverhead = 4000;
/// How much longer the last of several threads takes than a fair share.
constexpr double kUneven = 0.2;

/// Schedules worth trying, best by the cost model first. `panel`: 0, or what the width must divide.
std::vector<Schedule> candidates(const Lowering& lowering, const Contraction& c, const Target& target, int panel);
/// The target that decides how weights are laid out (LoweringOptions::layout).
const Target& layout_target(const Lowering& lowering);
/// The panel width that all targets use for these sizes.
int shared_panel(const Lowering& lowering, const Contraction& c);

/// The schedule to use for `node`: the cost model's first choice, or what the build's tuning found better.
Schedule pick_schedule(Lowering& lowering, const Node& node, const Contraction& c, int panel, std::string_view what);

/// Emits the kernel. Buffers: a, w, bias (may be null), out, then those of the epilogue.
void emit_contraction(Emitter& e, const Contraction& c, const Schedule& s, const Epilogue& epilogue);

/// Adds the call for `node`: buffers a, w, bias as given, output 0 of the node with its epilogue. `out`: another buffer
/// for the plain result.
Status call_contraction(Lowering& lowering, const Node& node, const Contraction& c, const Schedule& s, BufferId a,
                        BufferId w, BufferId bias, const std::string& name, BufferId out = kNone);

}  // namespace lathe::codegen
