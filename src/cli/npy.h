// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace lathe::cli {

// numpy's file format for one array (numpy.lib.format, versions 1 to 3).

struct NpyHeader {
  std::string descr;  ///< e.g. "<f4"
  bool fortran_order = false;
  std::vector<int64_t> dims;
};

/// The array's elements in row-major order and this machine's byte order, as numpy holds them.
struct NpyArray {
  NpyHeader header;
  std::vector<std::byte> data;
};

/// An element of an engine's input or output. `data` is as the engine wants it: 4-bit types are two to a byte.
struct Tensor {
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;
  std::vector<std::byte> data;
};

/// numpy's name of a type, or for those numpy lacks the name ml_dtypes gives it: float32, bfloat16, int4 …
std::string_view numpy_name(DType type);
/// What an npz holds for `type`, e.g. "uint16" for bfloat16 (its bits).
std::string numpy_storage(DType type);
/// numpy's name of a descr ("<f4" → "float32"), or the descr itself.
std::string describe_descr(std::string_view descr);
/// "1x3x224x224", "scalar".
std::string shape_text(std::span<const int64_t> dims);

/// Fills `out` as far as the source goes and returns how much, or an error.
using ByteSource = std::function<Result<size_t>(std::span<std::byte> out)>;
/// Called with the header before memory is taken for the data, so that a file cannot ask for what nobody expects.
using HeaderCheck = std::function<Status(const NpyHeader&)>;

/// Reads one array. kDamaged: not an npy file, or its size is not what its header says. Object arrays, which hold
/// Python code, are refused. `where` names the source in messages.
[[nodiscard]] Result<NpyArray> read_npy(const std::string& where, const ByteSource& source, const HeaderCheck& check);

/// kUsage unless an array with this header can stand for `type`.
[[nodiscard]] Status check_type(const NpyHeader& header, DType type);
/// Elements as the engine holds them. kUsage: a value that a 4-bit type does not have.
[[nodiscard]] Result<Tensor> to_tensor(NpyArray array, DType type);

/// A whole npy file.
[[nodiscard]] std::vector<std::byte> write_npy(const Tensor& tensor);

}  // namespace lathe::cli
