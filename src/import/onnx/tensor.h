// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "import/file_bytes.h"
#include "import/onnx/proto.h"
#include "ir/tensor.h"

namespace lathe::onnx {

using importer::FileBytes;
using importer::map_file;

/// Turns TensorProto messages into tensors. Data that is aligned for its type is not copied but kept where it lies, in
/// the model file or in a file of external data (looked for in the model's folder and nowhere else).
class TensorReader {
 public:
  TensorReader(FileBytes model, std::string folder, size_t max_bytes)
      : model_(std::move(model)), folder_(std::move(folder)), max_bytes_(max_bytes) {}
  Result<Tensor> read(const proto::Tensor& t);

 private:
  Result<Tensor> read_external(const proto::Tensor& t, DType dtype, size_t bytes);
  FileBytes model_;
  std::string folder_;
  size_t max_bytes_;
  std::map<std::string, FileBytes, std::less<>> files_;
};

}  // namespace lathe::onnx
