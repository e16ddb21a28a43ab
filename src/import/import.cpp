// SPDX-License-Identifier: Apache-2.0
#include "import/operators.h"

#include <array>
#include <filesystem>

#include "base/mapped_file.h"
#include "import/file_bytes.h"
#include "import/keras/hdf5.h"
#include "import/keras/importer.h"
#include "import/onnx/importer.h"
#include "import/pt2/importer.h"
#include "import/tensorflow/importer.h"
#include "import/tflite/importer.h"

namespace lathe {

Result<std::unique_ptr<Graph>> import_model(const std::string& path, const ImportOptions& options) {
  return import_model(path, options, {});
}

Result<std::unique_ptr<Graph>> import_model(const std::string& path, const ImportOptions& options,
                                            const CustomOperators& operators) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    if (std::filesystem::exists(std::filesystem::path(path) / "saved_model.pb", error))
      return tensorflow::import_saved_model(path, options);
    return fail(Code::kDamaged, path + ": a folder, but not a SavedModel: there is no saved_model.pb in it");
  }
  LATHE_TRY(const File file, File::open(path));
  std::array<std::byte, 8> head{};
  if (file.size() < head.size())
    return fail(Code::kDamaged,
                path + ": the file is too short (" + std::to_string(file.size()) + " bytes) for any known format");
  LATHE_CHECK(file.read(0, head));
  const std::string_view magic(reinterpret_cast<const char*>(head.data()), head.size());
  if (magic.substr(4, 4) == "TFL3") return tflite::import_tflite(path, options);
  if (magic.starts_with("PK\x03\x04") || keras::Hdf5::looks_like(magic)) {
    LATHE_TRY(const importer::FileBytes whole, importer::map_file(path));
    if (magic[0] != 'P' || keras::looks_like_archive(whole)) return keras::import_keras(whole, path, options);
    return pt2::import_pt2(path, options);
  }
  // A serialised ModelProto has no magic. Its fields are numbered up to 25, and each starts with number * 8 + wire
  // type.
  const auto first = static_cast<unsigned char>(magic[0]);
  const unsigned wire = first & 7u;
  if ((wire == 0 || wire == 2) && first >= 8) {
    LATHE_TRY(const importer::FileBytes whole, importer::map_file(path));
    if (tensorflow::proto::looks_like_saved_model(whole.bytes)) return tensorflow::import_saved_model(path, options);
    if (tensorflow::proto::looks_like_graph(whole.bytes)) return tensorflow::import_graph_def(path, options);
    return onnx::import_onnx(path, options, operators);
  }
  return fail(
      Code::kDamaged,
      path + ": of no known format (ONNX, TFLite, PyTorch's .pt2, SavedModel, GraphDef, Keras' .keras and .h5 are)");
}

}  // namespace lathe
